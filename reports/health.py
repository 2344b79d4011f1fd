"""Health: how steady each case of a run was in each of its launches, and the doubts that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.journal import CellRecord
from harness.load import Load
from reports.clockwork import Clocks
from reports.diagnosis import FEWEST_SAMPLES, MATERIAL, Fact, Patient, diagnose, effects
from reports.evidence import CaseId
from reports.measured import Measured
from reports.series import Series
from reports.why_rows import HealthRow

Opening = Mapping[tuple[int, int], frozenset[int]]
"""Positions of the visits that opened a round, by comparison and launch."""


@dataclass(frozen=True)
class Health:
    """A run's rows, and the facts for its cases' cautions."""

    rows: tuple[HealthRow, ...]
    facts: Mapping[CaseId, list[Fact]]


def health(measured: Measured) -> Health:
    """Examine the cases that the run is about."""
    opening = openings(measured)
    rows: list[HealthRow] = []
    patients: dict[CaseId, Patient] = {}
    for key, _ in measured.gangs():
        told = list(_launches(measured, key, opening))
        rows += [_row(key, record, series, clocks) for record, series, clocks in told]
        long = tuple(series for _, series, _ in told if len(series.seconds) >= FEWEST_SAMPLES)
        limit = max(MATERIAL, measured.aa_by_comparison[key[0]])
        patients[key] = Patient(long, tuple(clocks for _, _, clocks in told), limit)
    return Health(tuple(rows), dict(zip(patients, diagnose(list(patients.values())), strict=True)))


def openings(measured: Measured) -> Opening:
    """Of all cases of a comparison one opened each round: probes, copies and wrong cases were visited too."""
    found: dict[tuple[int, int], dict[int, int]] = {}
    for cell in measured.evidence.cells:
        taken = cell.taken
        if taken is not None:
            first = found.setdefault((cell.comparison, cell.launch), {})
            for number, position in np.unique(np.stack([taken.round, taken.position]), axis=1).T.tolist():
                first[number] = min(position, first.get(number, position))
    return {key: frozenset(first.values()) for key, first in found.items()}


def _launches(measured: Measured, key: CaseId, opening: Opening) -> Iterator[tuple[CellRecord, Series, Clocks]]:
    samples = measured.samples(key)
    by_launch: Mapping[int, pd.DataFrame] = {} if samples is None else dict(iter(samples.groupby("launch")))  # type: ignore[arg-type]
    for cell in measured.evidence.by_case[key]:
        if cell.record and cell.launch in by_launch:
            series = Series.of(by_launch[cell.launch], opening[key[0], cell.launch])
            yield cell.record, series, Clocks.of(cell.taken)


def _row(key: CaseId, record: CellRecord, series: Series, clocks: Clocks) -> HealthRow:
    told = effects(series)
    loads = [Load.of(fact).foreign for fact in record.facts]
    return HealthRow(
        comparison=key[0],
        key=key[1],
        launch=record.launch,
        samples=len(series.seconds),
        drift=series.drift,
        trend=series.tau,
        lag1=series.lag1,
        looseness=series.looseness,
        warm_up=told["warm_up"],
        first_of_visit=told["first_of_visit"],
        first_in_round=told["first_in_round"],
        foreign_load=max(loads, default=None),
        clock_mhz=clocks.mhz,
        clock_low_mhz=clocks.low_mhz,
        throttled=clocks.throttled,
    )
