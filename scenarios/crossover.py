"""D2L 5.6.1: large and small matrix products on the CPU and on the accelerator, with and without the copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, arm, axis
from scenarios.accuracy import normwise_error
from scenarios.chapter import exercises
from scenarios.replicas import assert_alike

HOST = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """One matrix product: on the CPU, on the device with the operands there, or with the copies there and back."""

    exercises: ClassVar = exercises("5.6.1")
    scaling: ClassVar[Scaling] = "strong"

    size: int = axis(32, 256, 1024, full=(32, 64, 128, 256, 512, 1024, 2048))
    where: Literal["host", "resident", "copied"] = arm(baseline="host")

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """The operands as they were drawn, on every rank, and as much room for copies of them."""
        return 4 * 4 * self.size**2

    def prepare(self, gang: Gang) -> Workload:
        """Every rank multiplies its rows. With copies, rank 0's memory has the operands and gets the product."""
        n, share = self.size, gang.share(self.size)
        home = gang.device if self.where == "resident" else HOST
        drawn = torch.randn(2, n, n, device=gang.device, generator=gang.shared_generator)
        operands = drawn.to(home)
        a, b = operands.unbind()
        rows = gang.part(a)
        arrived = torch.full_like(drawn, torch.nan)  # memory that was used before may hold these very operands

        def in_place() -> torch.Tensor:
            return rows @ b

        def copied() -> torch.Tensor:
            if gang.rank == 0:
                arrived.copy_(operands)
            x, y = gang.broadcast(arrived).unbind()
            product = gang.join(gang.part(x) @ y, n)
            return product.to(HOST, copy=True) if gang.rank == 0 else product

        def reset() -> None:  # changes every element of the product: earlier copies of the operands do not give it
            a[:, 0], b[0] = torch.randn(2, n, device=gang.device, generator=gang.shared_generator).to(home)

        def check(product: torch.Tensor) -> Facts:
            assert_alike(gang, [operands], "operands")
            due = gang.device if self.where == "copied" and gang.rank > 0 else home
            assert product.device == due, f"the product is on {product.device}, but due on {due}"
            left, right = (each.to(gang.device).double() for each in (a if self.where == "copied" else gang.part(a), b))
            return {"error": normwise_error(product, left @ right, "the product"), "device": gang.device.type}

        work = Work(flops=2 * share * n**2, bytes=4 * n * (2 * share + n), items=share / n, unit="product")
        if self.where == "copied":
            return Workload(copied, check=check, work=work, reset=reset, uneven=True)  # rank 0 makes the copies
        return Workload(in_place, check=check, work=work, reset=reset)
