"""A neighbour on a core is seen in the cells that use that core, and in no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from harness.devices import cores
from harness.doubts import Kind
from harness.journal import CellRecord
from harness.load import LIMIT, Load
from tests.distributed.conftest import TWO, Run, rankbench

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


def foreign(cell: CellRecord, rank: int) -> float:
    fact = cell.facts[rank]
    return Load(fact.wall_s, fact.cpu_s, fact.delay_s, fact.busy_s).foreign


def flagged(cell: CellRecord) -> set[int | None]:
    return {doubt.rank for doubt in cell.doubts if doubt.kind is Kind.FOREIGN_LOAD}


def test_without_a_neighbour_hardly_a_cell_is_flagged(main_run: Run) -> None:
    assert median(foreign(cell, 0) for cell in main_run.cells) < LIMIT / 2
    assert sum(bool(flagged(cell)) for cell in main_run.cells) < len(main_run.cells) / 4


def test_a_neighbour_is_flagged_where_it_is(tmp_path: Path) -> None:
    burn = f"import os; os.sched_setaffinity(0, {{{cores()[1]}}})\nwhile True: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", burn])
    try:
        run = rankbench(
            "run", "frobenius", *TWO, "--launches", 1, "--budget", 14, "--out", tmp_path / "run", root=tmp_path / "run"
        )
    finally:
        neighbour.kill()
        neighbour.wait()
    assert run.code == 0, run.out
    cells = [cell for cell in run.cells if cell.case.startswith("frobenius")]
    busy = [cell for cell in cells if cell.case.endswith("@1x2")]
    assert all(1 in flagged(cell) for cell in busy)
    alone = [foreign(cell, 0) for cell in cells if cell.case.endswith("@1")]
    assert max(alone) < min(foreign(cell, 1) for cell in busy)  # one rank, on the other core
    assert "foreign-load" in run.out or "foreign load" in run.out
