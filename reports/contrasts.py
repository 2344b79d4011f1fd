"""Arms against their baseline: a ratio of times from the same launches, and a verdict that may be none."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doubts import Kind
from harness.plan import Case
from reports.cycles import Clocked, in_cycles
from reports.estimates import FEWEST_LAUNCHES, Estimate
from reports.evidence import CaseId, State
from reports.measured import Measured
from reports.rows import ContrastRow
from reports.verdicts import Margin, drowned, verdict


def margin(measured: Measured, comparison: int) -> Margin:
    """The plan's margin, and a comparison's A/A noise."""
    return Margin(measured.evidence.plan.margin, measured.aa_by_comparison[comparison])


def contrast_rows(measured: Measured) -> tuple[ContrastRow, ...]:
    """Each arm that is not the baseline, at each world size of its comparison."""
    return tuple(row for key, case in measured.gangs() for row in _row(measured, key, case))


def _row(measured: Measured, key: CaseId, case: Case) -> Iterator[ContrastRow]:
    comparison = measured.evidence.plan.comparisons[key[0]]
    field, baseline = comparison.arm_field, comparison.baseline
    if field is None or baseline is None or case.arm is None or case.arm == baseline:
        return
    base = next((own for own, other in measured.gangs() if own[0] == key[0] and _is_base(other, case, baseline)), None)
    if base is None:
        return
    delta = margin(measured, key[0])
    ratio = measured.ratio(key, base)
    reason = _incomparable(measured, key, base)
    told = ratio if ratio and not _work_differs(measured, key) else None
    yield ContrastRow(
        comparison=key[0],
        scenario=case.scenario,
        params={name: value for name, value in case.params.items() if name != field},
        world_size=case.world_size,
        arm_field=field,
        baseline=baseline,
        arm=case.arm,
        ratio=told.value if told else None,
        ratio_low=told.low if told else None,
        ratio_high=told.high if told else None,
        in_cycles=in_cycles(Clocked.of(measured, key), Clocked.of(measured, base), delta) if told else None,
        launches=told.launches if told else 0,
        verdict="not comparable" if reason or told is None else verdict(told, delta),
        reason=reason or _undecided(told, delta),
        margin=delta.beyond,
        margin_asked=delta.asked,
        aa=measured.aa_by_comparison[key[0]],
    )


def _is_base(other: Case, case: Case, baseline: str) -> bool:
    return other.arm == baseline and other.world_size == case.world_size


def _work_differs(measured: Measured, key: CaseId) -> bool:
    records = (cell.record for cell in measured.evidence.by_case[key])
    return any(doubt.kind is Kind.WORK_DIFFERS for record in records if record for doubt in record.doubts)


FATES: dict[State, str] = {
    "wrong": "is wrong",
    "died": "died",
    "hang": "hung",
    "oom": "ran out of memory",
    "error": "failed",
}
"""What became of a side that has no time to compare."""


def _incomparable(measured: Measured, key: CaseId, base: CaseId) -> str | None:
    """Why two cases may not be compared. Launches that merely did not take place are no such reason."""
    for side, own in (("it", key), ("the baseline", base)):
        if fate := FATES.get(measured.evidence.state(own)):
            return f"{side} {fate}"
    if not len(measured.values(key)) or not len(measured.values(base)):
        return "one side was not measured"
    if any(_work_differs(measured, own) for own in (key, base)):
        return "the arms declare different work"
    return None


def _undecided(ratio: Estimate | None, delta: Margin) -> str | None:
    if ratio is None:
        return None
    if ratio.launches < FEWEST_LAUNCHES:
        return f"a verdict needs {FEWEST_LAUNCHES} launches"
    return drowned(ratio.low, ratio.high, delta)
