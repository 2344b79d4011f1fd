"""The same runs as actors of a real Ray cluster, one of our own on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import psutil
import pytest
import ray
from ray._private import services

from harness.cli.app import run_app
from harness.journal.log import Journal
from harness.journal.plan import Record
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import CellRecord, LaunchRecord
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world.control import StopRequest
from launch.processes.scratch import scratch
from launch.ray_cluster.actor import Outbox
from launch.ray_cluster.launcher import Inbox, RayLauncher
from launch.ray_cluster.mailbox import Mailbox
from launch.supervision.hang_detector import HangDetector
from launch.supervision.supervisor import Supervisor
from tests.distributed.conftest import PLUGINS, SMALL, TWO, Run, rankbench
from tests.limits import LIMIT_S

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A launch by torchrun and one by Ray."""
    root = tmp_path_factory.mktemp("both") / "run"
    small = (*SMALL[4:], "--set", "split.how=whole")
    line = ("run", "split", f"{PLUGINS}:Leaves", *TWO, *small, "--launcher", "torchrun,ray", "--launches", 1)
    return rankbench(*line, "--out", root, root=root, RANKBENCH_STEPS=root.with_name("pids"))


def test_torchrun_and_ray_take_turns_and_both_measure_everything(both: Run) -> None:
    assert both.code == 0, both.out
    assert sorted(launch.launcher for launch in both.launches) == ["ray", "torchrun"]
    told = [{cell.case for cell in both.cells if cell.launch == launch} for launch in (0, 1)]
    assert told[0] == told[1]
    assert {cell.status for cell in both.cells} == {"ok"}
    assert "raylet" not in both.out  # it complains of each actor that was killed


def test_their_journals_differ_in_the_launchers_name_only(both: Run) -> None:
    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {name: shape(each) for name, each in sorted(value.items()) if name not in ("warnings", "variables")}
        return [shape(each) for each in value][:1] if isinstance(value, list) else type(value).__name__

    lines = [json.loads(line) for line in (both.root / "journal.jsonl").read_text().splitlines()]
    for kind in ("launch", "cell", "end"):
        mine = [[line for line in lines if line["type"] == kind and line["launch"] == launch] for launch in (0, 1)]
        assert {json.dumps(shape(line)) for line in mine[0]} == {json.dumps(shape(line)) for line in mine[1]}


def test_ray_ranks_are_pinned_and_have_threads_as_under_torchrun(both: Run) -> None:
    ray, torchrun = sorted(both.launches, key=lambda launch: launch.launcher)
    assert [rank.cpus for rank in ray.ranks] == [rank.cpus for rank in torchrun.ranks] == [(0,), (1,)]
    assert [rank.threads for rank in ray.ranks] == [1, 1]
    assert [rank.niceness for rank in (*ray.ranks, *torchrun.ranks)] == [os.getpriority(os.PRIO_PROCESS, 0)] * 4


def test_no_process_is_left_whatever_a_case_has_started(both: Run) -> None:
    pids = list(map(int, both.root.with_name("pids").read_text().split()))
    assert len(pids) == 2 * 3 * (1 + 2 + 2)  # launchers, processes, and ranks on one device, on two, and of both copies
    assert not any(map(psutil.pid_exists, pids))


