"""A neighbour on a core is seen in the cells that use that core, and in no other."""

from __future__ import annotations

import os
from statistics import fmean, median

import pytest

from harness.device.telemetry.cpu_load import LIMIT, CpuTime
from harness.journal.measurement_warnings import Kind
from harness.journal.records import CellRecord
from tests.distributed.conftest import Run

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices"),
]


def foreign(cell: CellRecord, rank: int) -> float:
    return CpuTime.of(cell.facts[rank]).foreign


def flagged(cell: CellRecord) -> set[int | None]:
    return {warning.rank for warning in cell.warnings if warning.kind is Kind.FOREIGN_LOAD}


def test_without_a_neighbour_hardly_a_cell_is_flagged(main_run: Run) -> None:
    assert median(foreign(cell, 0) for cell in main_run.cells) < LIMIT / 2
    launches = {cell.launch: [] for cell in main_run.cells}
    for cell in main_run.cells:
        launches[cell.launch].append(bool(flagged(cell)))
    assert median(map(fmean, launches.values())) < 1 / 4  # a neighbour may have come and gone meanwhile


def test_a_neighbour_is_flagged_where_it_is(disturbed_run: Run) -> None:
    run = disturbed_run
    assert run.code == 0, run.out
    cells = [cell for cell in run.cells if cell.case.startswith("frobenius")]
    busy = [cell for cell in cells if cell.case.endswith("@1x2")]
    assert all(1 in flagged(cell) for cell in busy)
    alone = [foreign(cell, 0) for cell in cells if cell.case.endswith("@1")]
    assert max(alone) < min(foreign(cell, 1) for cell in busy)  # one rank, on the other core
    assert "foreign-load" in run.out or "foreign load" in run.out
