"""torchrun over two real nodes, as far as networks and processes are concerned."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.journal.run_directory import RunDir
from tests.distributed.conftest import PLUGINS, SMALL, Run, command, wait_for_case
from tests.distributed.namespaces import Node, kill_tree, possible, two_nodes
from tests.limits import LIMIT_S

WHY = possible()
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))
Nodes = tuple[Node, Node]
PRIVATE = "/dev/shm/run"
"""A run directory on a disk that each node has for itself."""
DRIFT = 1e-4
FAST_CLOCK = f"""
import time
clock_gettime = time.clock_gettime
time.clock_gettime = lambda clock: clock_gettime(clock) * (1 + {DRIFT} * (clock == time.CLOCK_MONOTONIC))
"""
"""What every interpreter of a node begins with whose monotonic clock gains 100 microseconds a second."""


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with two_nodes() as made:
        yield made


@contextmanager
def torchrun(
    nodes: Nodes, root: Path | str, port: int, *more: object, env: Mapping[str, str] | None = None, resume: bool = False
) -> Iterator[list[subprocess.Popen[str]]]:
    """The two command lines of one torchrun over two nodes; nothing of them is left afterwards.

    The second node has the variables of ``env``.
    """
    line = ("run", "split", "--devices", "cpu:1", *SMALL[4:], *more, "--out", root)
    if resume:
        line = ("run", "--resume", root)
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                node.start(
                    sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={number}",
                    "--nproc-per-node=1", f"--master-addr={nodes[0].address}", f"--master-port={port}",
                    "-m", "harness", *line,
                    env=env if number else None,
                )
            )
            for number, node in enumerate(nodes)
        ]  # fmt: skip
        yield started
        for process in started:
            kill_tree(process.pid)


def test_torchrun_over_two_nodes_measures_both_world_sizes_though_their_clocks_drift(
    nodes: Nodes, tmp_path: Path
) -> None:
    """Nor do they share a disk."""
    root = nodes[0].path(PRIVATE)
    (tmp_path / "sitecustomize.py").write_text(FAST_CLOCK)
    strange = {"PYTHONPATH": str(tmp_path), "NCCL_ALGO": "Tree"}
    with torchrun(nodes, PRIVATE, 29511, f"{PLUGINS}:Keeps", "--budget", 6, env=strange) as started:
        told = [process.communicate(timeout=LIMIT_S)[0] for process in started]
    run = Run(root, started[0].returncode, "".join(told))
    skipped = {cell.case: (cell.status, cell.message) for cell in run.cells if cell.status != "ok"}
    apart = "the hosts do not share the run directory's disk; name --out on one that they do"
    assert skipped == {"keeps@2": ("skipped", apart)} and run.code == 1, run.out
    assert {cell.case.rpartition("@")[2] for cell in run.cells} == {"1", "2", "1x2"}
    (launch,) = run.launches
    assert [rank.cpus for rank in launch.ranks] == [node.cpus for node in nodes]
    assert [rank.device for rank in launch.ranks] == ["cpu:0", "cpu:1"]
    assert [rank.host for rank in launch.ranks] == [node.name for node in nodes]
    assert launch.ranks[0].clock_error_s == 0 < launch.ranks[1].clock_error_s
    origin_s = dt.datetime.fromisoformat(launch.started).timestamp() - (time.time() - time.monotonic())
    for cell in (cell for cell in run.cells if len(cell.facts) == 2):
        first, second = zip(cell.clock_offset_s, cell.clock_error_s, strict=True)
        assert first == (0, 0)
        middle_s = origin_s + (cell.samples.start_s[1][0] + cell.samples.end_s[1][-1]) / 2  # by the first node's clock
        truth_s = middle_s - (middle_s + nodes[1].ahead_s) * (1 + DRIFT)
        assert abs(second[0] - truth_s) <= second[1] < 0.01
    assert not (root / "scratch").exists() and not nodes[1].path(PRIVATE).exists()
    assert f"{nodes[1].name} is not set up as {nodes[0].name} is: variables.NCCL_ALGO (see the report)" in run.out
    assert run.summary["environment"]["hosts"] == launch.hosts
    assert run.summary["environment"]["host"]["cores"] == len(nodes[0].cpus)
    assert launch.hosts == {nodes[1].name: {"variables": {"NCCL_ALGO": "Tree"}}}
    caveat = f"`{nodes[1].name}` is not set up as `{nodes[0].name}` is: there `variables.NCCL_ALGO` is Tree."
    assert any(claim["text"].startswith(caveat) for claim in run.summary["claims"])
    assert "split and keeps on 2 devices of 2 hosts" in run.page
    line = f"torchrun --nnodes=2 --nproc-per-node=1 … -m harness run --resume {PRIVATE} --retry-failed"
    assert f"measure what is not ok again with: on each of the 2 hosts: {line}" in run.out
    assert line in run.page
    resumed(nodes, root)


def resumed(nodes: Nodes, root: Path) -> None:
    """Of a run over two nodes one cell is taken away: no host finishes it alone, and torchrun on both does.

    What hosts without a common disk cannot do is skipped again.
    """
    journal = root / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if '"cell"' in line and '"split' in line)
    lacking = "".join(lines[:last] + lines[last + 1 :])
    journal.write_text(lacking)
    alone = command("run", "--resume", root)
    assert alone.returncode == 2 and "--resume must be finished on the hosts where it was begun" in alone.stderr
    assert journal.read_text() == lacking
    with torchrun(nodes, PRIVATE, 29514, resume=True) as started:
        told = [process.communicate(timeout=LIMIT_S)[0] for process in started]
    assert started[0].returncode == 1, told
    run = Run(root, 1, "")
    measured = [(cell.comparison, cell.case) for cell in run.cells if cell.status == "ok"]
    assert len(set(measured)) == len(measured) and run.summary["counts"]["ok"] == run.summary["counts"]["planned"] - 1
    assert [(launch.launch, launch.attempt) for launch in run.launches] == [(0, 0), (0, 1)]
    assert {tuple(rank.host for rank in launch.ranks) for launch in run.launches} == {tuple(n.name for n in nodes)}


def test_torchrun_that_loses_a_node_ends_in_time_with_what_it_had(nodes: Nodes, tmp_path: Path) -> None:
    root = tmp_path / "run"
    with torchrun(nodes, root, 29512, "--budget", 60) as (first, second):
        wait_for_case(root, 0, first)
        nodes[1].kill()
        told = [process.communicate(timeout=LIMIT_S)[0] for process in (first, second)]
    assert first.returncode == 1, told
    run = Run(root, 1, "")
    assert [launch.launch for launch in run.launches] == [0]
    statuses = [cell.status for cell in run.cells]
    assert len(statuses) == sum(1 for _ in RunDir(root).plan().cells())
    told = [cell for cell in run.cells if cell.status != "ok"]
    assert all(f"rank 1 ({nodes[1].name})" in cell.message for cell in told)
    assert statuses.count("died") <= 1  # of a case in which it had a part; none where rank 0 was busy alone
    assert all(cell.rank == 1 and not cell.case.endswith("@1") for cell in told if cell.status == "died")
    assert set(statuses) <= {"ok", "died", "skipped"}
    assert (root / "report.html").exists()
