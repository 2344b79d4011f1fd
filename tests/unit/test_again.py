"""The command line of a failed case measures that case."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.plan import Plan, Side
from harness.planner import make
from harness.wish import Wish
from reports.again import command
from tests.limits import LIMIT_S

PLUGINS = Path(__file__).parents[1] / "distributed" / "plugins.py"
FIELDS = {
    "--devices": "devices",
    "--world-sizes": "world_sizes",
    "--launcher": "launcher",
    "--launches": "launches",
    "--placement": "placement",
    "--threads": "threads",
    "--seed": "seed",
    "--deadline": "deadline_s",
}


def parsed(line: str) -> Plan:
    """The plan of a command line, read as the option parser would."""
    words = shlex.split(line)
    assert words[:2] == ["rankbench", "run"]
    told: dict[str, object] = {"settings": []}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        if option == "--set":
            told["settings"] = [*told["settings"], value]  # type: ignore[misc]
        else:
            field = FIELDS[option]
            told[field] = type(getattr(Wish(launches=1, devices="", world_sizes="", launcher=""), field))(value)
    return make(Wish(names=[words[2]], **told))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["split", f"{PLUGINS}:Dies"])
def test_the_case_of_a_command_line_is_the_case_that_failed(name: str) -> None:
    plan = make(Wish(names=[name], devices="cpu:2", launcher="ray", placement="spread", seed=3, deadline_s=7))
    for comparison in plan.comparisons:
        for case in comparison.cases:
            if case.probe:
                continue
            again = parsed(command(plan, plan.sides[0], case))
            (only,) = again.comparisons
            measured = {each.key for each in only.cases if not each.probe}
            assert case.key in measured
            assert case.packed or measured == {case.key}
            assert (again.seed, again.deadline_s, again.launches, again.placement) == (3, 7, 1, "spread")


def test_a_case_of_another_side_is_measured_again_as_on_that_side(tmp_path: Path) -> None:
    """By a shell, with an interpreter that has none of our packages."""
    told, python = tmp_path / "told", tmp_path / "other python"
    python.write_text(f'#!/bin/sh\necho "$NCCL_SOCKET_IFNAME" "$@" > {told}\n')
    python.chmod(0o755)
    plan = make(Wish(names=["split"], devices="cpu:1"))
    side = Side(name="b", launcher="torchrun", python=str(python), variables={"NCCL_SOCKET_IFNAME": "^lo; $HOME"})
    line = command(plan, side, plan.comparisons[0].cases[0])
    subprocess.run(line, shell=True, check=True)
    root = Path(__file__).parents[2]
    program = root / "harness" / "abroad.py"
    assert told.read_text().startswith(f"^lo; $HOME {program} run scenarios.split:Split --devices cpu:1 ")


def test_the_command_line_runs_by_an_interpreter_that_lacks_these_packages(tmp_path: Path) -> None:
    line = [sys.executable, str(Path(__file__).parents[2] / "harness" / "abroad.py"), "--version"]
    (tmp_path / "launch.py").write_text("raise SystemExit('a file of the current folder was imported')")
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr, done.stdout.split()[0]) == (0, "", "rankbench")
