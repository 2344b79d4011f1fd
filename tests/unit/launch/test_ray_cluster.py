"""Whether a cluster can be joined, and has room for a gang."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from ray._private import ray_constants

from harness.common.errors import RankbenchError, UsageError
from launch.ray_cluster.actor import Seat, index
from launch.ray_cluster.cluster import STRICT, Cluster, cause, fits
from launch.ray_cluster.launcher import ActorResult, died, places

NODES = st.lists(st.fixed_dictionaries({"CPU": st.integers(0, 9)}, optional={"GPU": st.integers(0, 4)}), max_size=5)


NICE = """
import contextlib, os, sys
from launch.ray_cluster.actor import Rank
before = os.getpriority(os.PRIO_PROCESS, 0)
os.nice(7)  # as Ray does with its workers
Rank(os.getcwd())
print(os.getpriority(os.PRIO_PROCESS, 0))
with contextlib.suppress(PermissionError):  # not everywhere root may
    os.setpriority(os.PRIO_PROCESS, 0, before)
print(os.getpriority(os.PRIO_PROCESS, 0))
print(sys.path.index(os.getcwd()) == len(sys.path) - 1)
"""


def test_a_rank_has_the_priority_of_its_node_where_it_may_and_the_working_directory_last_on_its_path(
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-P", "-c", NICE]
    told = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    *priorities, last = told.split()
    its, attainable = map(int, priorities)
    assert last == "True"
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert its == attainable and attainable in (mine, mine + 7)


@given(NODES, st.integers(1, 12), st.integers(1, 3))
def test_what_fits_is_what_can_be_handed_out_rank_by_rank(have: list[Any], ranks: int, threads: int) -> None:
    left = [dict(node) for node in have]
    placed = []
    for _ in range(ranks):
        roomy = [number for number, node in enumerate(left) if node["CPU"] >= threads and node.get("GPU", 0) >= 1]
        if roomy:
            placed.append(roomy[0])
            left[roomy[0]] = {"CPU": left[roomy[0]]["CPU"] - threads, "GPU": left[roomy[0]]["GPU"] - 1}
    bundles = [{"CPU": float(threads), "GPU": 1.0}] * ranks
    assert fits(bundles, "PACK", have) == fits(bundles, "SPREAD", have) == (len(placed) == ranks)


@given(NODES, st.integers(1, 6), st.integers(1, 3))
def test_a_strict_spread_takes_a_node_a_rank(have: list[Any], ranks: int, threads: int) -> None:
    roomy = sum(node["CPU"] >= threads for node in have)
    assert fits([{"CPU": float(threads)}] * ranks, STRICT, have) == (roomy >= ranks)


@pytest.mark.parametrize(
    ("gpu", "visible", "place"),
    [
        ("3", None, 3),
        ("3", "", 3),
        ("5", "4, 5,6,7", 1),  # PyTorch counts what it sees
        ("GPU-b", "GPU-a,GPU-b", 1),
        ("2", "GPU-a,GPU-b", 2),
    ],
)
def test_pytorch_calls_a_gpu_by_its_place_among_the_visible_ones(gpu: str, visible: str | None, place: int) -> None:
    assert index(gpu, visible) == place


def test_a_cluster_that_fails_to_take_a_driver_tells_why_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("Initialization failure from server:\nTraceback (most recent call last):\nOSError: full")

    monkeypatch.setattr(ray, "init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(UsageError) as told:
        Cluster(f"127.0.0.1:{server.getsockname()[1]}").__enter__()
    assert "(OSError: full); start it" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("scheme", "config"), [("", True), ("ray://", False)])
def test_a_client_sends_nothing_to_its_server_that_is_no_json(
    monkeypatch: pytest.MonkeyPatch, scheme: str, config: bool
) -> None:
    joined: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "init", lambda **options: joined.append(options))
    with socket.create_server(("127.0.0.1", 0)) as server, suppress(Exception):
        Cluster(f"{scheme}127.0.0.1:{server.getsockname()[1]}").__enter__()
    (options,) = joined
    assert ("job_config" in options) == config
    if not config:
        json.dumps(options)


def test_a_cluster_of_our_own_that_does_not_start_tells_why_in_a_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = "[2026-12-01 04:13:16,009 C 15489 15499] (raylet) dlmalloc.cc:161: failed to open /dev/shm\n*** StackTrace\n"
    folders = []

    def fail(*, _temp_dir: str, **_: Any) -> None:
        folders.append(Path(_temp_dir))
        assert not ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV  # below uv run, workers have this interpreter
        assert os.environ["RAY_AUTH_MODE"] == "token" and os.environ["RAY_AUTH_TOKEN"]
        logs = Path(_temp_dir) / "session_1" / "logs"
        logs.mkdir(parents=True)
        (logs / "raylet.err").write_text(log)
        raise RuntimeError("The current node timed out during startup.\nThis could happen because of anything.")

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr("launch.ray_cluster.cluster.Config", SimpleNamespace(initialize=str))
    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr("launch.ray_cluster.cluster.gettempdir", lambda: "/a/folder/with/a/very/long/path")
    with pytest.raises(RankbenchError) as told:
        Cluster(None).__enter__()
    assert str(told.value).endswith("on this machine: (raylet) dlmalloc.cc:161: failed to open /dev/shm")
    assert len(str(folders[0])) < 25 and not folders[0].exists()
    assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV  # given back


def test_the_cause_of_an_error_of_rays_is_its_last_line_without_colours() -> None:
    told = "\x1b[36mray::Rank.sit()\x1b[39m (pid=9)\n  File x.py\nModuleNotFoundError: no \x1b[31mharness\x1b[0m\n\n"
    assert cause(RuntimeError(told)) == "ModuleNotFoundError: no harness"
    assert cause(RuntimeError()) == "RuntimeError"


SEATS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=20)


@given(SEATS)
def test_ranks_are_counted_on_each_node(drawn: list[tuple[int, int]]) -> None:
    seats = sorted(
        Seat(node > 0, f"10.0.0.{node}", str(node), gpu, 1, number) for number, (node, gpu) in enumerate(drawn)
    )
    for kind in ("cpu", "cuda"):
        plan = SimpleNamespace(devices=[f"{kind}:{rank}" for rank in range(len(seats))])
        told = places(plan, seats, 1234, "mark")  # type: ignore[arg-type]
        for rank, (environment, device) in enumerate(told):
            nodes = [seat.node for seat in seats]
            local = nodes[:rank].count(nodes[rank])
            assert [environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")] == [
                str(number) for number in (rank, len(seats), local, nodes.count(nodes[rank]))
            ]
            assert (environment["MASTER_ADDR"], environment["NODE_IP"]) == (seats[0].ip, seats[rank].ip)
            assert device == f"{kind}:{seats[rank].gpu if kind == 'cuda' else local}"


LOST = ActorResult(message="its process or its node was lost")
OWN = ActorResult(9, "ValueError: planted", "own")
ECHO = ActorResult(9, "RuntimeError: Connection closed by peer", "echo")


@pytest.mark.parametrize(
    ("results", "first"),
    [
        ({0: LOST, 1: OWN}, 1),  # an error of a rank's own is none of another's death
        ({1: OWN, 0: LOST}, 1),
        ({0: ECHO, 1: LOST}, 1),
        ({0: ECHO, 2: ECHO, 1: OWN}, 1),
        ({2: ECHO, 0: ECHO}, 2),  # the one that ended first
        ({0: ActorResult(5), 1: LOST}, 1),
    ],
)
def test_the_rank_that_failed_by_itself_is_named(results: dict[int, ActorResult], first: int) -> None:
    ending = died(results)
    assert ending is not None
    assert (ending.rank, ending.message) == (first, results[first].message)
    assert [outcome.rank for outcome in ending.outcomes] == sorted(rank for rank in results if results[rank].failed)


def test_a_gang_whose_ranks_all_ended_well_has_not_died() -> None:
    assert died({0: ActorResult(5), 1: ActorResult(0)}) is None
