"""Factories: several modules from one recipe."""

from collections.abc import Callable
from copy import deepcopy

from torch import nn


def instances(build: Callable[[], nn.Module], count: int) -> list[nn.Module]:
    """``count`` instances of a block: each is built."""
    return [build() for _ in range(count)]


def repeated(build: Callable[[], nn.Module], count: int) -> list[nn.Module]:
    """One instance, ``count`` times: all share its parameters."""
    return [build()] * count


def copies(build: Callable[[], nn.Module], count: int) -> list[nn.Module]:
    """Copies of one instance: parameters of their own, and the same initial values."""
    block = build()
    return [deepcopy(block) for _ in range(count)]
