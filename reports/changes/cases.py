"""Every case that two runs share: its ratio, its margin, a verdict, and whether it fails the gate."""

from __future__ import annotations

import math
from typing import Any

from reports import cautions
from reports.changes.both import Both, Pair, values
from reports.changes.fitness import unfit
from reports.changes.gate import holm
from reports.changes.rows import ChangeRow
from reports.changes.shift import TAIL, p_slower, shift
from reports.cycles import Clocked, in_cycles, of_runs
from reports.verdicts import Margin, drowned, placed


def case_rows(both: Both) -> tuple[ChangeRow, ...]:
    """A row a case, in BASE's order."""
    return _corrected([_row(both, pair) for pair in both.pairs()])


def sure(row: ChangeRow) -> bool:
    """Whether it is faster, slower for certain, or without a difference."""
    return row.verdict in ("faster", "equivalent") or row.confirmed


def _row(both: Both, pair: Pair) -> ChangeRow:
    field, case = pair.comparison.arm_field, pair.case
    told: dict[str, Any] = {
        "key": case.key,
        "scenario": case.scenario,
        "arm": case.arm,
        "arm_field": field,
        "params": {name: value for name, value in case.params.items() if name != field},
        "world_size": case.world_size,
        "base_status": both.base.evidence.state(pair.base),
        "new_status": both.new.evidence.state(pair.new),
        **_margins(both, pair),
    }
    reason, broken = unfit(both, pair)
    if reason:
        return ChangeRow(**told, verdict="not comparable", reason=reason, broken=broken)
    return ChangeRow(**told, **_figures(both, pair, Margin(told["margin_asked"], told["margin"])))


def _margins(both: Both, pair: Pair) -> dict[str, float | None]:
    """The margin, and what it is the largest of."""
    noise = [side.aa_by_comparison[own[0]] for side, own in ((both.base, pair.base), (both.new, pair.new))]
    machine = max((math.expm1(abs(math.log(found.ratio))) for _, found in both.probes(pair)), default=None)
    counting = [machine] if machine is not None and both.same_software else []
    return {
        "margin": max(both.margin, *noise, *counting),
        "margin_asked": both.margin,
        "aa_base": noise[0],
        "aa_new": noise[1],
        "machine": machine,
    }


def _figures(both: Both, pair: Pair, margin: Margin) -> dict[str, Any]:
    old, now = values(both.base, pair.base), values(both.new, pair.new)
    found, times = shift(old, now), (both.base.time(pair.base), both.new.time(pair.new))
    if found is None or times[0] is None or times[1] is None:
        raise AssertionError(f"{pair.case.key} has no times")
    under = [cautions.below_resolution(side, own) for side, own in ((both.base, pair.base), (both.new, pair.new))]
    verdict, reason = placed(found.low, found.high, margin), drowned(found.low, found.high, margin)
    if all(under) or (any(under) and verdict == "equivalent"):  # a floor on both sides hides a change, and makes none
        verdict, reason = "undecided", cautions.DROWNED
    elif found.low is None:
        reason = f"no interval from {len(old)} and {len(now)} launches"
    return {
        "base_launches": len(old),
        "new_launches": len(now),
        "base_median_s": times[0].value,
        "new_median_s": times[1].value,
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "in_cycles": in_cycles(Clocked.of(both.new, pair.new), Clocked.of(both.base, pair.base), margin, of_runs),
        "p": None if all(under) else p_slower(old, now, margin.beyond),
        "verdict": verdict,
        "reason": reason,
    }


def _corrected(rows: list[ChangeRow]) -> tuple[ChangeRow, ...]:
    """The rows with Holm's p among all that were tested; what is slower by it too is confirmed."""
    tested = [place for place, row in enumerate(rows) if row.p is not None]
    corrected = dict(zip(tested, holm([rows[place].p or 0.0 for place in tested]), strict=True))
    return tuple(
        row.model_copy(update={"p_holm": p, "confirmed": row.verdict == "slower" and p <= TAIL * (1 + 1e-12)})
        if (p := corrected.get(place)) is not None
        else row
        for place, row in enumerate(rows)
    )
