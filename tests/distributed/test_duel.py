"""Real duels: launches of two environments that take turns, and what is planted in one of them."""

from __future__ import annotations

import json
import sys
import venv
from collections import Counter
from pathlib import Path

import pytest

from harness.journal.run_directory import RunDir
from tests.distributed.conftest import Run, command, rankbench

PLANTED = f"{Path(__file__).with_name('planted.py')}:Planted"


@pytest.fixture(scope="module")
def duel(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """B has a fiftieth of the speed, more than what any neighbour does; its interpreter borrows this one's packages."""
    folder = tmp_path_factory.mktemp("duel")
    venv.create(folder / "other", symlinks=True)
    site = next((folder / "other").glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    b = f"{folder / 'other'} TORCH_PLANTED=50"
    line = ("duel", PLANTED, "--devices", "cpu:1", "--b", b, "--turns", 6, "--out", folder / "run")
    return rankbench(*line, root=folder / "run")


def test_a_planted_slowdown_is_confirmed_and_fails(duel: Run) -> None:
    assert duel.code == 1, duel.out
    assert {cell.status for cell in duel.cells} == {"ok"}
    rows = {row["side"]: row for row in duel.summary["sides"]}
    assert (rows["b"]["verdict"], rows["b"]["confirmed"]) == ("slower", True)
    assert rows["a again"]["verdict"] != "slower"
    assert rows["a again"]["control"] is True
    assert rows["b"]["blocks"] == 6


def test_each_turn_has_a_launch_of_each_side(duel: Run) -> None:
    plan = RunDir(duel.root).plan()
    assert Counter(plan.side_of(launch.launch).name for launch in duel.launches) == {"a": 6, "b": 6, "a again": 6}
    slow = {launch.launch for launch in duel.launches if launch.variables.get("TORCH_PLANTED") == "50"}
    assert slow == {launch for launch in range(18) if plan.side_of(launch).name == "b"}
    prints = {plan.side_of(launch.launch).name: launch.fingerprint for launch in duel.launches}
    assert prints["a"] == prints["a again"] != prints["b"]


def test_what_differs_is_told(duel: Run) -> None:
    differs = json.loads((duel.root / "environment.json").read_text())["sides"]
    assert differs["a again"] == {}
    assert differs["b"]["variables"]["TORCH_PLANTED"] == "50"
    assert "other/bin/python" in duel.page
    assert "<code>TORCH_PLANTED</code> 50" in duel.page
    assert duel.page.count("<code>TORCH_PLANTED</code>") == 1


def test_an_interpreter_that_cannot_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    done = command("duel", PLANTED, "--devices", "cpu:1", "--b", tmp_path / "bare", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("rankbench: --b must be able to run rankbench")
    assert "No module named" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
