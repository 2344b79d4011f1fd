"""Devices: what a user may ask for, and who gets which cores."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.common import startup
from harness.common.errors import UsageError
from harness.device import affinity, device, nvml
from harness.device.device import parse
from harness.planning.builder import make
from harness.planning.request import RunRequest
from tests.limits import LIMIT_S

Cores = list[tuple[int, ...]]


def pinned(monkeypatch: pytest.MonkeyPatch, name: str, threads: int, have: list[int], *shared: int) -> tuple[int, ...]:
    """The CPUs that a rank is pinned to; nothing of this process changes."""
    set_to: list[tuple[int, ...]] = []
    monkeypatch.setattr(device, "siblings", lambda: [(cpu,) for cpu in have])
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: set_to.append(cpus))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    _, mine = device.claim(name, threads, *shared)
    assert set(set_to) == {mine}  # every thread of it
    return mine


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (4, 1), (2, 3), (3, 4)])
def test_cpu_ranks_get_cores_of_their_own(monkeypatch: pytest.MonkeyPatch, count: int, threads: int) -> None:
    have = list(range(100, 100 + count * threads))
    places = [pinned(monkeypatch, f"cpu:{rank}", threads, have) for rank in range(count)]
    assert all(len(cpus) == threads for cpus in places)
    assert sorted(cpu for cpus in places for cpu in cpus) == have


@st.composite
def hosts(draw: st.DrawFn) -> tuple[Cores, list[frozenset[int]]]:
    """Physical cores of one or two CPUs each, and the CPUs near each GPU: a node's, or not known."""
    count, ways = draw(st.integers(1, 24)), draw(st.integers(1, 2))
    physical = [tuple(core + way * count for way in range(ways)) for core in range(count)]
    nodes = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    near = [
        frozenset(cpu for core, its in zip(physical, nodes, strict=True) if its == node for cpu in core)
        for node in draw(st.lists(st.integers(0, 4), min_size=1, max_size=8))
    ]
    return physical, near


@given(hosts())
def test_gpu_ranks_have_whole_cores_near_their_gpus_and_of_their_own(host: tuple[Cores, list[frozenset[int]]]) -> None:
    physical, near = host
    seats = [device.seat(physical, near, gpu) for gpu in range(len(near))]
    assert all(seats)
    for mine, around in zip(seats, near, strict=True):
        assert all(set(core) <= set(mine) for core in physical if set(core) & set(mine))
        spare = physical[-1] if len(physical) > len(near) else ()
        assert set(mine) <= around or not around - set(spare)
    if len(physical) > len(near) and not any(near):
        assert len({cpu for cpus in seats for cpu in cpus}) == sum(map(len, seats))
        assert not set(physical[-1]) & {cpu for cpus in seats for cpu in cpus}  # left to whoever watches


def test_gpus_of_two_nodes_share_the_cores_of_their_own_and_one_core_is_left_over() -> None:
    physical = [(cpu, cpu + 16) for cpu in range(16)]
    left, right = (frozenset(cpu + way for cpu in range(8) for way in (base, base + 16)) for base in (0, 8))
    near = [left, left, right, right]
    assert device.seat(physical, near, 0) == (0, 16, 1, 17, 2, 18, 3, 19)
    assert device.seat(physical, near, 1) == (4, 20, 5, 21, 6, 22, 7, 23)
    assert device.seat(physical, near, 3) == (11, 27, 12, 28, 13, 29)
    assert device.seat(physical, near, 2, before=1, among=2) == (9, 25)  # two ranks share this one


def test_fewer_cores_than_gpus_are_shared() -> None:
    assert [device.seat([(0,), (1,)], [frozenset()] * 3, gpu) for gpu in range(3)] == [(0,), (1,), (0,)]


def test_a_rank_on_a_gpu_is_pinned_near_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(nvml, "near", lambda: [frozenset({0, 1}), frozenset({2, 3})])
    assert pinned(monkeypatch, "cuda:1", 1, [0, 1, 2, 3, 4]) == (2, 3)
    assert pinned(monkeypatch, "cuda:1", 1, [0, 1, 2, 3, 4], 1, 2) == (3,)
    assert told == [1, 1]


