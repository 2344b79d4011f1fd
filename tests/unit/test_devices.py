"""Devices: who gets which cores, and the CUDA path against a fake that behaves as documented."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import devices
from harness.clocks import Stopwatch
from harness.devices import CudaDevice, parse, place
from harness.errors import UsageError


@given(st.integers(1, 4), st.integers(1, 4))
def test_cpu_ranks_get_cores_of_their_own(count: int, threads: int) -> None:
    have = list(range(100, 100 + count * threads))
    places = [place(have, f"cpu:{rank}", rank, count, threads) for rank in range(count)]
    assert all(len(cpus) == threads for cpus in places)
    assert sorted(cpu for cpus in places for cpu in cpus) == have


@given(st.integers(1, 8), st.integers(1, 64))
def test_gpu_ranks_share_the_hosts_cores_evenly(ranks: int, cores: int) -> None:
    places = [place(range(cores), f"cuda:{rank}", rank, ranks, 1) for rank in range(ranks)]
    assert all(places)
    if cores >= ranks:
        assert len({cpu for cpus in places for cpu in cpus}) == sum(map(len, places))


@pytest.mark.parametrize(("name", "threads"), [("cpu:1", 1), ("cpu:0", 2)])
def test_cores_that_a_cluster_counts_but_a_rank_may_not_use_are_missed(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cores", lambda: [0])
    with pytest.raises(UsageError, match=f"cores for each rank, but is {name} where 1 may be used"):
        devices.claim(name, 0, 1, threads)


def test_a_physical_core_is_used_before_its_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    siblings = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings))

    def path(text: str) -> SimpleNamespace:
        cpu = int(text.removeprefix("/sys/devices/system/cpu/cpu").partition("/")[0])
        return SimpleNamespace(exists=lambda: True, read_text=lambda: siblings[cpu])

    monkeypatch.setattr(devices, "Path", path)
    assert devices.cores() == [0, 1, 2, 3]
    siblings.update({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"})
    assert devices.cores() == [0, 2, 1, 3]


def test_the_best_devices_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: [0, 1, 2])
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


def test_cuda_is_timed_by_events_on_the_current_stream_and_synchronised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Event:
        """torch.cuda.Event: elapsed_time gives milliseconds, and only once both events have been reached."""

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.reached = False

        def record(self, stream: str) -> None:
            told.append(f"record on {stream}")
            events.append(self)

        def elapsed_time(self, end: Event) -> float:
            assert self.reached and end.reached, "not synchronised"
            return 12.5

    events: list[Event] = []

    def synchronize(index: int) -> None:
        told.append(f"synchronize {index}")
        for event in events:
            event.reached = True

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda index: f"stream of {index}")
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    watch = Stopwatch(CudaDevice(1))
    watch.start()
    assert watch.stop().seconds == 0.0125
    assert told == ["record on stream of 1", "record on stream of 1", "synchronize 1"]
