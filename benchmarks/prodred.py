"""A scenario whose step computes briefly and then reduces: what gloo's event loop costs such a step.

rankbench run benchmarks/prodred.py:ProdRed --devices cpu:2 --budget 30 [--gloo-loop as-is]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.scenario import Gang, Scaling, Work, Workload


@dataclass(frozen=True, kw_only=True)
class ProdRed:
    """A product of n × n matrices on each rank, and an all-reduce of a few numbers."""

    scaling: ClassVar[Scaling] = "weak"
    n: int = 256
    numbers: int = 1000

    def prepare(self, gang: Gang) -> Workload:
        """Two matrices and the numbers, which are this rank's place."""
        a, b = (torch.randn(self.n, self.n, device=gang.device, generator=gang.generator) for _ in range(2))
        exact, total = a.double() @ b.double(), sum(range(1, gang.size + 1))

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            return a @ b, gang.all_reduce(torch.full((self.numbers,), gang.rank + 1.0, device=gang.device))

        def check(output: tuple[torch.Tensor, torch.Tensor]) -> None:
            product, reduced = output
            torch.testing.assert_close(product.double(), exact, rtol=1e-4, atol=1e-4 * self.n**0.5)
            assert bool((reduced == total).all()), f"the sum is {float(reduced[0])}, not {total}"

        return Workload(step, check=check, work=Work(flops=2 * self.n**3, unit="step"))
