"""D2L 5.6.3: the Frobenius norm of many small products, logged one result at a time or kept and sent once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Gang, Scaling, Work, Workload, arm, axis
from scenarios.chapter import exercises

Log = list[float]


@dataclass(frozen=True, kw_only=True)
class Frobenius:
    """Frobenius norms of many small products: logged one result at a time, or kept on the device and sent once."""

    exercises: ClassVar = exercises("5.6.3")
    scaling: ClassVar[Scaling] = "strong"

    matrices: int = 1000
    size: int = axis(100, full=(1000,))
    log: Literal["each", "deferred"] = arm(baseline="each")

    def operands(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        """This rank's share of two stacks of matrices: shape ``[share, size, size]`` each."""
        shape = self.matrices, self.size, self.size
        a, b = (torch.randn(shape, device=gang.device, generator=gang.shared_generator) for _ in range(2))
        return gang.part(a).clone(), gang.part(b).clone()

    def prepare(self, gang: Gang) -> Workload:
        """Draw the matrices; the log comes back in order, as numbers of the host."""
        a, b = self.operands(gang)
        pairs = list(zip(a, b, strict=True))
        norms = a.new_empty(len(pairs))
        slots = list(norms)  # views: one norm each

        def each() -> Log:
            return [torch.linalg.vector_norm(x @ y).item() for x, y in pairs]

        def deferred() -> Log:
            for (x, y), slot in zip(pairs, slots, strict=True):
                torch.linalg.vector_norm(x @ y, out=slot)
            return norms.tolist()

        def check(log: Log) -> None:
            exact = torch.linalg.vector_norm(a.double() @ b.double(), dim=(1, 2))
            torch.testing.assert_close(torch.tensor(log, dtype=torch.float64), exact.cpu(), rtol=1e-6, atol=0)

        n = self.size
        work = Work(
            flops=len(pairs) * (2 * n**3 + 2 * n**2), bytes=len(pairs) * 12 * n**2, items=len(pairs), unit="product"
        )
        return Workload({"each": each, "deferred": deferred}[self.log], check=check, work=work)
