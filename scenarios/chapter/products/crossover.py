"""D2L 5.6.1: large and small matrix products on the CPU and on the accelerator, with and without the copies."""

import os
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike

HOST = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """One matrix product: on the CPU, on the device with the operands there, or with the copies there and back."""

    exercises: ClassVar = exercises("5.6.1")
    scaling: ClassVar[Scaling] = "strong"

    size: int = axis(32, 256, 1024, full=(32, 64, 128, 256, 512, 1024, 2048, 4096))
    where: Literal["host", "resident", "copied"] = variant(baseline="host")

    def cores(self, device: torch.device) -> int:
        """How many cores a product on the host may use: of a GPU's rank all that it runs on, a share of the host's.

        A CPU device is so many cores itself.
        """
        mine = self.where == "host" and device.type != "cpu"
        return len(os.sched_getaffinity(0)) if mine else torch.get_num_threads()

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

        cores = self.cores(gang.device)

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
            left, right = (
                operand.to(gang.device).double() for operand in (a if self.where == "copied" else gang.part(a), b)
            )
            error = normwise_error(product, left @ right, "the product", limit=tolerance(n))
            return {"error": error, "device": gang.device.type, "cores": cores}

        work = Work(flops=2 * share * n**2, bytes=4 * n * (2 * share + n), items=share / n, unit="product")
        step = copied if self.where == "copied" else in_place
        if self.where == "host" and cores != torch.get_num_threads():  # a CPU device has set them
            step = partial(_product, rows, b, cores)
        asymmetric = self.where == "copied"  # rank 0 makes the copies
        return Workload(step, check=check, work=work, reset=reset, asymmetric=asymmetric)


def _product(a: torch.Tensor, b: torch.Tensor, threads: int) -> torch.Tensor:
    """A product on the host with so many threads; afterwards there are as many as before, for other variants."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return a @ b
    finally:
        torch.set_num_threads(before)
