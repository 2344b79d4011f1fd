"""Somebody's own torchrun: each invocation is one more launch of the run directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.distributed.conftest import Run, torchrun

pytestmark = [
    pytest.mark.quiet,  # it shares launches with those that need it
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices"),
]


def test_two_invocations_are_two_launches_of_one_run(joined_run: list[Run]) -> None:
    for run in joined_run:
        assert run.code == 0, run.out
    assert [launch.launch for launch in run.launches] == [0, 1]
    assert {cell.status for cell in run.cells} == {"ok"}
    (row,) = [row for row in run.summary["cells"] if (row["variant"], row["world_size"]) == ("each", 2)]
    assert row["launches"] == 2
    assert row["speedup"] > 0 and row["median_s"] > 0


def test_the_one_that_is_asked_for_profiles_makes_them_after_its_launch(joined_run: list[Run]) -> None:
    run = joined_run[-1]
    assert [entry.type for entry in run.entries][-7:] == ["profile"] * 6 + ["end"]
    assert sum(len(row["files"]) for row in run.summary["profiles"]) == 3 * (1 + 2)
    assert all((run.root / "profiles" / name).is_file() for row in run.summary["profiles"] for name in row["files"])


def test_an_invocation_of_another_plan_is_refused_by_one_line(joined_run: list[Run]) -> None:
    run = joined_run[-1]
    other = torchrun(run.root, "frobenius", "--set", "frobenius.size=25", "--budget", "5")
    assert other.code != 0
    assert other.out.count("has launches with other options") == 1
    assert len(run.launches) == 2


LATE = """
import os, sys, time
from pathlib import Path
from harness.cli import app as cli

refused, sleep = Path(__file__).with_name("refused"), time.sleep
if os.environ["RANK"] == "1":
    time.sleep = lambda due_s: (refused.touch(), sleep(due_s))
else:
    while not refused.exists():
        sleep(0.01)
sys.exit(cli.run_app(sys.argv[1:]))
"""
"""Rank 0 does not begin before rank 1 has been refused and waits."""


def test_more_ranks_than_devices_are_refused_by_one_line_of_rank_0_though_it_is_late(tmp_path: Path) -> None:
    (late := tmp_path / "late.py").write_text(LATE)
    run = torchrun(tmp_path / "run", "frobenius", "--devices", "cpu:1", program=[str(late)])
    assert run.code != 0
    assert (
        run.out.count("rankbench: --nproc-per-node must be at most the 1 devices, but is 2; start 1 or fewer ranks")
        == 1
    )
    assert not (tmp_path / "run").exists()
