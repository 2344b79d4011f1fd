"""Somebody's own torchrun: each invocation is one more launch of the run directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.conftest import SMALL, Run

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


def torchrun(root: Path, *arguments: str, ranks: int = 2) -> Run:
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={ranks}",
        "-m",
        "harness",
        "run",
    ]
    told = subprocess.run(
        [*line, *arguments, "--out", str(root)], capture_output=True, text=True, check=False, timeout=120
    )
    return Run(root, told.returncode, told.stdout + told.stderr)


def test_two_invocations_are_two_launches_of_one_run(tmp_path: Path) -> None:
    root = tmp_path / "run"
    for _ in range(2):
        run = torchrun(root, "frobenius", *SMALL[:4], "--budget", "5")
        assert run.code == 0, run.out
    assert [launch.launch for launch in run.launches] == [0, 1]
    assert {cell.status for cell in run.cells} == {"ok"}
    (row,) = [row for row in run.summary["cells"] if (row["arm"], row["world_size"]) == ("each", 2)]
    assert row["launches"] == 2
    assert row["speedup"] > 0 and row["median_s"] > 0
    other = torchrun(root, "frobenius", "--set", "frobenius.size=25", "--budget", "5")
    assert other.code != 0
    assert other.out.count("rankbench: --out must hold no other plan") == 1
    assert len(run.launches) == 2


def test_more_ranks_than_devices_are_refused_by_one_line(tmp_path: Path) -> None:
    run = torchrun(tmp_path / "run", "frobenius", "--devices", "cpu:1")
    assert run.code != 0
    assert (
        run.out.count("rankbench: --nproc-per-node must be at most the 1 devices, but is 2; start 1 or fewer ranks")
        == 1
    )
    assert not (tmp_path / "run").exists()
