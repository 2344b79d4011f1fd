"""D2L 5.2.2: initialisers: how fast they fill weights, and whether what they fill them with is what they promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, arm, axis
from scenarios.chapter import exercises
from scenarios.initialization.laws import judge, law

Draw = Callable[[Tensor, torch.Generator], object]


def _custom(weight: Tensor, generator: torch.Generator) -> None:
    nn.init.uniform_(weight, -10, 10, generator=generator)
    weight.mul_(weight.abs() >= 5)


DRAWS: dict[str, Draw] = {
    "normal": lambda weight, generator: nn.init.normal_(weight, 0, 0.01, generator=generator),
    "constant": lambda weight, _: nn.init.constant_(weight, 1),
    "xavier": lambda weight, generator: nn.init.xavier_uniform_(weight, generator=generator),
    "kaiming": lambda weight, generator: nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator),
    "truncated": lambda weight, generator: nn.init.trunc_normal_(weight, generator=generator),
    "custom": _custom,
}


@dataclass(frozen=True, kw_only=True)
class Initialization:
    """Filling the weights of linear layers: by the chapter's initialisers, its custom one, and a truncated normal.

    Each rank has whole layers, so that an initialiser that looks at a weight's shape sees the layer's.
    """

    exercises: ClassVar = exercises("5.2.2")
    scaling: ClassVar[Scaling] = "strong"

    layers: int = axis(4, full=(64,))
    inputs: int = axis(700, full=(4096,))
    outputs: int = axis(300, full=(11008,))
    method: Literal["normal", "constant", "xavier", "kaiming", "truncated", "custom"] = arm(baseline="normal")

    def prepare(self, gang: Gang) -> Workload:
        """Lay out this rank's layers; a step fills them anew."""
        weights = torch.empty(gang.share(self.layers), self.outputs, self.inputs, device=gang.device)
        layers, draw = weights.unbind(), DRAWS[self.method]

        @torch.no_grad()
        def step() -> Tensor:
            for layer in layers:
                draw(layer, gang.generator)
            return weights

        def check(filled: Tensor) -> Facts:
            due = law(self.method, self.inputs, self.outputs)
            return judge(filled.double().flatten(), due) if len(filled) else {}

        work = Work(bytes=4 * weights.numel(), items=weights.numel(), unit="weight")
        return Workload(step, check=check, work=work)
