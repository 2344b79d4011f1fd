"""Real runs against one another: a slowdown that was planted is found, and nothing else is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.distributed.conftest import command, rankbench

PLANTED = Path(__file__).with_name("planted.py")


def measured(root: Path, *options: object, **variables: object) -> Path:
    line = ("run", f"{PLANTED}:Planted", "--devices", "cpu:1", "--out", root, *options)
    run = rankbench(*line, root=root, **variables)
    assert run.code == 0, run.out
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four launches as it is, and four at a hundredth of the speed: more than what any neighbour does."""
    folder, told = tmp_path_factory.mktemp("compared"), {}
    for name, factor in (("base", 1), ("slow", 100)):
        told[name] = measured(folder / name, "--launches", 4, TORCH_PLANTED=factor)
    return told


def test_a_planted_slowdown_fails_the_gate_and_the_setting_is_named(runs: dict[str, Path]) -> None:
    told = command("compare", runs["base"], runs["slow"], "--format", "json")
    found = json.loads(told.stdout)
    (row,) = found["cases"]
    assert told.returncode == 1, told.stderr
    assert (row["verdict"], row["confirmed"]) == ("slower", True)
    assert {"name": "variables.TORCH_PLANTED", "base": "1", "new": "100"} in found["differences"]
    assert {each["probe"] for each in found["probes"]} == {"gemm"}


def test_the_other_way_round_is_faster_and_fails_nothing(runs: dict[str, Path]) -> None:
    told = command("compare", runs["slow"], runs["base"], "--strict")
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith("NEW is not found worse than BASE. 1 case: 1 faster.")


def test_a_single_launch_leaves_it_undecided(runs: dict[str, Path], tmp_path: Path) -> None:
    one = measured(tmp_path / "one", "--launcher", "inline")
    assert command("compare", runs["base"], one).returncode == 0
    strict = command("compare", runs["base"], one, "--strict")
    assert strict.returncode == 3
    assert "that takes 4 launches of each run" in " ".join(strict.stdout.split())


def test_runs_of_other_threads_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    plan = json.loads((runs["slow"] / "plan.json").read_text()) | {"threads": 2}
    other = tmp_path / "other"
    other.mkdir()
    for name in ("environment.json", "journal.jsonl"):
        shutil.copy(runs["slow"] / name, other)
    (other / "plan.json").write_text(json.dumps(plan))
    told = command("compare", runs["base"], other)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "rankbench: NEW's threads must equal BASE's (1), but is 2; measure both alike\n"
