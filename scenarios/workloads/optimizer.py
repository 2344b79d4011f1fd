"""A step of AdamW: one parameter at a time, many at once, in one kernel, or each rank its own and then shared."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import optim

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, snapshot, variant
from scenarios.accuracy import normwise_error
from scenarios.replicas import assert_alike
from scenarios.workloads.gpt import GPT, Shape, seed_of

with warnings.catch_warnings(action="ignore"):  # of torch.jit, which the package still uses
    from torch.distributed.optim import ZeroRedundancyOptimizer

RATE, DECAY, EPSILON = 1e-3, 0.1, 1e-8
"""AdamW's step size, its weight decay, and what it adds to the root of its second moment."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW on the parameters of a small GPT, which every rank holds: all of them, or its part of the state."""

    scaling: ClassVar[Scaling] = "weak"

    width: int = axis(128, full=(256, 1024))
    layers: int = axis(2, full=(12,))
    how: Literal["replicated", "foreach", "fused", "zero1"] = variant(baseline="replicated")

    @property
    def shape(self) -> Shape:
        """The model's size."""
        return Shape(self.width, self.layers, context=32)

    def memory(self, ranks: int) -> int:
        """Parameters, gradients and both moments, the moments sharded or not."""
        return (8 + 8 // (ranks if self.how == "zero1" else 1)) * self.shape.parameters

    def prepare(self, gang: Gang) -> Workload:
        """Give all ranks the same parameters and gradients, and the optimizer its moments by a first step."""
        model = GPT(self.shape, seed_of(gang), gang.device)
        weights = list(model.parameters())
        before = [weight.detach().double() for weight in weights]
        gradients = [
            torch.randn(weight.shape, device=gang.device, generator=gang.shared_generator) for weight in weights
        ]
        optimizer, stateful = self.optimizer(gang, weights)

        def step() -> list[torch.Tensor]:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimizer.step()
            return [weight.detach() for weight in weights]

        def check(after: list[torch.Tensor], steps: int) -> Facts:
            assert_alike(gang, after, "parameters")
            exact = [trained(*each, steps + 1) for each in zip(before, gradients, strict=True)]
            pairs = [(a - b, due - b) for a, b, due in zip(after, before, exact, strict=True)]
            moved, due = (torch.cat([each.flatten() for each in part]) for part in zip(*pairs, strict=True))
            error = normwise_error(moved, due, "the update", limit=self.limit(before, due))
            held = sum(each.nbytes for state in stateful.state.values() for each in state.values() if each.dim())
            total = int(gang.all_reduce(torch.tensor(held, device=gang.device)))
            copies = 1 if self.how == "zero1" else gang.size
            assert total == 8 * self.shape.parameters * copies, f"ranks hold {total} bytes of moments"
            return {"error": error, "moment_bytes": held}

        step()
        numbers = self.shape.parameters
        wire = 4 * numbers * (gang.size - 1) / gang.size if self.how == "zero1" else 0
        work = Work(items=numbers, unit="parameter", wire=wire, bytes=28 * numbers)  # reads four arrays, writes three
        return Workload(step, check=check, work=work, reset=snapshot(model, stateful))

    def optimizer(self, gang: Gang, weights: list[torch.nn.Parameter]) -> tuple[optim.Optimizer, optim.Optimizer]:
        """What makes a step, and what holds this rank's moments."""
        options: dict[str, Any] = {"lr": RATE, "weight_decay": DECAY, "eps": EPSILON}
        if self.how == "zero1":
            sharded = ZeroRedundancyOptimizer(weights, optim.AdamW, process_group=gang.group, **options)
            return sharded, sharded.optim
        plain = optim.AdamW(weights, foreach=self.how == "foreach", fused=self.how == "fused", **options)
        return plain, plain

    @staticmethod
    def limit(before: list[torch.Tensor], due: torch.Tensor) -> float:
        """The normwise error of an update of parameters that are rounded to fp32 after it, four roundings of them."""
        size = torch.linalg.norm(torch.stack([torch.linalg.norm(each) for each in before]))
        return 1e-5 + float(4 * 2**-24 * size / torch.linalg.norm(due))


def trained(parameter: torch.Tensor, gradient: torch.Tensor, steps: int) -> torch.Tensor:
    """A parameter after ``steps`` of AdamW with one gradient throughout, in closed form, in float64.

    Both moments, their bias corrected, are then the gradient and its square at every step.
    """
    exact = gradient.double()
    fixed = -exact / (exact.abs() + EPSILON) / DECAY  # where decay and gradient are even
    return fixed + (parameter - fixed) * (1 - RATE * DECAY) ** steps
