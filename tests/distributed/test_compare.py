"""Real runs against one another: a slowdown that was planted is found, and nothing else is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.distributed.conftest import RANKBENCH, Run, rankbench

PLANTED = Path(__file__).with_name("planted.py")


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RANKBENCH, "compare", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def measured(root: Path, *options: object) -> Run:
    run = rankbench("run", f"{PLANTED}:Planted", "--devices", "cpu:1", "--out", root, *options, root=root)
    assert run.code == 0, run.out
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four launches as it is, and four at a tenth of the speed: more than what any neighbour does."""
    folder, told = tmp_path_factory.mktemp("compared"), {}
    for name, factor in (("base", "1"), ("slow", "10")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TORCH_PLANTED", factor)
            told[name] = measured(folder / name, "--launches", 4).root
    return told


def test_a_planted_slowdown_fails_the_gate_and_the_setting_is_named(runs: dict[str, Path]) -> None:
    told = compare(runs["base"], runs["slow"], "--format", "json")
    found = json.loads(told.stdout)
    (row,) = found["cases"]
    assert told.returncode == 1, told.stderr
    assert (row["verdict"], row["confirmed"]) == ("slower", True)
    assert row["ratio_low"] < 10.5
    assert row["ratio_high"] > 9.5
    assert {"name": "variables.TORCH_PLANTED", "base": "1", "new": "10"} in found["differences"]
    assert {each["probe"] for each in found["probes"]} == {"gemm"}


def test_the_other_way_round_is_faster_and_fails_nothing(runs: dict[str, Path]) -> None:
    told = compare(runs["slow"], runs["base"], "--strict")
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith("NEW is not found worse than BASE. 1 case: 1 faster.")


def test_a_single_launch_leaves_it_undecided(runs: dict[str, Path], tmp_path: Path) -> None:
    one = measured(tmp_path / "one", "--launcher", "inline").root
    assert compare(runs["base"], one).returncode == 0
    strict = compare(runs["base"], one, "--strict")
    assert strict.returncode == 3
    assert "that takes 4 launches of each run" in " ".join(strict.stdout.split())


def test_runs_of_other_threads_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    plan = json.loads((runs["slow"] / "plan.json").read_text()) | {"threads": 2}
    other = tmp_path / "other"
    other.mkdir()
    for name in ("environment.json", "journal.jsonl"):
        shutil.copy(runs["slow"] / name, other)
    (other / "plan.json").write_text(json.dumps(plan))
    told = compare(runs["base"], other)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "rankbench: NEW's threads must equal BASE's (1), but is 2; measure both alike\n"
