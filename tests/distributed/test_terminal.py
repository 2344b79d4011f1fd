"""What a person sees in a terminal: every command that shows progress or a table, at the widths that people have."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.journal.run_directory import RunDir
from launch.supervision.stop_signals import SAID
from tests import factories
from tests.distributed.conftest import PLUGINS, Run
from tests.distributed.terminals import CTRL_C, Seen, on_a_terminal

TWO = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")
QUICK = ("--devices", "cpu:1", "--set", "split.size=64", "--set", "split.how=whole")
FRAGMENTS = ("starting the ranks", "preparing", "round ", "≈")
"""Of the line that shows progress."""


def well_shown(seen: Seen, folder: Path) -> None:
    """The progress is gone, the report is named, and the terminal is left as it was."""
    assert not [line for line in seen.lines if any(fragment in line for fragment in FRAGMENTS)], seen.text
    assert f"report: {folder / 'report.html'}" in seen.text.replace("\n", ""), seen.text
    assert "Traceback" not in seen.text
    assert "\N{REPLACEMENT CHARACTER}" not in seen.text
    assert not seen.cursor_hidden


def test_an_interrupted_run_and_its_resumption(tmp_path: Path) -> None:
    """Both show their progress; the first on 80 columns, the other on 30, where the table is a list."""
    root, steps = tmp_path / "run", tmp_path / "steps"
    steps.touch()

    def interrupt(keys: Callable[[bytes], None]) -> None:
        if steps.stat().st_size >= 8 and not pressed:
            pressed.append(True)
            keys(CTRL_C)

    pressed: list[bool] = []
    line = ["run", f"{PLUGINS}:Steps", "split", *QUICK, "--set", "steps.ends=yes", "--launcher", "inline"]
    first = on_a_terminal([*line, "--budget", 12, "--out", root], 80, during=interrupt, RANKBENCH_STEPS=str(steps))
    assert first.code == 130, first.text
    assert "launch 0 (1 of 1)" in first.passing
    assert SAID in first.words
    assert f"interrupted by Ctrl-C; finish it with: rankbench run --resume {root}" in first.text.replace("\n", "")
    well_shown(first, root)
    assert first.text.splitlines()[-1] != ""
    rest = on_a_terminal(["run", "--resume", root], 30, RANKBENCH_STEPS=str(steps))
    assert rest.code == 0, rest.text
    assert "launch 0" in rest.passing
    assert " 1 device: " in rest.text
    well_shown(rest, root)
    assert {cell.status for cell in Run(root, 0, "").cells} <= {"ok", "skipped"}


@TWO
def test_a_run_of_which_a_rank_fails_and_what_stands_in_a_terminal_of_every_width(tmp_path: Path) -> None:
    root = tmp_path / "run"
    line = ["run", f"{PLUGINS}:Raises", "split", "--set", "split.size=64", "--devices", "cpu:2"]
    seen = on_a_terminal([*line, "--launches", 1, "--budget", 6, "--out", root], 120)
    assert seen.code == 1
    assert "starting the ranks" in seen.passing
    assert "raises@2, launch 0: error on rank 1: ValueError: the twelfth step" in seen.lines
    assert [row for row in seen.lines if row.startswith("raises ") and "error (rank 1)" in row]
    well_shown(seen, root)
    narrow = on_a_terminal(["report", root], 30)
    assert narrow.code == 0
    assert "2 devices: error (rank 1)" in narrow.words
    well_shown(narrow, root)


def test_a_duel(tmp_path: Path) -> None:
    root = tmp_path / "run"
    line = ["duel", "split", *QUICK, "--b", "TORCH_OF_B=1", "--turns", 1]
    seen = on_a_terminal([*line, "--out", root], 80)
    assert seen.code == 0, seen.text
    assert re.search(r"launch \d \(\d of 3\)", seen.passing)
    well_shown(seen, root)


@pytest.mark.parametrize("columns", [120, 80, 30])
def test_a_comparison(tmp_path: Path, columns: int) -> None:
    runs: list[RunDir] = [factories.build(tmp_path / name, seed=seed) for name, seed in (("base", 0), ("new", 1))]
    seen = on_a_terminal(["compare", *(run.root for run in runs)], columns)
    assert seen.code in (0, 1), seen.text
    assert "BASE" in seen.text and "NEW" in seen.text
    rows = [line for line in seen.lines if "how=pieces" in line]
    assert rows and all("…" not in line for line in seen.lines)
    assert (" 2 devices: BASE" in seen.text) == (columns == 30)