REFUSED = {
    "--launcher ray --devices cpu:99": "name 1 to",
    "--launcher ray --placement strict-spread": "needs one node per rank, but there are 2 ranks and 1 node;",
    "--launcher ray --placement scatter": "--placement must be one of pack, spread, strict-spread",
    "--launcher ray --ray-address 127.0.0.1:1": "--ray-address must be host:port of a running cluster",
    "--launcher ray --ray-address nowhere": "--ray-address must be host:port of a running cluster",
    "--launcher inline,ray": "cannot combine inline with other launchers",
    "--launcher ray --ray-address auto": "--ray-address must be host:port of a running cluster",
    "--ray-address 127.0.0.1:1": "--ray-address 127.0.0.1:1 needs --launcher ray",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_cluster_cannot_give_is_refused_at_once(
    words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before this process has joined a cluster of its own, which it would find at any address."""
    alone = cache(set)  # no cluster of other tests is one that ``auto`` finds
    monkeypatch.setattr(services, "_cached_find_gcs_addresses", alone)
    assert run_app(["run", "split", *words.split(), "--out", str(tmp_path / "run")]) == 2
    told = "".join(capfd.readouterr())
    assert REFUSED[words] in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayLauncher]:
    """One of our own, started in a folder that has files called as modules are, ours and others."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("launch.py", "harness.py", "random.py"):
        (folder / name).write_text("raise RuntimeError('this is no module')\n")
    with contextlib.chdir(folder), RayLauncher(None, "pack") as actors:
        yield actors


def listeners() -> set[str]:
    """The addresses at which this process, and all that it has started, listen."""
    me = psutil.Process()
    found = set()
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            connections = process.net_connections()
            found |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    return found


def test_what_befalls_an_actor_is_its_cell_and_the_rest_is_measured(cluster: RayLauncher, tmp_path: Path) -> None:
    names = [f"{PLUGINS}:{name}" for name in ("Trains", "Dies", "Hangs")]
    settings = ["dies.way=kill", "trains.by=gang,ddp,gang_raises"]
    run_request = RunRequest(names=names, settings=settings, devices="cpu:2", world_sizes="2", launcher="ray")
    plan = make(replace(run_request, launches=1, budget_s=8, deadline_s=8))
    run = RunDir(tmp_path / "run")
    run.create(plan)
    listening: set[str] = set()

    def watch(record: Record) -> None:
        if isinstance(record, LaunchRecord):
            listening.update(listeners())

    with Journal(run.journal_path) as journal, scratch(run.root) as folder:
        supervisor = Supervisor(plan, journal, [], watch, fingerprints={"ray": "f"}, scratch=folder)
        assert not supervisor.run({"ray": cluster})
    cells = {cell.case: cell for cell in run.entries() if isinstance(cell, CellRecord) and cell.status != "ok"}
    told = {case: (cell.status, cell.rank) for case, cell in cells.items()}
    assert told == {
        "trains[by=gang_raises]@2": ("error", 1),
        "dies[way=kill]@2": ("died", 1),
        "hangs@2": ("hang", 1),
    }
    assert cells["trains[by=gang_raises]@2"].message == "ValueError: the twelfth step"
    launched = [entry for entry in run.entries() if isinstance(entry, LaunchRecord)]
    assert len(launched) == 4  # one, and one after each gang that was lost
    assert "127.0.0.1" in str(listening)
    assert all(ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback for address in listening), listening


def test_devices_that_others_use_are_not_waited_for_without_end(
    cluster: RayLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:2", launcher="ray", launches=1))
    order = Order(plan=plan, launch=0, attempt=0, todo={}, budget_s=1, fingerprint="f", scratch=str(tmp_path))
    with cluster._cluster.room([{"CPU": 1.0}], "PACK"):  # once what was there before has gone
        monkeypatch.setattr("launch.ray_cluster.cluster.PLACEMENT_S", 1.0)
        ending = cluster.launch(order, lambda _: None)
    assert ending is not None and ending.status == "skipped"
    cores = len(os.sched_getaffinity(0))
    told = f"the cluster did not give within 1 s 2 × 1 CPU (pack); it has 1 node: {cores} CPU"
    assert ending.message == told


STRANGER = """
import ray, sys
ray.init(sys.argv[1])
print("a stranger's task ran in process", ray.get(ray.remote(lambda: __import__("os").getpid()).remote()))
"""


@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_a_cluster_of_our_own_obeys_nobody_else(cluster: RayLauncher, mode: str, tmp_path: Path) -> None:
    stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    tokens = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "another"}
    told = subprocess.run(
        [sys.executable, "-c", STRANGER, cluster._cluster._head],
        env=stranger | tokens | {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert told.returncode != 0
    assert "stranger's task" not in told.stdout
    assert re.search("Authentication token is missing|Invalid.*token|Unauthenticated", told.stderr), told.stderr


def test_lines_that_ray_delivers_out_of_order_reach_the_journal_in_order(cluster: RayLauncher) -> None:
    """From two threads, as of a rank and of its watchdog; every tenth is large, which small ones overtake."""
    mailbox = ray.remote(Mailbox).options(num_cpus=0).remote()
    outbox, heard = Outbox(0, mailbox, StopRequest()), []
    inbox = Inbox(mailbox, heard.append, HangDetector(1, 60))

    def send(thread: int) -> None:
        for number in range(150):
            case = f"{thread} {number} {'x' * 200_000 * (number % 10 == 0)}"
            outbox.send(VisitNote(comparison=0, case=case, round=0, rounds=1))

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(2)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        inbox.pass_on(0.1)
    for each in threads:
        each.join()
    assert inbox.finish({0: outbox.close()}) is None
    told = [tuple(map(int, note.case.split()[:2])) for note in heard]
    assert len(told) == 300
    for thread in range(2):
        assert [number for whose, number in told if whose == thread] == list(range(150))


def test_a_line_that_never_arrives_is_noticed_and_the_others_are_kept(
    cluster: RayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.ray_cluster.launcher.ARRIVAL_S", 0.5)
    mailbox, heard = ray.remote(Mailbox).options(num_cpus=0).remote(), []
    notes = [VisitNote(comparison=0, case=str(number), round=0, rounds=1).model_dump_json() for number in range(4)]
    ray.get([mailbox.put.remote(0, number, notes[number]) for number in (3, 0, 2)])
    ending = Inbox(mailbox, heard.append, HangDetector(1, 60)).finish({0: 4})
    assert ending is not None
    assert (ending.message, ending.rank) == ("1 of the 4 records of rank 0 did not arrive within 0.5 s", 0)
    assert [note.case for note in heard] == ["0", "2", "3"]
