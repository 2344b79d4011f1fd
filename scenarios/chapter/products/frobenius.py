"""D2L 5.6.3: Frobenius norms of many small products, logged one at a time, kept and sent once, or batched."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike

Log = list[float]
TOLERANCE = 1e-6
"""Relative error of a norm of 100 x 100 elements in fp32; on a CPU it grows with their number, by adding up in turn."""
DEVIATIONS = 8
"""By how many standard deviations the sum of the squared norms may be off."""


@dataclass(frozen=True, kw_only=True)
class Frobenius:
    """Frobenius norms of many small products: logged one at a time, kept on the device and sent once, or batched."""

    exercises: ClassVar = exercises("5.6.3")
    scaling: ClassVar[Scaling] = "strong"

    matrices: int = 1000
    size: int = axis(100, full=(100, 512))
    log: Literal["each", "deferred", "batched"] = variant(baseline="each")

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """Every rank draws both stacks."""
        return 4 * 2 * self.matrices * self.size**2

    def operands(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        """Two stacks of matrices, the same bits in each variant and on each rank: shape ``[matrices, size, size]``."""
        shape = self.matrices, self.size, self.size
        a, b = (torch.randn(shape, device=gang.device, generator=gang.shared_generator) for _ in range(2))
        return a, b

    def prepare(self, gang: Gang) -> Workload:
        """Each rank has its share of the products; its log comes back in order, as numbers of the host."""
        n = self.size
        stacks = self.operands(gang)
        a, b = map(gang.part, stacks)
        pairs = list(zip(a, b, strict=True))
        norms = a.new_full((len(pairs),), torch.nan)
        slots = list(norms)  # views: one norm each

        def each() -> Log:
            return [torch.linalg.vector_norm(x @ y).item() for x, y in pairs]

        def deferred() -> Log:
            for (x, y), slot in zip(pairs, slots, strict=True):
                torch.linalg.vector_norm(x @ y, out=slot)
            return norms.tolist()

        def batched() -> Log:
            return torch.linalg.vector_norm(a @ b, dim=(1, 2)).tolist()  # type: ignore[no-any-return]

        def check(log: Log) -> Facts:
            assert_alike(gang, stacks, "matrices")
            mine = zip(*map(gang.part, stacks), strict=True)
            exact = [float(torch.linalg.norm(x.double() @ y.double())) for x, y in mine]
            norms, wanted = (torch.tensor(values, dtype=torch.float64) for values in (log, exact))
            torch.testing.assert_close(norms, wanted, rtol=TOLERANCE * max(1, (n / 100) ** 2), atol=0)
            _two_operands(exact, n)
            error = max((abs(norm / reference - 1) for norm, reference in zip(log, exact, strict=True)), default=0.0)
            return {"norms": len(log), "mean_norm": sum(log) / max(1, len(log)), "error": error}

        work = Work(
            flops=len(pairs) * (2 * n**3 + 2 * n**2), bytes=len(pairs) * 12 * n**2, items=len(pairs), unit="product"
        )
        step = {"each": each, "deferred": deferred, "batched": batched}[self.log]
        return Workload(step, check=check, work=work)


def _two_operands(norms: list[float], n: int) -> None:
    """The squares of the norms of A·B add up to what independent N(0, 1) elements give; those of A·Aᵀ to twice that.

    E‖AB‖² = n³, and Var‖AB‖² = 6n⁴ + 2n³, by conditioning on B: E tr(BBᵀ)² = 2n³ + n².
    """
    due, spread = len(norms) * n**3, (len(norms) * (6 * n**4 + 2 * n**3)) ** 0.5
    total = sum(norm**2 for norm in norms)
    assert abs(total - due) <= DEVIATIONS * spread, f"squared norms add up to {total:.4g}; A·B would give {due:.4g}"
