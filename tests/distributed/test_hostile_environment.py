"""One real run amid what an environment may hold against it, and a scenario of two files that fails in part."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.distributed.conftest import TWO, Run, command
from tests.limits import LIMIT_S

WORK = '''
"""A sum over batches that a worker process loads."""
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch.utils.data import DataLoader

from helper_of_mine import Squares
from harness.scenario import Gang, Work, Workload, variant


class Rooted(Squares):
    """Its class is one of the scenario's own file."""


@dataclass(frozen=True, kw_only=True)
class Loads:
    """A sum over batches that a worker process loads."""

    scaling: ClassVar = "weak"
    dropout: float = 0
    label: str = ""
    how: Literal["forked", "fresh", "fails"] = variant(baseline="forked")

    def prepare(self, gang: Gang) -> Workload:
        if self.how == "fails":
            print("a word from a rank")
            raise ValueError(f"no {self.label}")
        method = "fork" if self.how == "forked" else "spawn"
        numbers = torch.cat(list(DataLoader(Rooted(8), batch_size=4, num_workers=1, multiprocessing_context=method)))

        def check(total: torch.Tensor) -> None:
            assert total == sum(number * number for number in range(8))

        return Workload(lambda: numbers.sum(), check=check, work=Work(items=8))
'''
HELPER = """
from torch.utils.data import Dataset

class Squares(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return float(index * index)
"""
FOREIGN = ("harness", "launch", "reports", "scenarios", "random", "json", "profile", "torch")
"""Modules that a file of the current folder is called like."""
VARIABLES = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "elsewhere", "COLUMNS": "0"}
"""Some of torchrun's, as a container sets them, and a terminal without a width."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, site = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("site")
    work = tmp_path_factory.mktemp("my work, of today")
    for name in FOREIGN:
        (folder / f"{name}.py").write_text("raise SystemExit('a file of the current folder was imported')")
    (site / "sitecustomize.py").write_text("print('Welcome to the cluster!')")
    (work / "loads.py").write_text(WORK)
    (work / "helper_of_mine.py").write_text(HELPER)
    for line in (("init", "-q"), ("symbolic-ref", "HEAD", b"refs/heads/gr\xf6\xdfe")):
        subprocess.run(["git", *line], cwd=folder, check=True)
    line = ("run", f"{work / 'loads.py'}:Loads", *TWO, "--set", "loads.dropout=0", "--set", r"loads.label=a\,b")
    told = subprocess.run(
        [sys.executable, "-P", "-m", "harness", *line, "--launches", "1", "--budget", "10", "--out", "run"],
        cwd=folder, env=os.environ | VARIABLES | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    return Run(folder / "run", told.returncode, told.stdout + told.stderr)


def test_it_measures_and_reports(run: Run) -> None:
    assert run.code == 1, run.out
    states = Counter((cell.status, "how=fails" in cell.case) for cell in run.cells)
    assert set(states) == {("ok", False), ("error", True)}, run.out
    assert "ValueError: no a,b" in run.page


def test_who_looks_for_what_ranks_printed_is_told_where(run: Run) -> None:
    assert "what the ranks printed is in run/logs" in run.out
    assert "ls run/logs" in run.page
    printed = [path.read_text() for path in (run.root / "logs").rglob("*") if path.is_file()]
    assert any("a word from a rank" in text for text in printed)


def test_the_command_line_of_what_failed_is_taken(run: Run, tmp_path: Path) -> None:
    again = next(cell["again"] for cell in run.summary["strip"] if cell["again"])
    assert r"loads.label=a\,b" in shlex.split(again)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    told = command(*shlex.split(again)[1:], "--out", tmp_path / "taken")
    assert told.stderr.startswith("rankbench: --out must be a new or empty folder")  # the last thing that is looked at
