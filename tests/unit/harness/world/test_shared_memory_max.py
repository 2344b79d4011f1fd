"""Ranks tell each other instants through shared memory: the same latest one for all, turn after turn."""

from __future__ import annotations

import math
import mmap
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.errors import CollectiveError
from harness.world.control import ControlPlane
from harness.world.shared_memory_max import LINE, SharedMemoryMax
from tests.limits import LIMIT_S

SIZE = 3
instants = st.one_of(st.floats(0, 1e8), st.just(math.inf))
turns = st.lists(st.tuples(st.integers(1, SIZE), st.tuples(instants, instants, instants)), min_size=1, max_size=30)


def slates(timeout_s: float = LIMIT_S) -> list[SharedMemoryMax]:
    memory = mmap.mmap(-1, SIZE**2 * LINE)
    return [SharedMemoryMax(memory, rank, [os.getpid()] * SIZE, timeout_s) for rank in range(SIZE)]


def test_a_rank_that_has_ended_is_not_waited_for() -> None:
    peer = subprocess.Popen(["true"])
    shared_max = SharedMemoryMax(mmap.mmap(-1, 4 * LINE), 0, [os.getpid(), peer.pid], timeout_s=30)
    try:
        with pytest.raises(CollectiveError, match="has ended"):
            shared_max.latest(1.0, 2)
    finally:
        peer.wait()


@given(turns)
@settings(max_examples=50, deadline=None)
def test_every_rank_learns_the_latest_of_those_that_take_part(turns: list[tuple[int, tuple[float, ...]]]) -> None:
    ours = slates()

    def walk(rank: int) -> list[float]:
        return [ours[rank].latest(values[rank], among) for among, values in turns if rank < among]

    with ThreadPoolExecutor(SIZE) as pool:
        told = list(pool.map(walk, range(SIZE)))
    for rank in range(SIZE):
        wanted = [max(values[:among]) for among, values in turns if rank < among]
        assert told[rank] == pytest.approx(wanted, rel=1e-15, abs=1e-9)


def test_a_rank_that_does_not_come_is_an_error_and_not_a_wait_for_ever() -> None:
    with pytest.raises(CollectiveError, match=r"within 0\.01 s"):
        slates(timeout_s=0.01)[0].latest(1.0, 2)


class Table:
    """What ranks that are threads say to each other in the place of gloo."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.said: list[Any] = [None] * size


class Talk(ControlPlane):
    def __init__(self, rank: int, table: Table, *, elsewhere: bool = False) -> None:
        super().__init__(rank, len(table.said))
        self.table = table
        self.elsewhere = elsewhere

    def gather(self, value: Any, kind: Any) -> list[Any]:
        self.table.said[self.rank] = value
        self.table.barrier.wait()
        said = list(self.table.said)
        self.table.barrier.wait()
        handle = isinstance(said[0], tuple)
        return [(pid, 0, token) for pid, _, token in said] if self.elsewhere and handle else said

    def greatest(self, values: Any, among: int | None = None) -> list[float]:
        return [max(each) for each in zip(*self.gather(list(values), list[float]), strict=True)]


def shared(*, apart: bool) -> list[SharedMemoryMax | None]:
    table = Table(2)
    with ThreadPoolExecutor(2) as pool:
        return list(
            pool.map(
                lambda rank: SharedMemoryMax.shared(Talk(rank, table, elsewhere=apart and rank == 1), LIMIT_S), (0, 1)
            )
        )


def test_ranks_of_one_host_share_memory_that_leaves_nothing_behind() -> None:
    first, second = shared(apart=False)
    assert first is not None
    assert second is not None
    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(first.latest, 1.0, 2)
        assert second.latest(2.0, 2) == mine.result() == 2.0


def test_ranks_that_cannot_share_memory_all_go_without() -> None:
    assert shared(apart=True) == [None, None]
