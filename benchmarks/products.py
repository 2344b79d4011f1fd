"""A step of as many small products as the variable PRODUCTS says; ``bouts.py`` has it judged by several tools.

As a script it is a benchmark of pyperf, and pytest-benchmark collects its test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness.scenario import Gang, Scaling, Work, Workload

SIZE = 128


def products(generator: torch.Generator | None = None) -> Callable[[], torch.Tensor]:
    """The step: x ← x @ w, over and over, from the same start; w keeps the length of what it is applied to."""
    torch.set_num_threads(1)
    start = torch.rand(SIZE, SIZE, generator=generator)
    weight = torch.linalg.qr(torch.rand(SIZE, SIZE, generator=generator)).Q
    times = int(os.environ["PRODUCTS"])

    def step() -> torch.Tensor:
        x = start
        for _ in range(times):
            x = x @ weight
        return x

    return step


@dataclass(frozen=True, kw_only=True)
class Products:
    """Products one after the other."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """The step's operands."""
        step = products(gang.generator)
        length = float(step().norm())

        def check(output: torch.Tensor) -> None:
            torch.testing.assert_close(float(output.norm()), length, rtol=1e-3, atol=0)

        return Workload(step, check=check, work=Work(flops=2 * SIZE**3 * int(os.environ["PRODUCTS"])))


def test_products(benchmark: Any) -> None:
    """What pytest-benchmark runs."""
    benchmark(products())


if __name__ == "__main__":
    import pyperf

    runner = pyperf.Runner()
    runner.bench_func("products", products())
