"""Sides: what a run measured in several environments that took turns, compared case by case with the first of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from harness.journal.plan import Case
from reports.analysis.contrasts import decide, margin
from reports.analysis.cycles import Clocked, in_cycles
from reports.analysis.limits import below_resolution
from reports.reading.run import FAILED, OUTCOMES, CaseId
from reports.schema.cases import SideRow, Verdict
from reports.statistics import estimates
from reports.statistics.gate import corrected
from reports.statistics.measured import Measured
from reports.statistics.verdicts import Margin


def side_rows(first: Measured, others: Sequence[Measured]) -> tuple[SideRow, ...]:
    """Each case of the run on every other side against the first; what its controls differ by is noise."""
    noise = [_noise(first, other) for other in others if other.evidence.side.control]
    rows = [
        _row(first, other, key, case, _margin(first, other, key[0], noise))
        for other in others
        for key, case in first.gangs()
    ]
    return corrected(rows)


def _margin(first: Measured, other: Measured, comparison: int, noise: Sequence[float]) -> Margin:
    """The plan's margin, and A/A noise: of the controls, where there are any."""
    noises = noise or [margin(side, comparison).noise for side in (first, other)]
    return Margin(first.evidence.plan.margin, max(noises))


def _noise(first: Measured, control: Measured) -> float:
    """The 95th percentile over cases of |ln ratio| of the first side to itself."""
    ratios = (estimates.ratio(_by_block(control, key), _by_block(first, key)) for key, _ in first.gangs())
    logs = [abs(math.log(ratio.value)) for ratio in ratios if ratio]
    return math.expm1(float(np.quantile(logs, 0.95))) if logs else 0.0


def _row(first: Measured, other: Measured, key: CaseId, case: Case, delta: Margin) -> SideRow:
    ours, base = _by_block(other, key), _by_block(first, key)
    ratio = estimates.ratio(ours, base)
    failed = _failed(first, other, key)
    p: float | None = None
    outcome: Verdict
    reason: str | None
    if failed is None and ratio is not None:
        under = [below_resolution(measured, key) for measured in (first, other)]
        outcome, reason = decide(ratio, delta, under, "turns")
        untested = other.evidence.side.control or all(under)
        p = None if untested else p_slower((ours / base).dropna(), delta.beyond)
    else:
        ratio, outcome, reason = None, "not comparable", failed or "one side was not measured"
    times = [measured.time(key) for measured in (first, other)]
    return SideRow(
        comparison=key[0],
        key=key[1],
        world_size=case.world_size,
        side=other.evidence.side.name,
        reference=first.evidence.side.name,
        control=other.evidence.side.control,
        reference_s=times[0].value if times[0] else None,
        median_s=times[1].value if times[1] else None,
        **(ratio.fields("ratio") if ratio else {}),
        in_cycles=in_cycles(_clocked(other, key), _clocked(first, key), delta) if ratio else None,
        blocks=ratio.launches if ratio else 0,
        p=p,
        verdict=outcome,
        reason=reason,
        margin=delta.beyond,
        margin_asked=delta.asked,
    )


def p_slower(ratios: pd.Series[float], delta: float) -> float:
    """How likely so many turns with a ratio above 1 + ``delta`` are where its median is no more: a sign test."""
    above = int((ratios > 1 + delta).sum())
    return float(stats.binom.sf(above - 1, len(ratios), 0.5))


def _failed(first: Measured, other: Measured, key: CaseId) -> str | None:
    """Why a case may not be compared at all, where it did not end well on a side."""
    for measured in (first, other):
        if (state := measured.evidence.state(key)) in FAILED:
            return f"it {OUTCOMES[state]} on {measured.evidence.side.name}"
    return None


def _clocked(measured: Measured, key: CaseId) -> Clocked | None:
    return Clocked.of(measured, key, block=len(measured.evidence.plan.sides))


def _by_block(measured: Measured, key: CaseId) -> pd.Series[float]:
    """Launch values of a case, indexed by the block of launches in which all sides had their turn."""
    values = measured.values(key)
    return values.set_axis(values.index.map(measured.evidence.plan.turn_of))
