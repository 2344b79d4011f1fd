"""The peak of memory: what a step needs beyond what was there, whoever freed how much before."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.journal.measurement_warnings import Kind
from harness.plugins import registry
from harness.work.counting import count
from harness.work.memory import peak, retries, shortage, warnings_of
from tests.ranks import gang

MB = 2**20
cpu = torch.device("cpu")


def needed(step: Callable[[], Any]) -> int:
    with peak(cpu) as told:
        step()
    if told.bytes is None:
        pytest.skip("this system does not tell")
    return told.bytes


def whole() -> torch.Tensor:
    return torch.ones(16, MB)


def crumbs() -> list[torch.Tensor]:
    """64 MB in tensors so small that the C library keeps their memory when they are freed."""
    return [torch.ones(MB // 256) for _ in range(64 * 64)]


@pytest.mark.parametrize("step", [whole, crumbs])
def test_a_step_that_makes_64_mb_needs_64_mb_each_time(step: Callable[[], Any]) -> None:
    gc.collect()  # what other tests have left
    for _ in range(3):  # the later ones reuse what the first has freed
        assert needed(step) == pytest.approx(64 * MB, abs=16 * MB)  # crumbs fill holes that other tests have left


def test_what_is_freed_on_the_way_counts_at_its_peak() -> None:
    assert needed(lambda: whole().sum()) == pytest.approx(64 * MB, abs=4 * MB)
    assert needed(lambda: [whole().sum() for _ in range(4)]) == pytest.approx(64 * MB, abs=4 * MB)
    assert needed(lambda: [whole() for _ in range(2)]) == pytest.approx(128 * MB, abs=4 * MB)


def test_what_was_there_before_does_not_count() -> None:
    there = whole()
    assert needed(lambda: there.add_(1)) < 4 * MB


def test_garbage_of_earlier_steps_does_not_count() -> None:
    gc.disable()
    try:
        ring: list[Any] = [whole()]
        ring.append(ring)
        del ring
        assert needed(whole) == pytest.approx(64 * MB, abs=4 * MB)
    finally:
        gc.enable()


def test_counting_copies_no_operand() -> None:
    wide, narrow = torch.randn(4096, 4096), torch.randn(4096, 8)
    count(lambda: wide.T @ narrow)  # the first time, counting loads modules
    assert needed(lambda: count(lambda: wide.T @ narrow)) < 4 * MB  # the operand alone has 64 MB


class Allocator:
    """PyTorch's of a GPU, as documented: peaks since they were reset, and counters since the process began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.top, self.retries, self.told = 3 * MB, 9 * MB, 2, []
        for name, answer in {
            "synchronize": lambda device: self.told.append("wait"),
            "memory_allocated": lambda device: self.now,
            "reset_peak_memory_stats": lambda device: (self.told.append("reset"), setattr(self, "top", self.now)),
            "max_memory_allocated": lambda device: self.top,
            "max_memory_reserved": lambda device: 20 * MB,
            "memory_stats": lambda device: {"num_alloc_retries": self.retries},
        }.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def step(self) -> None:
        self.now += 5 * MB
        self.top = max(self.top, self.now)
        self.now -= 4 * MB


def test_a_gpus_peak_is_the_allocators_beyond_what_was_there_and_all_that_it_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allocator = Allocator(monkeypatch)
    with peak(torch.device("cuda", 0)) as told:
        allocator.step()
    assert (told.before, told.bytes, told.reserved) == (3 * MB, 5 * MB, 20 * MB)
    assert allocator.told == ["wait", "reset"]
    with peak(cpu) as told:
        whole()
    assert told.reserved is None


def test_retries_are_counted_on_gpus_and_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    Allocator(monkeypatch)
    assert retries(torch.device("cuda", 0)) == 2
    assert retries(cpu) == 0
    first, second = warnings_of([0, 1, 3])
    assert (first.rank, first.kind) == (1, Kind.ALLOCATOR_RETRIES) and "full once in its visits" in first.fact
    assert (second.rank, "full 3 times" in second.fact) == (2, True)
    assert warnings_of([0, 0]) == []


class Large:
    def __init__(self, needs: int) -> None:
        self.needs = needs

    def memory(self, ranks: int) -> int:
        return self.needs // ranks


def test_what_cannot_fit_is_told_beforehand_with_both_numbers() -> None:
    card = 80 * 2**30
    assert shortage(Large(160 * 2**30), 2, card) is None
    reason = shortage(Large(200 * 2**30), 2, card)
    assert reason == "needs at least 100 GiB on each device, which has 80 GiB"
    assert shortage(object(), 1, card, 0) is None
    assert shortage(Large(100 * 2**30), 2, card, 50 * 2**30) is None
    crowded = shortage(Large(100 * 2**30), 2, card, 49 * 2**30)
    assert crowded is not None and "at least 50 GiB on each device, of whose 80 GiB 49 GiB are free" in crowded
    with pytest.raises(ZeroDivisionError):
        shortage(Large(1), 0, card)


@pytest.mark.parametrize("need", [None, "1 GiB", torch.ones(1), float("nan"), -1])
def test_a_need_that_is_no_number_of_bytes_is_named(need: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"what memory\(\) returns must be a (finite )?number"):
        shortage(SimpleNamespace(memory=lambda _: need), 1, 80 * 2**30)


TELLING = {
    "crossover": {"size": 1024},
    "fourier": {"batch": 16384, "size": 256},
    "frobenius": {"matrices": 250, "size": 128},
    "initialization": {"width": 1536},
    "quadratic": {"inputs": 256, "outputs": 64},
    "split": {"size": 1024},
}


@pytest.fixture
def apart() -> Iterator[None]:
    """Every tensor has pages of its own: else those come on top that the C library cannot use again for another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        pytest.skip("this system's C library has no mallopt")
    threshold = -3
    mallopt(threshold, 64 * 1024)
    yield
    mallopt(threshold, 128 * 1024)  # as at first, but fixed


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("name", TELLING)
def test_what_a_scenario_says_that_it_needs_is_there_once_it_has_done_a_step(name: str) -> None:
    scenario = registry.scenarios()[name].cls(**TELLING[name])
    kept: list[Any] = []

    def prepare() -> None:
        workload = scenario.prepare(gang(0, 1))
        kept.append((workload, workload.step()))

    prepare()  # the first time, libraries set memory aside
    kept.clear()
    gc.collect()
    needs = min(needed(prepare) for _ in range(3))  # what else the process does comes on top
    assert 0.5 * needs < scenario.memory(1) < 1.05 * needs
    assert scenario.memory(2) <= scenario.memory(1)
