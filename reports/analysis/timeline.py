"""Traces: what the summary keeps of single samples, for plots of their order and of their distribution."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from harness.journal.measurement_warnings import Kind
from harness.journal.records import MEASURED
from reports.analysis.steadiness import FEWEST_SAMPLES, MATERIAL, SELDOM, THROTTLING
from reports.reading.run import Cell
from reports.schema.cases import CellRow
from reports.schema.diagnostics import LEVELS, HealthRow, TraceRow
from reports.statistics.measured import Measured

POINTS = 3000
"""Samples that are kept of a run at most, about."""
FEWEST_POINTS = 240
"""And of a comparison at least, where it has so many."""


def trace_rows(measured: Measured, cells: Iterable[CellRow], health: Iterable[HealthRow]) -> tuple[TraceRow, ...]:
    """Each case of the run in each launch that has a time."""
    timed = [cell for key, _ in measured.gangs() if measured.time(key) for cell in _timed(measured, key)]
    most = max(POINTS // max(len(measured.evidence.plan.comparisons), 1), FEWEST_POINTS)
    among = Counter(cell.comparison for cell in timed)
    rows = {(row.comparison, row.key): row for row in cells}
    steady = {(row.comparison, row.key, row.launch): row for row in health}
    return tuple(
        _row(cell, max(2, most // among[cell.comparison])).model_copy(
            update={
                "warnings": launch_warnings(
                    cell,
                    rows[cell.comparison, cell.case.key],
                    steady[cell.comparison, cell.case.key, cell.launch],
                    max(MATERIAL, measured.aa_by_comparison[cell.comparison]),
                )
            }
        )
        for cell in timed
    )


def _timed(measured: Measured, key: tuple[int, str]) -> Iterator[Cell]:
    return (cell for cell in measured.evidence.by_case[key] if cell.state in MEASURED and cell.samples)


def launch_warnings(cell: Cell, row: CellRow, steady: HealthRow, limit: float) -> tuple[Kind, ...]:
    """The kinds of a case's warnings that were raised in a launch, or whose effect is there beyond the limit."""
    effects = {
        Kind.DRIFT: abs(steady.drift) > limit,
        Kind.WARMING_UP: (steady.warm_up or 0.0) > limit,
        Kind.ECHO: steady.looseness > limit,
        Kind.FIRST_SLOT: max(abs(steady.first_of_visit or 0.0), abs(steady.first_in_round or 0.0)) > limit,
        Kind.THROTTLED: (steady.throttled or 0.0) > SELDOM,
        Kind.FEW_SAMPLES: steady.samples < FEWEST_SAMPLES,
    }
    raised = {warning.kind for warning in cell.record.warnings} if cell.record else set()
    return tuple(caution.kind for caution in row.warnings if caution.kind in raised or effects.get(caution.kind))


def _row(cell: Cell, most: int) -> TraceRow:
    samples, record = cell.samples, cell.record
    assert samples is not None
    assert record is not None
    seconds = samples.seconds(record.inner).max(axis=0)
    shown = np.unique(np.linspace(0, len(seconds) - 1, min(most, len(seconds))).round().astype(int))
    held = np.any(samples.held_back & THROTTLING, axis=0)[shown] if samples.held_back is not None else np.array([])
    return TraceRow(
        comparison=cell.comparison,
        key=cell.case.key,
        launch=cell.launch,
        start_s=_brief(samples.start_s.min(axis=0)[shown]),
        seconds=_brief(seconds[shown]),
        held_back=tuple(np.flatnonzero(held).tolist()),
        quantiles=_brief(np.quantile(seconds, LEVELS)),
    )


def _brief(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """With six digits: nobody reads more of a dot, and there are thousands."""
    return tuple(float(f"{value:.6g}") for value in values)
