"""An all-reduce beside matrix products: before them, under way while they run, or in pieces between them."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, exact_pattern, freivalds, variant
from scenarios.accuracy import tolerance

Output = tuple[torch.Tensor, torch.Tensor]
SENT_AT_ONCE = {"sequential": 1, "async": 1, "chunked": 4}
"""Pieces of the message, each in a collective."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Matrix products and an all-reduce that need nothing of one another: one after the other, or at the same time."""

    scaling: ClassVar[Scaling] = "weak"

    products: int = 8
    width: int = axis(256, full=(4096,))
    size: int = axis(2**20, full=(2**20, 2**24, 2**28))
    how: Literal["sequential", "async", "chunked"] = variant(baseline="sequential")

    def memory(self, ranks: int) -> int:  # noqa: ARG002 - each rank has all of it
        """The message twice, operands and products."""
        return 2 * self.size + 8 * (self.products + 1) * self.width**2

    def prepare(self, gang: Gang) -> Workload:
        """Draw operands, and a message of ``size`` bytes of which the sum over the ranks is known in closed form."""
        left = torch.randn(
            self.products, self.width, self.width, device=gang.device, generator=gang.generator
        )  # fmt: skip
        right = torch.randn(self.width, self.width, device=gang.device, generator=gang.generator)
        pattern = exact_pattern(gang.size, max(1, self.size // 4), torch.float32, gang.device)
        mine = pattern.of(gang.rank)
        message, results = torch.zeros_like(mine), torch.zeros_like(left)

        def reset() -> None:
            message.zero_()
            results.zero_()

        def step() -> Output:
            message.copy_(mine)
            self.run(gang, message, left, right, results)
            return message, results

        def check(output: Output) -> Facts:
            total, products = output
            wrong = int((total != pattern.total()).sum())
            assert not wrong, f"{wrong} of {total.numel()} numbers are not the sum over the ranks"
            limit = tolerance(self.width)
            errors = [freivalds(a, right, product) for a, product in zip(left, products, strict=True)]
            assert max(errors) <= limit, f"a product is wrong by {max(errors):.1e} (limit {limit})"
            return {"error": max(errors), "message_bytes": mine.nbytes}

        wire = 2 * (gang.size - 1) / gang.size * mine.nbytes
        work = Work(flops=2 * self.products * self.width**3, items=self.products, unit="product", wire=wire)
        return Workload(step, check=check, work=work, reset=reset)

    def run(
        self, gang: Gang, message: torch.Tensor, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor
    ) -> None:
        """All-reduce ``message`` in place, and fill ``out`` with products."""
        pieces = message.chunk(SENT_AT_ONCE[self.how])
        under_way: list[Any] = []
        for piece, a, into in zip(pieces, left.chunk(len(pieces)), out.chunk(len(pieces)), strict=True):
            sent = dist.all_reduce(piece, group=gang.group, async_op=self.how != "sequential")
            under_way += [] if sent is None else [sent]
            for one, product in zip(a, into, strict=True):
                torch.mm(one, right, out=product)
        for each in under_way:
            each.wait()
