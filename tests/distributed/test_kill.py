"""SIGKILL to the parent at a random moment: finished cells are kept, no process is left, the run can be finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from harness.journal import CellRecord
from harness.rundir import RunDir
from tests.distributed.conftest import RANKBENCH, SMALL, TWO, offspring_of, rankbench

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

KILLS = int(os.environ.get("RANKBENCH_KILLS", "4"))
STAGES = (None, "launch", "begin", "cell")
"""What the journal must have one more of before the next kill, so that kills do not all come too early or too late."""


def finished(root: Path) -> dict[tuple[int, int, str], str]:
    if not (root / "journal.jsonl").exists():
        return {}
    cells = [entry for entry in RunDir(root).entries() if isinstance(entry, CellRecord)]
    return {(cell.launch, cell.comparison, cell.case): cell.model_dump_json() for cell in cells}


def records(root: Path, kind: str) -> int:
    journal = root / "journal.jsonl"
    return journal.read_bytes().count(f'"type":"{kind}"'.encode()) if journal.exists() else 0


def kill(process: subprocess.Popen[bytes], root: Path, stage: str | None, more_s: float) -> None:
    """SIGKILL, so long after the journal has one more record of a kind, unless the run has finished before."""
    had = records(root, stage) if stage else 0
    while stage and process.poll() is None and records(root, stage) == had:
        time.sleep(0.01)
    try:
        process.wait(more_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()


def test_kill_and_resume(tmp_path: Path) -> None:
    root, chance, mark = tmp_path / "run", random.Random(7), uuid.uuid4().hex
    start = ["run", "frobenius", *TWO, *SMALL[:4], "--launches", "2", "--budget", "12", "--out", str(root)]
    kept: dict[tuple[int, int, str], str] = {}
    for stage in islice(cycle(STAGES), KILLS):
        line = ["run", "--resume", str(root)] if (root / "plan.json").exists() else start
        process = subprocess.Popen(
            [*RANKBENCH, *line],
            env=os.environ | {"RANKBENCH_TEST": mark},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        kill(process, root, stage, chance.uniform(0, 1 if stage else 4))
        _, alive = psutil.wait_procs(offspring_of(mark), timeout=5)
        assert not alive
        now = finished(root)
        assert now.items() >= kept.items()
        kept = now
    assert kept or len(STAGES) > KILLS  # the last stage is that of a cell
    run = rankbench("run", "--resume", root, root=root) if root.exists() else rankbench(*start, root=root)
    assert run.code == 0, run.out
    assert finished(root).items() >= kept.items()
    assert {cell.status for cell in run.cells} == {"ok"}
    assert {(cell.launch, cell.case) for cell in run.cells} == {
        (launch, case.key) for launch, _, case in RunDir(root).plan().cells()
    }


def test_interrupting_reports_what_there_is(tmp_path: Path) -> None:
    root = tmp_path / "run"
    process = subprocess.Popen(
        [*RANKBENCH, "run", "frobenius", *TWO, *SMALL[:4], "--launches", "6", "--budget", "24", "--out", str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        for line in process.stdout:
            if "launch 2 of 6" in line:
                process.send_signal(signal.SIGINT)
                break
        told = process.stdout.read()
        assert process.wait(30) == 130
    assert f"rankbench run --resume {root}" in told
    assert (root / "report.html").exists()
