"""Scenarios that fail on a GPU, each in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.scenario import Gang, Work, Workload


@dataclass(frozen=True, kw_only=True)
class Asserts:
    """An index beyond the end: an error after which the process's CUDA context is good for nothing."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        source, beyond = torch.zeros(8, device=gang.device), torch.tensor([99], device=gang.device)
        return Workload(lambda: source[beyond], check=lambda _: None, work=Work())


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """More memory than any GPU has."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        return Workload(
            lambda: torch.empty(2**46, dtype=torch.uint8, device=gang.device), check=lambda _: None, work=Work()
        )


@dataclass(frozen=True, kw_only=True)
class Small:
    """Kernels so small that launching them takes longer than they do."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        x = torch.zeros(32, device=gang.device)
        return Workload(lambda: x.add_(1), check=lambda _: None, work=Work())


@dataclass(frozen=True, kw_only=True)
class Strays:
    """Rank 1 raises while its peer waits for it in a collective of NCCL, which does not give up by itself."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        x, done = torch.ones(1024, device=gang.device), iter(range(10**9))

        def step() -> torch.Tensor:
            if gang.rank == 1 and next(done) == 12:
                raise ValueError("the twelfth step")
            return gang.all_reduce(x)

        return Workload(step, check=lambda _: None, work=Work())
