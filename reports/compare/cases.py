"""Every case that two runs share: its ratio, its margin, a verdict, and whether it fails the gate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.journal.plan import Case, Comparison
from reports.analysis import warnings
from reports.analysis.cycles import Clocked, in_cycles, of_runs
from reports.analysis.limits import below_resolution
from reports.compare import likeness
from reports.reading.run import FAILED, OUTCOMES, CaseId
from reports.schema.compare import ChangeRow
from reports.statistics.gate import corrected
from reports.statistics.measured import Measured
from reports.statistics.shift import Shift, p_slower, shift
from reports.statistics.verdicts import Margin, drowned, placed
from reports.text import units
from reports.wording import outcomes

PROBES = ("spin", "gemm")
"""The probes that are the same work in every run: a loop that touches no memory, and a large product."""


@dataclass(frozen=True)
class Pair:
    """A case's place in both runs."""

    base: CaseId
    new: CaseId
    case: Case
    comparison: Comparison
    """In BASE's plan."""


@dataclass(frozen=True)
class Both:
    """Two runs that may be compared."""

    base: Measured
    new: Measured
    margin: float
    """That was asked for: by the user now, or else the larger of the two plans'."""
    same_software: bool

    def pairs(self) -> Iterator[Pair]:
        """Every case that both runs planned."""
        places = likeness.keys(self.base.evidence), likeness.keys(self.new.evidence)
        cases = {place: (case, comparison) for place, comparison, case in self.base.evidence.cases()}
        for key in likeness.shared(self.base.evidence, self.new.evidence):
            place = places[0][key]
            yield Pair(place, places[1][key], *cases[place])

    def shift(self, base: CaseId | None, new: CaseId | None) -> Shift | None:
        """How far apart the times of a case of BASE and one of NEW are."""
        return shift(values(self.base, base), values(self.new, new)) if base and new else None

    def probes(self, pair: Pair) -> Iterator[tuple[str, Shift]]:
        """The probes that were interleaved with a case in both runs."""
        for name in PROBES:
            places = (
                side.probe(place[0], name, pair.case.world_size)
                for side, place in ((self.base, pair.base), (self.new, pair.new))
            )
            ratio = self.shift(*places)
            if ratio:
                yield name, ratio


def values(side: Measured, case: CaseId) -> list[float]:
    """A case's time in each launch, in seconds."""
    return [float(value) for value in side.values(case)]


def unfit(both: Both, pair: Pair) -> tuple[str | None, bool]:
    """Why the two times may not be compared, and whether NEW broke what was well in BASE."""
    outcomes = _outcome(both.base, pair.base), _outcome(both.new, pair.new)
    if outcomes[0]:
        return f"in BASE it {outcomes[0]}", False
    if outcomes[1]:
        return f"in NEW it {outcomes[1]}", True
    work = _work(both.base, pair.base), _work(both.new, pair.new)
    if work[0] != work[1]:
        return f"declares other work: {_first_difference(*work)}", False
    return None, False


def _outcome(side: Measured, case: CaseId) -> str | None:
    """What became of a case that has no time, or failed in a launch; in words."""
    state, cells = side.evidence.state(case), side.evidence.by_case[case]
    if state not in FAILED and len(side.values(case)):
        return None
    bad = [cell for cell in cells if cell.state == state]
    record = bad[0].record
    who = f"rank {record.rank}: " if record and record.rank is not None else ""
    message = f" ({who}{outcomes.quoted(record.message)})" if record and record.message else ""
    return f"{OUTCOMES[state]} in {len(bad)} of {units.count(len(cells), 'launch')}{message}"


def _work(side: Measured, case: CaseId) -> dict[str, float]:
    """What all ranks together declare to do in one step."""
    facts = side.facts(case)
    return {
        "FLOPs": sum(fact.flops for fact in facts),
        "bytes": sum(fact.bytes for fact in facts),
        "items": sum(fact.items for fact in facts),
    }


def _first_difference(old: dict[str, float], now: dict[str, float]) -> str:
    name = next(name for name in old if old[name] != now[name])
    return f"{units.number(old[name])} {name} in BASE, {units.number(now[name])} in NEW"


def case_rows(both: Both) -> tuple[ChangeRow, ...]:
    """A row a case, in BASE's order."""
    return corrected([_row(both, pair) for pair in both.pairs()])


def sure(row: ChangeRow) -> bool:
    """Whether it is faster, slower for certain, or without a difference."""
    return row.verdict in ("faster", "equivalent") or row.confirmed


def _row(both: Both, pair: Pair) -> ChangeRow:
    field, case = pair.comparison.variant_field, pair.case
    fields: dict[str, Any] = {
        "key": case.key,
        "scenario": case.scenario,
        "variant": case.variant,
        "variant_field": field,
        "params": {name: value for name, value in case.params.items() if name != field},
        "world_size": case.world_size,
        "base_status": both.base.evidence.state(pair.base),
        "new_status": both.new.evidence.state(pair.new),
        **_margins(both, pair),
    }
    reason, broken = unfit(both, pair)
    if reason:
        return ChangeRow(**fields, verdict="not comparable", reason=reason, broken=broken)
    return ChangeRow(**fields, **_figures(both, pair, Margin(fields["margin_asked"], fields["margin"])))


def _margins(both: Both, pair: Pair) -> dict[str, float | None]:
    """The margin, and what it is the largest of."""
    noise = [side.aa_by_comparison[key[0]] for side, key in ((both.base, pair.base), (both.new, pair.new))]
    machine = max((math.expm1(abs(math.log(ratio.ratio))) for _, ratio in both.probes(pair)), default=None)
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
    ratio, times = shift(old, now), (both.base.time(pair.base), both.new.time(pair.new))
    if ratio is None or times[0] is None or times[1] is None:
        raise AssertionError(f"{pair.case.key} has no times")
    under = [below_resolution(side, key) for side, key in ((both.base, pair.base), (both.new, pair.new))]
    verdict, reason = placed(ratio.low, ratio.high, margin), drowned(ratio.low, ratio.high, margin)
    if all(under) or (any(under) and verdict == "equivalent"):  # a floor on both sides hides a change, and makes none
        verdict, reason = "undecided", warnings.DROWNED
    elif ratio.low is None:
        reason = f"no interval from {len(old)} and {len(now)} launches"
    return {
        "base_launches": len(old),
        "new_launches": len(now),
        "base_median_s": times[0].value,
        "new_median_s": times[1].value,
        "ratio": ratio.ratio,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "in_cycles": in_cycles(Clocked.of(both.new, pair.new), Clocked.of(both.base, pair.base), margin, of_runs),
        "p": None if all(under) else p_slower(old, now, margin.beyond),
        "verdict": verdict,
        "reason": reason,
    }
