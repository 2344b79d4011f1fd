"""SIGKILL to any process at a random moment: finished cells are kept, no process is left, the run can be finished."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
import uuid
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from harness.journal.records import CellRecord
from harness.journal.run_directory import RunDir
from tests.distributed.conftest import RANKBENCH, SMALL, TWO, offspring_of
from tests.limits import LIMIT_S

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

KILLS = int(os.environ.get("RANKBENCH_KILLS", "4"))
STAGES = (None, "launch", "begin", "cell")
"""What the journal must have one more of before the next kill, so that kills do not all come too early or too late."""


def finished(root: Path) -> dict[tuple[int, int, str], str]:
    """The cells that are ok."""
    if not (root / "journal.jsonl").exists():
        return {}
    cells = [entry for entry in RunDir(root).entries() if isinstance(entry, CellRecord) and entry.status == "ok"]
    return {(cell.launch, cell.comparison, cell.case): cell.model_dump_json() for cell in cells}


def records(root: Path, kind: str) -> int:
    journal = root / "journal.jsonl"
    return journal.read_bytes().count(f'"type":"{kind}"'.encode()) if journal.exists() else 0


def await_stage(process: subprocess.Popen[bytes], root: Path, stage: str | None, more_s: float) -> None:
    """Wait until the journal has one more record of a kind and so much longer, unless the run has finished before."""
    had = records(root, stage) if stage else 0
    while stage and process.poll() is None and records(root, stage) == had:
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(more_s)


def begun(root: Path, mark: str) -> subprocess.Popen[bytes]:
    """The run, or where it has begun before, what is missing of it."""
    start = ["run", "frobenius", *TWO, *SMALL[:4], "--launches", "2", "--budget", "12", "--out", str(root)]
    again = ["run", "--resume", str(root), "--retry-failed"]
    return subprocess.Popen(
        [*RANKBENCH, *(again if (root / "plan.json").exists() else start)],
        env=os.environ | {"RANKBENCH_TEST": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def complete(root: Path, kept: dict[tuple[int, int, str], str], mark: str) -> None:
    """Finish a run, and see that nothing was lost and nothing is missing."""
    for _ in range(3):  # a slow machine may not come to all of it within the budget: nothing else is forgiven
        with begun(root, mark) as process:
            if process.wait(LIMIT_S) == 0:
                break
        last = {
            (cell.launch, cell.comparison, cell.case): cell.status
            for cell in RunDir(root).entries()
            if isinstance(cell, CellRecord)
        }
        assert set(last.values()) <= {"ok", "skipped"}, last
    else:
        pytest.fail(f"not complete: {RunDir(root).root}")
    whole(root, kept)


def whole(root: Path, kept: dict[tuple[int, int, str], str]) -> None:
    """Every planned cell is ok, and those that were before are the same."""
    assert finished(root).items() >= kept.items()
    assert finished(root).keys() == {(launch, index, case.key) for launch, index, case in RunDir(root).plan().cells()}


def test_kill_and_resume(tmp_path: Path) -> None:
    """Any process of a run is killed: its parent, the agent, the fork server, a rank, or one that cleans up."""
    chance, mark, number = random.Random(7), uuid.uuid4().hex, 0
    kept: dict[tuple[int, int, str], str] = {}
    process = begun(root := tmp_path / "run-0", mark)
    for kill, stage in enumerate(islice(cycle(STAGES), KILLS)):
        await_stage(process, root, stage, chance.uniform(0, 1 if stage else 4))
        if process.poll() is None and kill % 2:
            process.kill()
        elif victims := sorted(offspring_of(mark), key=lambda each: each.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(victims).kill()
        assert finished(root).items() >= kept.items()
        kept = finished(root)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        if process.poll() is None:
            continue
        _, alive = psutil.wait_procs(offspring_of(mark), timeout=60)
        assert not alive
        if process.returncode == 0:  # it was quicker: the next one
            whole(root, kept)
            number, kept = number + 1, {}
            root = tmp_path / f"run-{number}"
        process = begun(root, mark)
    process.kill()
    process.wait()
    complete(root, kept, mark)
