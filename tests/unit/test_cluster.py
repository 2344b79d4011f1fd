"""Whether a cluster can be joined, and has room for a gang."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from launch.actor import index
from launch.cluster import STRICT, Cluster, fits

NODES = st.lists(st.fixed_dictionaries({"CPU": st.integers(0, 9)}, optional={"GPU": st.integers(0, 4)}), max_size=5)


NICE = """
import contextlib, os
from launch.actor import Rank
before = os.getpriority(os.PRIO_PROCESS, 0)
os.nice(7)  # as Ray does with its workers
Rank()
print(os.getpriority(os.PRIO_PROCESS, 0))
with contextlib.suppress(PermissionError):  # not everywhere root may
    os.setpriority(os.PRIO_PROCESS, 0, before)
print(os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_a_rank_has_the_priority_of_its_node_where_it_may() -> None:
    told = subprocess.run([sys.executable, "-c", NICE], capture_output=True, text=True, check=True).stdout
    its, attainable = map(int, told.split())
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
