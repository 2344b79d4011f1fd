"""Sides: what a run measured in several environments that took turns, compared case by case with the first of them."""

from __future__ import annotations

import pandas as pd

from harness.plan import Case
from reports import estimates
from reports.contrasts import FATES, margin, verdict
from reports.estimates import FEWEST_LAUNCHES
from reports.evidence import CaseId
from reports.measured import Measured
from reports.rows import SideRow, Verdict


def side_rows(first: Measured, other: Measured) -> tuple[SideRow, ...]:
    """Each case of the run on another side against the first."""
    return tuple(_row(first, other, key, case) for key, case in first.gangs())


def _row(first: Measured, other: Measured, key: CaseId, case: Case) -> SideRow:
    ratio = estimates.ratio(_by_block(other, key), _by_block(first, key))
    delta = max(margin(first, key[0]), margin(other, key[0]))
    failed = _failed(first, other, key)
    if failed is None and ratio is not None:
        told: Verdict = verdict(ratio, delta)
        reason = f"a verdict needs {FEWEST_LAUNCHES} turns" if ratio.launches < FEWEST_LAUNCHES else None
    else:
        ratio, told, reason = None, "not comparable", failed or "one side was not measured"
    times = [measured.time(key) for measured in (first, other)]
    return SideRow(
        comparison=key[0],
        key=key[1],
        world_size=case.world_size,
        side=other.evidence.side.name,
        reference=first.evidence.side.name,
        reference_s=times[0].value if times[0] else None,
        median_s=times[1].value if times[1] else None,
        ratio=ratio.value if ratio else None,
        ratio_low=ratio.low if ratio else None,
        ratio_high=ratio.high if ratio else None,
        blocks=ratio.launches if ratio else 0,
        verdict=told,
        reason=reason,
        margin=delta,
    )


def _failed(first: Measured, other: Measured, key: CaseId) -> str | None:
    """Why a case may not be compared at all, where it did not end well on a side."""
    for measured in (first, other):
        if fate := FATES.get(measured.evidence.state(key)):
            return f"it {fate} on {measured.evidence.side.name}"
    return None


def _by_block(measured: Measured, key: CaseId) -> pd.Series[float]:
    """Launch values of a case, indexed by the block of launches in which all sides had their turn."""
    values = measured.values(key)
    return values.set_axis(values.index // len(measured.evidence.plan.sides))
