"""A full disk is a typed failure of the cell that filled it, and of no other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.journal.log import read
from harness.journal.records import CellRecord, EndRecord
from tests.distributed.conftest import PLUGINS, RANKBENCH, TWO, Run, torchrun
from tests.limits import LIMIT_S

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

FILLS = f"{Path(__file__).with_name('full_disk.py')}:Fills"
HOGS = f"{Path(__file__).with_name('full_disk.py')}:Hogs"
IMPATIENT = """
import sys
from harness.cli import app as cli; from harness.journal import log as lines
lines.PATIENCE_S = 1.0
sys.exit(cli.run_app(sys.argv[1:]))
"""
SAVE = ("scenarios.chapter.roundtrip.save:Save", "--set", "save.how=rank0,dcp", "--set", "save.layers=8")
SPLIT = ("scenarios.chapter.products.split:Split", "--set", "split.how=whole", "--set", "split.size=64")
BUDGET = ("--launches", "1", "--budget", "8")
MOUNT = 'mount -t tmpfs -o size=20m tmpfs "$0" && mkdir "$0/run"'
"""A disk of its own, in a namespace that takes it away when its last process has ended."""


def namespace(folder: Path) -> list[str] | None:
    """A command under which a small file system may be mounted; None where the system permits none."""
    for flags in ("-m", "-Urm"):
        line = ["unshare", flags, "sh", "-c", MOUNT, str(folder)]
        if shutil.which("unshare") and subprocess.run(line, capture_output=True, check=False).returncode == 0:
            return line[:4]
    return None


def told(cells: list[CellRecord], scenario: str) -> dict[str, tuple[str, str]]:
    """Status and message of each case."""
    return {cell.case: (cell.status, cell.message or "") for cell in cells if cell.case.startswith(scenario)}


def judge(cells: list[CellRecord], variants: int) -> None:
    """Every case of Fills but the small ones says that the disk is full."""
    fills = told(cells, "fills")
    assert len(fills) == variants * 3
    for case, (status, message) in fills.items():
        if "how=small" in case:
            assert (status, message) == ("ok", ""), case
        else:
            assert status == "error", (case, status, message)
            assert message.startswith("the disk is full"), (case, message)


def on_a_small_disk(tmp_path: Path, program: Sequence[str], *line: str) -> tuple[Run, list[str]]:
    """A run on a disk of its own, and the names that were left; the disk is gone, and the journal is a copy."""
    disk, kept = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    kept.mkdir()
    within = namespace(disk)
    if within is None:
        pytest.skip("no file system may be mounted here; test_scratch shows on one rank the same with /dev/full")
    then = 'shift; out="$1"; shift; "$@"; code=$?; ls "$0/run" > "$out/names"; cp "$0/run/journal.jsonl" "$out"'
    done = subprocess.run(
        [*within, f"{MOUNT}; {then}; exit $code", str(disk), "-", str(kept), *program, *line, "--out", f"{disk}/run"],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    return Run(kept, done.returncode, done.stdout + done.stderr), (kept / "names").read_text().split()


def cells_of(run: Run) -> list[CellRecord]:
    return [entry for entry in read(run.root / "journal.jsonl") if isinstance(entry, CellRecord)]


def test_a_disk_that_fills_up_fails_its_own_cells(tmp_path: Path) -> None:
    run, names = on_a_small_disk(tmp_path, RANKBENCH, "run", FILLS, *SAVE, *SPLIT, *TWO, *BUDGET)
    assert run.code == 1, run.out
    cells = cells_of(run)
    judge(cells, 6)
    for case, (status, message) in told(cells, "save").items():
        assert (status, message[:16]) == ("error", "the disk is full"), (case, status, message)
    assert {status for status, _ in told(cells, "split").values()} == {"ok"}  # it came afterwards
    assert "scratch" not in names


def test_a_disk_that_stays_full_ends_the_run_with_what_there_was(tmp_path: Path) -> None:
    program = (sys.executable, "-c", IMPATIENT)
    run, names = on_a_small_disk(tmp_path, program, "run", *SPLIT[:1], HOGS, *SPLIT[1:], *TWO, *BUDGET)
    assert run.code == 1, run.out
    assert "Traceback" not in run.out
    assert "journal.jsonl cannot be written: No space left on device; make room on its disk, and finish" in run.out
    assert "no report:" in run.out
    cells = cells_of(run)
    assert {cell.status for cell in cells} == {"ok"}
    assert 0 in {cell.comparison for cell in cells}
    assert not any(isinstance(entry, EndRecord) for entry in read(run.root / "journal.jsonl"))  # it ended before
    assert "scratch" not in names


def test_a_journal_that_fails_under_somebodys_torchrun_is_told_once_and_by_no_traceback_of_ours(tmp_path: Path) -> None:
    run = torchrun(tmp_path / "run", f"{PLUGINS}:Chokes", "--budget", "5")
    assert run.code != 0
    assert run.out.count("journal.jsonl cannot be written: File too large") == 1
    assert not re.search(r'File ".*/(harness|launch)/', run.out), run.out
    assert [entry.type for entry in run.entries][:2] == ["launch", "begin"]
    assert "end" not in {entry.type for entry in run.entries}
