"""The peak of memory: what a step needs beyond what was there, whoever freed how much before."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.ledger import count
from harness.memory import peak

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
    for _ in range(3):  # the later ones reuse what the first has freed
        assert needed(step) == pytest.approx(64 * MB, abs=4 * MB)


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
