"""A full disk is a typed failure of the cell that filled it, and of no other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.journal import CellRecord
from harness.lines import read
from tests.distributed.conftest import RANKBENCH, TWO, Run, rankbench

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

FILLS = f"{Path(__file__).with_name('full_disk.py')}:Fills"
SAVE = ("scenarios.roundtrip.save:Save", "--set", "save.how=rank0,dcp", "--set", "save.layers=8")
SPLIT = ("scenarios.split:Split", "--set", "split.how=whole", "--set", "split.size=64")
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


def judge(cells: list[CellRecord], arms: int, finders: set[int]) -> None:
    """Every case of Fills but the small ones says that the disk is full, and which of ``finders`` found it so."""
    fills = told(cells, "fills")
    assert len(fills) == arms * 3
    for case, (status, message) in fills.items():
        if "how=small" in case:
            assert (status, message) == ("ok", ""), case
        else:
            assert status == "error", (case, status, message)
            assert message.startswith("the disk is full"), (case, message)
    ranks = {
        cell.rank for cell in cells if cell.status == "error" and cell.case.endswith("@2") and "fills" in cell.case
    }
    assert ranks
    assert ranks <= finders


def test_a_file_that_takes_no_byte_fails_its_own_cells(tmp_path: Path) -> None:
    root = tmp_path / "run"
    arms = "fills.how=small,torch,path,dcp,program"  # safetensors does not write through a link
    run = rankbench("run", FILLS, "--set", "fills.disk=device", "--set", arms, *TWO, *BUDGET, "--out", root, root=root)
    assert run.code == 1, run.out
    judge(run.cells, 5, {1})
    assert not (root / "scratch").exists()


def test_a_disk_that_fills_up_fails_its_own_cells(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    kept.mkdir()
    within = namespace(disk)
    if within is None:
        pytest.skip("no file system may be mounted here; the test before this one has shown the same with /dev/full")
    # the disk is gone with the namespace, so what is asked about afterwards is copied
    then = 'shift; out="$1"; shift; "$@"; code=$?; ls "$0/run" > "$out/names"; cp "$0/run/journal.jsonl" "$out"'
    line = ["run", FILLS, *SAVE, *SPLIT, *TWO, *BUDGET, "--out", str(disk / "run")]
    done = subprocess.run(
        [*within, f"{MOUNT}; {then}; exit $code", str(disk), "-", str(kept), *RANKBENCH, *line],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    run = Run(kept, done.returncode, done.stdout + done.stderr)
    assert run.code == 1, run.out
    cells = [entry for entry in read(kept / "journal.jsonl") if isinstance(entry, CellRecord)]
    judge(cells, 6, {0, 1})  # one file takes the room of both: the rank with the small one may find none first
    for case, (status, message) in told(cells, "save").items():
        assert (status, message[:16]) == ("error", "the disk is full"), (case, status, message)
    assert {status for status, _ in told(cells, "split").values()} == {"ok"}  # it came afterwards
    assert "scratch" not in (kept / "names").read_text().split()
