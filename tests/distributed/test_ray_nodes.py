"""A real Ray cluster of two nodes, as far as networks and processes are concerned; the driver runs on the first."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.distributed.conftest import PLUGINS, RANKBENCH, SMALL, Run, wait_for_case
from tests.distributed.namespaces import Node, possible, two_nodes
from tests.limits import LIMIT_S

WHY = possible()
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))
PORT = 6379
WHOLE = (*SMALL[4:], "--set", "split.how=whole")
STORE = "--object-store-memory=100000000"
HEALTH = {"initial_delay_ms": "1000", "period_ms": "1000", "timeout_ms": "5000", "failure_threshold": "2"}
"""How soon Ray believes that a node is lost: by default after half a minute, or more."""
SECRET = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(), "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Cluster:
    """The head has two CPUs, the other node has one."""

    head: Node
    other: Node

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def ray(self, node: Node, *words: object) -> None:
        line = (sys.executable, "-m", "ray.scripts.scripts", "start", f"--node-ip-address={node.address}", STORE)
        health = {f"RAY_health_check_{name}": value for name, value in HEALTH.items()}
        with node.start(*line, f"--num-cpus={len(node.cpus)}", *words, env=SECRET | health) as process:
            told = process.communicate(timeout=LIMIT_S)[0]
            assert process.returncode == 0, told

    def rankbench(self, node: Node, *words: object, address: str | None = None) -> subprocess.Popen[str]:
        """A command line on a node, as in a job of the cluster."""
        return node.start(*RANKBENCH, *words, env=SECRET | {"RAY_ADDRESS": address or self.address})


@contextmanager
def started() -> Iterator[Cluster]:
    with two_nodes(cores=2) as nodes:
        made = Cluster(*nodes)
        made.ray(made.head, "--head", f"--port={PORT}", "--include-dashboard=false")
        made.ray(made.other, f"--address={made.address}")
        yield made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started() as made:
        yield made


def finished(process: subprocess.Popen[str], root: Path) -> Run:
    with process:
        told = process.communicate(timeout=LIMIT_S)[0]
    return Run(root, process.returncode, told)


def test_a_complete_run_across_nodes_that_share_no_disk(cluster: Cluster, tmp_path: Path) -> None:
    out, substitutes = "/dev/shm/run", f"rankbench-{'?' * 32}-*"
    before = set(Path("/tmp").glob(substitutes))
    line = ("run", "split", f"{PLUGINS}:Keeps", *WHOLE, "--launcher", "ray", "--devices", "cpu:2")
    more = ("--placement", "spread", "--launches", 1, "--budget", 6, "--out", out)
    process = cluster.rankbench(cluster.head, *line, *more, address="auto")  # as Ray has it: this host's
    run = finished(process, cluster.head.path(out))
    assert run.code == 1, run.out
    apart = "the hosts do not share the run directory's disk; name --out on one that they do"
    skipped = {cell.case: cell.message for cell in run.cells if cell.status != "ok"}
    assert skipped == {"keeps@2": apart}
    assert {cell.case.rpartition("@")[2] for cell in run.cells} == {"1", "2", "1x2"}
    (launch,) = run.launches
    assert [rank.host for rank in launch.ranks] == [cluster.head.name, cluster.other.name]
    assert [rank.cpus for rank in launch.ranks] == [(0,), (1,)]
    usual = os.getpriority(os.PRIO_PROCESS, 0)  # Ray's own would be 15 more
    assert [rank.niceness for rank in launch.ranks] == [usual, usual]
    assert launch.ranks[0].clock_error_s == 0 < launch.ranks[1].clock_error_s
    assert abs(launch.ranks[1].clock_offset_s + cluster.other.ahead_s) <= launch.ranks[1].clock_error_s
    assert not (run.root / "scratch").exists()
    assert set(Path("/tmp").glob(substitutes)) <= before
    shutil.rmtree(run.root)


def test_what_its_nodes_could_never_hold_is_refused_with_what_they_have(cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "run"
    line = ("run", "split", "--launcher", "ray", "--out", root, "--devices")
    spread = finished(cluster.rankbench(cluster.head, *line, "cpu:3", "--placement", "strict-spread"), root)
    assert "--placement strict-spread needs one node per rank, but there are 3 ranks and 2 nodes" in spread.out
    assert spread.code == 2
    assert not root.exists()


def interrupted(cluster: Cluster, driver: Node, lost: Node, placement: str, root: Path) -> Run:
    """A run whose second launch of three loses a node: the first is whole, and every other cell has an outcome."""
    line = ("run", f"{PLUGINS}:Holds", "--launcher", "ray", "--devices", "cpu:2", "--world-sizes", 2, "--launches", 3)
    more = ("--set", f"holds.folder={root.parent}", "--placement", placement, "--out", root)
    process = cluster.rankbench(driver, *line, *more)
    wait_for_case(root, 1, process)
    lost.kill()
    run = finished(process, root)
    assert run.code == 1, run.out
    told = [[cell.status for cell in run.cells if cell.launch == launch] for launch in range(3)]
    assert set(told[0]) == {"ok"}
    assert told[1].count("died") == 1
    assert set(told[1]) <= {"ok", "died", "skipped"}
    assert set(told[2]) == {"skipped"}
    assert {len(statuses) for statuses in told} == {len(told[0])}
    assert "report.html" in run.out
    return run


def test_a_run_that_loses_a_node_ends_in_time_with_what_it_had(cluster: Cluster, tmp_path: Path) -> None:
    run = interrupted(cluster, cluster.head, cluster.other, "strict-spread", tmp_path / "run")
    (died,) = [cell for cell in run.cells if cell.status == "died"]
    assert (died.rank, died.message) == (1, "its process or its node was lost")
    (reason,) = {cell.message for cell in run.cells if cell.status == "skipped"}
    assert reason == "the cluster does not have 2 × 1 CPU (strict-spread); it has 1 node: 2 CPU"
    assert "was lost" in run.page


def test_a_run_that_loses_the_head_with_all_its_ranks_keeps_what_it_had(tmp_path: Path) -> None:
    with started() as own:
        run = interrupted(own, own.other, own.head, "pack", tmp_path / "run")
    assert [rank.host for rank in run.launches[0].ranks] == [own.head.name] * 2
    reason = f"the cluster's head at {own.address} cannot be reached any more"
    assert all((cell.message or "").startswith(reason) for cell in run.cells if cell.status == "skipped")
    assert "cannot be reached any more" in run.page
