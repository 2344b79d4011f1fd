"""Scenarios for ``rankbench check``: one that is right, and one with a mistake in each variant."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Gang, Skip, Work, Workload, variant

N = 64


@dataclass(frozen=True, kw_only=True)
class Right:
    """A product and a sum over the ranks."""

    scaling: ClassVar = "weak"

    def prepare(self, gang: Gang) -> Workload:
        a = torch.randn(N, N, generator=gang.shared_generator)

        def check(total: torch.Tensor) -> None:
            torch.testing.assert_close(total, gang.size * (a @ a))

        work = Work(flops=2 * N**3, wire=2 * 4 * N**2 * (gang.size - 1) / gang.size)
        return Workload(lambda: gang.all_reduce(a @ a), check=check, work=work)


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    """A product, with a mistake in all variants but one."""

    scaling: ClassVar = "weak"
    how: Literal["right", "wrong", "raises", "less", "blind", "skips"] = variant(baseline="right")

    def prepare(self, gang: Gang) -> Workload:
        a = torch.randn(N, N, generator=gang.generator)
        if self.how == "skips":
            raise Skip("it makes no sense here")

        def step() -> torch.Tensor:
            if self.how == "raises" and gang.size == 2:
                raise ValueError("a mistake")
            return a.clone() if self.how == "less" else a @ a + (self.how == "wrong")

        def check(product: torch.Tensor) -> None:
            assert self.how in ("less", "blind") or torch.equal(product, a @ a), "it differs"

        return Workload(step, check=check, work=Work(flops=2 * N**3))


def helper() -> None:
    """What is no scenario."""
