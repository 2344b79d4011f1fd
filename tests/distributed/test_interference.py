"""A neighbour on a core is seen in the cells that use that core, and in no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.devices import cores
from harness.doubts import Kind
from tests.distributed.conftest import SMALL, TWO, rankbench

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


def test_a_neighbour_is_flagged_where_it_is(tmp_path: Path) -> None:
    burn = f"import os; os.sched_setaffinity(0, {{{cores()[1]}}})\nwhile True: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", burn])
    try:
        run = rankbench("run", "split", *TWO, *SMALL[4:], "--launches", 1, "--budget", 12, "--out", tmp_path / "run", root=tmp_path / "run")
    finally:
        neighbour.kill()
        neighbour.wait()
    assert run.code == 0, run.out
    flagged = {cell.case: {doubt.rank for doubt in cell.doubts if doubt.kind is Kind.FOREIGN_LOAD} for cell in run.cells}
    alone = [ranks for case, ranks in flagged.items() if case.endswith("@1")]
    busy = [ranks for case, ranks in flagged.items() if case.endswith("@1x2")]
    assert all(1 in ranks for ranks in busy), flagged
    assert not any(alone), flagged
    assert "foreign-load" in run.out or "foreign load" in run.out
