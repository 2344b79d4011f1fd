"""The command line of a failed case measures that case."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.common.startup import program
from harness.device import device
from harness.journal.plan import Plan, Side
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.plugins.fields import split, written
from reports.wording.commands import command
from tests.limits import LIMIT_S

PLUGINS = Path(__file__).parents[3] / "distributed" / "plugins.py"
FIELDS = {
    "--out": "command",
    "--devices": "devices",
    "--world-sizes": "world_sizes",
    "--launcher": "launcher",
    "--launches": "launches",
    "--placement": "placement",
    "--threads": "threads",
    "--seed": "seed",
    "--deadline": "deadline_s",
}


def parsed(line: str, ranks: tuple[int, int] | None = None, **more: object) -> Plan:
    """The plan of a command line, read as the option parser would; under torchrun, with so many ``ranks``."""
    begin = program(*(ranks or (1, None)))
    assert line.startswith(f"{begin} run ")
    words = ["rankbench", *shlex.split(line.removeprefix(begin))]
    told: dict[str, object] = {"settings": []}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        if option == "--set":
            told["settings"] = [*told["settings"], value]  # type: ignore[misc]
        else:
            field = FIELDS[option]
            told[field] = type(getattr(RunRequest(launches=1, devices="", world_sizes="", launcher=""), field))(value)
    return make(RunRequest(names=[words[2]], **told, **more), ranks)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["split", f"{PLUGINS}:Dies"])
def test_the_case_of_a_command_line_is_the_case_that_failed(name: str) -> None:
    plan = make(RunRequest(names=[name], devices="cpu:2", launcher="ray", placement="spread", seed=3, deadline_s=7))
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


def test_a_case_shares_a_device_again_only_where_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores", lambda: [0, 1])
    plan = make(RunRequest(names=["split"], devices="cpu:3", share_device=True))
    for case in plan.comparisons[0].cases:
        if not case.probe:
            line = command(plan, plan.sides[0], case)
            assert f"--devices cpu:{case.world_size} " in line
            assert ("--share-device" in line) == (case.world_size > 2)
            again = parsed(line.replace(" --share-device", ""), share_device=case.world_size > 2)
            assert again.devices == plan.devices[: case.world_size]


@pytest.mark.parametrize("ranks", [(2, 2), (4, 2), (4, 1)])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_case_of_a_run_under_torchrun_is_measured_again_with_its_ranks_where_they_were(
    monkeypatch: pytest.MonkeyPatch, ranks: tuple[int, int], kind: str
) -> None:
    monkeypatch.setattr(device, "cores", lambda: [0, 1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    plan = make(RunRequest(names=["split"], devices=f"cpu:{ranks[1]}" if kind == "cpu" else "cuda", seed=3), ranks)
    size, local = ranks
    hosts = "" if size == local else f"--nnodes={size // local} "
    for case in plan.comparisons[0].cases:
        if not case.probe:
            line = command(plan, plan.sides[0], case)
            assert line.startswith(f"torchrun {hosts}--nproc-per-node={local} ") and " --out " in line
            again = parsed(line, ranks)
            assert again.devices == plan.devices and again.ranks_per_host == local and again.seed == 3
            assert case.key in {each.key for each in again.comparisons[0].cases}
    assert plan.identity == plan.model_copy(update={"ranks_per_host": None}).identity


AXES = """
from dataclasses import dataclass
from typing import ClassVar
from harness.scenario import axis

@dataclass(frozen=True)
class Axes:
    scaling: ClassVar = "none"
    on: bool = False
    whole: int = 0
    number: float = 0
    word: str = ""

    def prepare(self, gang): ...
"""
PRINTABLE = st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" ,\\\\'\"=$.;-")


@pytest.fixture(scope="module")
def axes(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("a folder, with") / "axes.py"
    path.write_text(AXES)
    return f"{path}:Axes"


@given(
    on=st.booleans(),
    whole=st.integers(),
    number=st.floats(allow_nan=False, allow_infinity=False),
    word=st.text(PRINTABLE, max_size=8).filter(str.isprintable),
)
def test_any_values_that_axes_may_have_are_set_again(axes: str, on: bool, whole: int, number: float, word: str) -> None:
    params = {"on": on, "whole": whole, "number": number, "word": word}
    plan = make(RunRequest(names=[axes], devices="cpu:1"))
    case = plan.comparisons[0].cases[0].model_copy(update={"params": params})
    (only,) = parsed(command(plan, plan.sides[0], case)).comparisons
    assert only.cases[0] == case
    assert repr(only.cases[0].params) == repr(params)


@given(st.lists(st.text(PRINTABLE, max_size=4), min_size=1, max_size=4))
def test_values_that_are_written_in_one_text_are_split_again(texts: list[str]) -> None:
    assert split(written(texts)) == texts


def test_a_case_of_another_side_is_measured_again_as_on_that_side(tmp_path: Path) -> None:
    """By a shell, with an interpreter that has none of our packages."""
    told, python = tmp_path / "told", tmp_path / "other python"
    python.write_text(f'#!/bin/sh\necho "$NCCL_SOCKET_IFNAME" "$@" > {told}\n')
    python.chmod(0o755)
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    side = Side(name="b", launcher="torchrun", python=str(python), variables={"NCCL_SOCKET_IFNAME": "^lo; $HOME"})
    line = command(plan, side, plan.comparisons[0].cases[0])
    subprocess.run(line, shell=True, check=True)
    root = Path(__file__).parents[4]
    program = root / "harness" / "cli" / "other_interpreter.py"
    expected = f"^lo; $HOME {program} run scenarios.chapter.products.split:Split --devices cpu:1 "
    assert told.read_text().startswith(expected)


def test_the_command_line_runs_by_an_interpreter_that_lacks_these_packages(tmp_path: Path) -> None:
    line = [sys.executable, str(Path(__file__).parents[4] / "harness" / "cli" / "other_interpreter.py"), "--version"]
    (tmp_path / "launch.py").write_text("raise SystemExit('a file of the current folder was imported')")
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert (done.returncode, done.stderr, done.stdout.split()[0]) == (0, "", "rankbench")
