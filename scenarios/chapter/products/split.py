"""D2L 5.6.4: matrix products on one device one after the other, or spread over several at once."""

from dataclasses import dataclass
from itertools import combinations, starmap
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from harness.work.product_overlap import overlap
from scenarios.accuracy import normwise_error, tolerance
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike


@dataclass(frozen=True, kw_only=True)
class Split:
    """Matrix products on one device in sequence, or on several at once: whole, by columns, or by inner dimension."""

    exercises: ClassVar = exercises("5.6.4")
    scaling: ClassVar[Scaling] = "strong"

    products: int = 2
    size: int = axis(1024, full=(2048, 8192))
    dtype: Literal["float32", "bfloat16"] = axis("float32", full=("float32", "bfloat16"))
    how: Literal["whole", "columns", "inner"] = variant(baseline="whole")

    def memory(self, ranks: int) -> int:
        """Every rank draws all operands, and multiplies a part of them."""
        return self.numbers.itemsize * self.size**2 * self.products * (2 * ranks + 1) // ranks

    @property
    def numbers(self) -> torch.dtype:
        """The type of the operands' and the products' numbers."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]

    def operands(self, gang: Gang) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Every product's two matrices, each ``[size, size]``: the same bits in every variant and on every rank."""
        pair = 2, self.size, self.size
        drawn = (torch.randn(pair, device=gang.device, generator=gang.shared_generator) for _ in range(self.products))
        return [tuple(both.to(self.numbers)) for both in drawn]

    def prepare(self, gang: Gang) -> Workload:
        """Hand each rank whole products, or its columns, or its slice of the sum of every product."""
        pairs = self.operands(gang)
        if self.how == "whole":
            mine = wanted = pairs[gang.span(self.products)]
        elif self.how == "columns":
            mine = wanted = [(a, gang.part(b, dim=1).contiguous()) for a, b in pairs]
        else:
            mine = [(gang.part(a, dim=1).contiguous(), gang.part(b, dim=0).contiguous()) for a, b in pairs]
            wanted = pairs
        combine = gang.all_reduce if self.how == "inner" else _as_it_is

        def step() -> list[torch.Tensor]:
            return [combine(a @ b) for a, b in mine]

        def check(products: list[torch.Tensor]) -> Facts:
            together = overlap(gang, step) if gang.size > 1 else 1.0
            assert_alike(gang, (matrix for pair in pairs for matrix in pair), "operands")
            assert len(products) == len(wanted), f"{len(products)} products instead of {len(wanted)}"
            assert {product.device for product in products} <= {gang.device}, f"not every product is on {gang.device}"
            assert {product.dtype for product in products} <= {self.numbers}, f"not every product is of {self.dtype}"
            assert not any(starmap(torch.equal, combinations(products, 2))), "two products are one and the same"
            exact = (a.double() @ b.double() for a, b in wanted)
            limit = tolerance(self.size, self.numbers)
            errors = [normwise_error(*pair, limit=limit) for pair in zip(products, exact, strict=True)]
            return {"error": max(errors, default=0.0), "products": len(products), "overlap": together}

        multiplied = sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b in mine)
        moved = sum(a.numel() + b.numel() + a.shape[0] * b.shape[1] for a, b in mine) * self.numbers.itemsize
        work = Work(flops=2 * multiplied, bytes=moved, items=multiplied / self.size**3, unit="product")
        return Workload(step, check=check, work=work)


def _as_it_is(product: torch.Tensor) -> torch.Tensor:
    return product
