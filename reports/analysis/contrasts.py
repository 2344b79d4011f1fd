"""Variants against their baseline: a ratio of times from the same launches, and a verdict that may be none."""

from collections.abc import Iterator, Sequence

from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Case
from reports.analysis.cycles import Clocked, in_cycles
from reports.analysis.limits import below_resolution
from reports.analysis.warnings import DROWNED
from reports.reading.run import FAILED, OUTCOMES, CaseId
from reports.schema.cases import ContrastRow, Verdict
from reports.statistics.estimates import FEWEST_LAUNCHES, Estimate
from reports.statistics.measured import Measured
from reports.statistics.verdicts import Margin, drowned, verdict


def margin(measured: Measured, comparison: int) -> Margin:
    """The plan's margin, and a comparison's A/A noise."""
    return Margin(measured.evidence.plan.margin, measured.aa_by_comparison[comparison])


def contrast_rows(measured: Measured) -> tuple[ContrastRow, ...]:
    """Each variant that is not the baseline, at each world size of its comparison."""
    return tuple(row for key, case in measured.gangs() for row in _row(measured, key, case))


def _row(measured: Measured, key: CaseId, case: Case) -> Iterator[ContrastRow]:
    comparison = measured.evidence.plan.comparisons[key[0]]
    field, baseline = comparison.variant_field, comparison.baseline
    if field is None or baseline is None or case.variant is None or case.variant == baseline:
        return
    base = next(
        (
            other_key
            for other_key, other in measured.gangs()
            if other_key[0] == key[0] and _is_base(other, case, baseline)
        ),
        None,
    )
    if base is None:
        return
    delta = margin(measured, key[0])
    ratio = measured.ratio(key, base)
    reason = _incomparable(measured, key, base)
    shown = ratio if ratio and reason is None else None
    under = [below_resolution(measured, other_key) for other_key in (key, base)]
    judged, why = decide(shown, delta, under, "launches") if shown else ("undecided", None)
    yield ContrastRow(
        comparison=key[0],
        scenario=case.scenario,
        params={name: value for name, value in case.params.items() if name != field},
        world_size=case.world_size,
        variant_field=field,
        baseline=baseline,
        variant=case.variant,
        **(shown.fields("ratio") if shown else {}),
        in_cycles=in_cycles(Clocked.of(measured, key), Clocked.of(measured, base), delta) if shown else None,
        launches=shown.launches if shown else 0,
        verdict="not comparable" if shown is None else judged,
        reason=reason or why,
        margin=delta.beyond,
        margin_asked=delta.asked,
        aa=measured.aa_by_comparison[key[0]],
    )


def _is_base(other: Case, case: Case, baseline: str) -> bool:
    return other.variant == baseline and other.world_size == case.world_size


def _work_differs(measured: Measured, key: CaseId) -> bool:
    records = (cell.record for cell in measured.evidence.by_case[key])
    return any(warning.kind is Kind.WORK_DIFFERS for record in records if record for warning in record.warnings)


def _incomparable(measured: Measured, key: CaseId, base: CaseId) -> str | None:
    """Why two cases may not be compared. Launches that merely did not take place are no such reason."""
    for side, case_key in (("it", key), ("the baseline", base)):
        if (state := measured.evidence.state(case_key)) in FAILED:
            return f"{side} {OUTCOMES[state]}"
    if not len(measured.values(key)) or not len(measured.values(base)):
        return "one side was not measured"
    if any(_work_differs(measured, case_key) for case_key in (key, base)):
        return "the variants declare different work"
    return None


def decide(ratio: Estimate, delta: Margin, under: Sequence[bool], noun: str) -> tuple[Verdict, str | None]:
    """The verdict of a ratio of two times, and why it is none; ``under`` says which of them are below resolution.

    A floor below both times hides a difference; below one of them it makes none.
    """
    outcome = verdict(ratio, delta)
    if all(under) or (any(under) and outcome == "equivalent"):
        return "undecided", DROWNED
    if ratio.launches < FEWEST_LAUNCHES:
        return outcome, f"a verdict needs {FEWEST_LAUNCHES} {noun}"
    return outcome, drowned(ratio.low, ratio.high, delta)
