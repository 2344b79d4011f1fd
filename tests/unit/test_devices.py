"""Devices: what a user may ask for, and who gets which cores."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import devices
from harness.devices import parse, place
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
