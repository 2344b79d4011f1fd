"""D2L 5.2.2: a weight matrix is filled by the initialisers that there are, its rows spread over the gang."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.chapter.exercises import exercises
from scenarios.chapter.initialization.draws import Fans, fill
from scenarios.chapter.initialization.laws import Law, normal, refuse_another, truncated, uniform

LAWS: dict[str, Callable[[Fans], Law]] = {
    "normal": lambda _: normal(0.01),
    "trunc_normal": lambda _: truncated(0.02),
    "xavier_uniform": lambda fans: uniform(math.sqrt(2 / (fans.inputs + fans.outputs))),
    "xavier_normal": lambda fans: normal(math.sqrt(2 / (fans.inputs + fans.outputs))),
    "kaiming_uniform": lambda fans: uniform(math.sqrt(2 / fans.inputs)),
}
"""What is due, from the variances that the initialisers are derived from."""
ORTHONORMAL = 1e-5
"""Largest magnitude that an entry of QᵀQ - 1 may have where Q has 1024 rows or fewer."""


def orthonormal_limit(rows: int) -> float:
    """The same for any number of rows: it grows with their root, as the rounding of a sum in fp32 does."""
    return ORTHONORMAL * max(1.0, math.sqrt(rows / 1024))


@dataclass(frozen=True, kw_only=True)
class Initialization:
    """Filling one weight matrix by the initialisers that there are, its rows spread over the devices."""

    exercises: ClassVar = exercises("5.2.2")
    scaling: ClassVar[Scaling] = "strong"

    width: int = axis(384, full=(8192,))
    initializer: Literal[
        "normal", "constant", "trunc_normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "orthogonal"
    ] = variant(baseline="normal")

    def memory(self, ranks: int) -> int:
        """The rows of a rank."""
        return 4 * 3 * self.width**2 // ranks

    def prepare(self, gang: Gang) -> Workload:
        """Each rank draws its rows of a matrix that makes queries, keys and values: three outputs for each input."""
        fans = Fans.of(3 * self.width, self.width)
        rows = torch.full((gang.share(fans.outputs), fans.inputs), torch.nan, device=gang.device)

        def check(drawn: torch.Tensor) -> Facts:
            exact = drawn.double()
            sums = torch.stack([torch.ones_like(exact).sum(), exact.sum(), exact.square().sum()])
            count, total, squares = gang.all_reduce(sums).tolist()  # every rank judges the whole matrix
            largest = gang.all_gather(drawn.abs().max()).max().item()
            row_sums = gang.join(exact.sum(1), fans.outputs)
            gram = gang.all_reduce(exact.mT @ exact) if self.initializer == "orthogonal" else None
            assert count == fans.inputs * fans.outputs, f"{count:.0f} weights of {fans.inputs * fans.outputs}"
            if self.initializer == "constant":
                assert total == squares == count, "they are not all 1"
                return {"std": 0.0}
            assert len(row_sums.unique()) == fans.outputs, "a row was drawn once and is there twice"
            assert (drawn.half() == drawn).float().mean() < 0.5, "weights have half the precision"
            if gram is not None:
                off = (gram - torch.eye(fans.inputs, device=gang.device)).abs().max()
                limit = orthonormal_limit(fans.outputs)
                assert off <= limit, f"QᵀQ is {off:.1e} from 1 (limit {limit:.1e})"
                return {"std": math.sqrt(1 / fans.outputs)}
            law = LAWS[self.initializer](fans)
            refuse_another(law, count, total, squares, largest)
            bound = {"bound": law.bound} if law.bound < math.inf else {}
            return {"fan_in": fans.inputs, "fan_out": fans.outputs, "std": law.std, **bound}

        work = Work(bytes=rows.nbytes, items=rows.numel(), unit="weight")
        return Workload(lambda: fill(rows, self.initializer, fans, gang), check=check, work=work)
