"""Whatever breaks is a typed cell with the right rank in time, the rest is measured, and nothing is left.

Each fault once; what befalls Ray's actors is in tests/distributed/test_ray.py. All of them at every moment, under every
launcher: `make faults`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from harness.journal.plan import Record
from harness.journal.protocol import Order
from harness.journal.records import CellRecord
from harness.planning.builder import make
from harness.planning.request import RunRequest
from launch.local.torchrun import Torchrun
from launch.processes.cleanup import kill_all, marked
from tests.distributed.conftest import LOOPBACK, PLUGINS, RANKBENCH, listeners
from tests.faults.matrix import ALONE, EXPECTED, Setting, plant

TWO = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


@pytest.mark.parametrize(
    ("setting", "kinds", "moments"),
    [
        pytest.param(Setting("torchrun", 2, ddp=True), tuple(EXPECTED), ("sample",), marks=TWO, id="torchrun"),
        pytest.param(Setting("inline", 1, ddp=False), ALONE, ("close",), id="inline"),
    ],
)
def test_what_breaks_is_told_in_time_and_the_rest_is_measured(
    setting: Setting, kinds: tuple[str, ...], moments: tuple[str, ...]
) -> None:
    told = plant(setting, kinds, moments, grace_s=60)  # other tests run beside
    assert not told.complaints, "\n".join(told.complaints)
    assert len(told.outcomes) == len(kinds) * len(moments)


def test_a_run_whose_reader_has_gone_goes_on(tmp_path: Path) -> None:
    line = [*RANKBENCH, "run", "split", "--devices", "cpu:1", "--launcher", "inline", "--budget", "4"]
    line += ["--set", "split.size=64", "--out", str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert process.returncode == 0, complaint
    assert not complaint
    assert (tmp_path / "run" / "report.html").exists()


@TWO
def test_an_agent_that_somebody_has_killed_is_replaced_and_one_whose_ranks_hang_is_not(tmp_path: Path) -> None:
    names, settings = [f"{PLUGINS}:Hangs", "split"], ["split.size=64", "split.how=whole"]
    run_request = RunRequest(
        names=names, settings=settings, devices="cpu:2", world_sizes="2", launches=1, budget_s=4, deadline_s=4
    )
    plan, told = make(run_request), []
    single = make(RunRequest(names=["split"], settings=settings, devices="cpu:1", launches=1, budget_s=4))
    hang, good, alone = (
        Order(
            plan=plan,
            launch=0,
            attempt=0,
            todo={index: plan.comparisons[index].cases},
            budget_s=1,
            fingerprint="f",
            scratch=str(tmp_path),
        )
        for plan, index in ((plan, 0), (plan, 1), (single, 0))
    )
    (tmp_path / "logs").mkdir()
    (obstacle := tmp_path / "logs" / "launch-0-0").touch()
    addresses: list[set[str]] = []

    def hear(record: Record) -> None:
        told.append(record)
        addresses.append(listeners(marked(launcher._mark)))

    with Torchrun(tmp_path / "logs") as launcher:
        launcher._agent.kill()
        killed = launcher._agent.wait()
        nowhere = launcher.launch(good, lambda _: None)
        obstacle.unlink()
        ending = launcher.launch(hang, lambda _: None)
        replaced = launcher._agent
        kill_all(child.pid for child in psutil.Process(replaced.pid).children())  # the next gang starts a fork server
        assert launcher.launch(good, hear) is None
        servers = psutil.Process(replaced.pid).children()
        assert launcher.launch(alone, hear) is None
        assert launcher._agent is replaced
        assert servers and psutil.Process(replaced.pid).children() == servers
    assert nowhere is not None and (nowhere.status, nowhere.rank) == ("died", None)
    assert nowhere.message.startswith("the launching process could not start the ranks: FileExistsError")
    assert nowhere.message.endswith("; see logs/agent.log")
    assert addresses[0] and set.union(*addresses) <= LOOPBACK
    assert killed == -signal.SIGKILL
    assert ending is not None and (ending.status, ending.rank) == ("hang", 1)
    cells = {cell.case: cell.status for cell in told if isinstance(cell, CellRecord)}
    assert cells == {case.key: "ok" for case in (*plan.comparisons[1].cases, *single.comparisons[0].cases)}