@pytest.mark.parametrize(("name", "threads"), [("cpu:1", 1), ("cpu:0", 2)])
def test_cores_that_a_cluster_counts_but_a_rank_may_not_use_are_missed(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cores", lambda: [0])
    with pytest.raises(UsageError, match=f"cores for each rank, but is {name} where 1 may be used"):
        device.claim(name, threads)


def test_a_rank_that_comes_bound_to_cores_of_its_own_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its number: another one of its host has other cores."""
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(nvml, "near", lambda: [frozenset(range(64))] * 8)
    own = list(range(24, 32))
    assert pinned(monkeypatch, "cuda:3", 1, own) == (27,)
    monkeypatch.setattr(affinity, "NARROWED", True)
    assert pinned(monkeypatch, "cuda:3", 1, own) == (27,)  # it was started by hand: taskset -c 24-31 rankbench run
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert pinned(monkeypatch, "cuda:3", 1, own) == (27,)  # a pod has one of torchrun's variables by chance
    for name in startup.NUMBERS:
        monkeypatch.setenv(name, "8" if "SIZE" in name else "3")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert pinned(monkeypatch, "cuda:3", 1, own) == tuple(own)
    assert pinned(monkeypatch, "cpu:3", 2, own) == (30, 31)  # these eight may be those of all ranks of the host
    assert pinned(monkeypatch, "cpu:4", 2, own) == (24, 25)
    assert make(RunRequest(names=["split"]), (8, 8)).devices == tuple(f"cpu:{rank}" for rank in range(8))


AFFINITY = """
import os
free = os.sched_getaffinity(0)
from harness.device import device as devices
assert set(devices.cores()) == free, (devices.cores(), free)
assert not os.environ.keys() & {"OMP_PROC_BIND", "OMP_PLACES"}
from harness.device.affinity import dropped
print(dropped())
"""


def test_openmp_binds_nobody_to_one_core() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFFINITY],
        env=os.environ | {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    told = "OMP_PROC_BIND, OMP_PLACES are ignored: each rank is pinned to cores of its own, where its threads run\n"
    assert done.stdout == told, done.stderr


def test_a_torchrun_that_openmp_has_bound_to_one_core_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores", lambda: [0])
    monkeypatch.setattr(affinity, "DROPPED", ("OMP_PROC_BIND",))
    with pytest.raises(UsageError, match="unset OMP_PROC_BIND: it bound torchrun"):
        make(RunRequest(names=["split"], devices="cpu"), (2, 2))


def test_a_physical_core_is_used_before_its_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings))

    def path(text: str) -> SimpleNamespace:
        cpu = int(text.removeprefix("/sys/devices/system/cpu/cpu").partition("/")[0])
        return SimpleNamespace(exists=lambda: True, read_text=lambda: siblings[cpu])

    monkeypatch.setattr(device, "Path", path)
    assert device.cores() == [0, 1, 2, 3]
    siblings.update({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"})
    assert device.cores() == [0, 2, 1, 3]


def test_the_best_devices_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cores", lambda: [0, 1, 2])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert parse(None) == ("cpu:0", "cpu:1", "cpu:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert parse(None) == parse("cuda") == ("cuda:0", "cuda:1")
    assert parse("cuda:1") == ("cuda:1",)
    assert parse("cuda:0,0") == ("cuda:0", "cuda:0")
    for wrong in ("cuda:2", "cuda:x", "cuda:0,", "cpu:4", "cpu:-1"):
        with pytest.raises(UsageError):
            parse(wrong)


def test_threads_that_end_while_they_are_pinned_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, started, pinned = 10, 11, list[int]()
    threads = {1, gone}

    def set_affinity(thread: int, cpus: set[int]) -> None:
        assert cpus == {0}
        if thread == gone:
            raise ProcessLookupError
        pinned.append(thread)
        if thread == 1:
            threads.add(started)  # by a thread whose turn had not come

    monkeypatch.setattr(device, "_threads", lambda: set(threads))
    monkeypatch.setattr(os, "sched_setaffinity", set_affinity)
    device.pin({0})
    assert pinned == [1, started]


def test_what_a_rank_took_of_this_process_is_given_back() -> None:
    """The CPUs of every thread, and the number of torch's."""
    stop, tid = threading.Event(), queue.SimpleQueue[int]()
    other = threading.Thread(target=lambda: (tid.put(threading.get_native_id()), stop.wait()))
    other.start()
    thread, threads = tid.get(), torch.get_num_threads()
    before = os.sched_getaffinity(0)
    try:
        with device.borrowed() as cpus:
            assert cpus == before
            torch.set_num_threads(threads + 1)
            device.pin({min(before)})
            assert os.sched_getaffinity(thread) == {min(before)}
        assert os.sched_getaffinity(0) == os.sched_getaffinity(thread) == before
        assert torch.get_num_threads() == threads
    finally:
        stop.set()
        other.join()


def test_memory_for_a_gpu_is_made_by_a_rank_that_is_pinned_near_it(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(nvml, "near", lambda: [frozenset({0})])
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: order.append("device"))
    monkeypatch.setattr(device, "pin", lambda _: order.append("pin"))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(device, "siblings", lambda: [(0,)])
    device.claim("cuda:0", 1)
    assert order == ["pin", "device"]
