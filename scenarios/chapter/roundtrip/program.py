"""D2L 5.5.3: parameters with their architecture."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.exercises import exercises
from scenarios.chapter.roundtrip import exported, formats
from scenarios.chapter.roundtrip.limits import limits, verdict
from scenarios.chapter.roundtrip.proof import assert_same
from scenarios.chapter.roundtrip.state import State, carried, drawn, network, numbers

BATCH = 2
EPSILON = 1e-5
"""Of batch normalisation: PyTorch's default."""
TOLERANCE = 1e-5
"""Normwise relative error that an output in fp32 may have against float64."""


class Predictor(nn.Sequential):
    """The network's own class: a file of parameters needs it, a program does not."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """From a file to a first output: parameters whose architecture is code, or an exported program that has both."""

    exercises: ClassVar = exercises("5.5.3")
    scaling: ClassVar[Scaling] = "weak"

    layers: int = 4
    width: int = axis(1024, full=(8192,))
    file: Literal["parameters", "program"] = variant(baseline="parameters")

    def memory(self, ranks: int) -> int:  # noqa: ARG002
        """The parameters that were saved."""
        return numbers(self.width, self.layers) * 4

    def prepare(self, gang: Gang) -> Workload:
        """Every rank saves a file of its own, and predicts with what it loads from there."""
        state = drawn(network(self.width, self.layers), gang)
        x = torch.rand(BATCH, self.width, device=gang.device, generator=gang.generator)
        path = gang.scratch / f"{gang.rank}.pt2"

        def built(state: State) -> nn.Module:
            net = Predictor(*network(self.width, self.layers))
            net.load_state_dict(state, assign=True)
            return net.eval()

        digest = exported.save(built(state), (x,), path) if self.file == "program" else None
        if digest is None:
            formats.save_torch(state, path)

        @torch.no_grad()
        def step() -> tuple[nn.Module, torch.Tensor]:
            net = exported.load(path, digest) if digest else built(formats.load_torch(path, gang.device))
            return net, net(x)

        def check(restored: tuple[nn.Module, torch.Tensor]) -> Facts:
            net, output = restored
            assert_same(net.state_dict(), state)
            exact = predicted(state, x.double(), self.layers)
            normwise_error(output, exact, "the output", limit=TOLERANCE)
            more = limits(x) if self.file == "program" else {}
            other = verdict(lambda: net(torch.cat([x, x])))
            predictors = sum(isinstance(module, Predictor) for module in net.modules())
            due = (0, "refused") if self.file == "program" else (1, "accepted")
            assert (predictors, other) == due, (
                f"{predictors} modules of the network's own class, and another batch is {other}"
            )
            return {"file_bytes": path.stat().st_size, "own_classes": predictors, "other_batch": other, **more}

        return Workload(step, check=check, work=carried(state))


def predicted(state: State, x: torch.Tensor, layers: int) -> torch.Tensor:
    """What a network with this state makes of ``x``, by the formulas, in the precision of ``x``."""
    for layer in range(layers):
        mine = f"{layer}."
        of = {name.removeprefix(mine): value.to(x.dtype) for name, value in state.items() if name.startswith(mine)}
        x = x @ of["0.weight"].T + of["0.bias"]
        x = (x - of["1.running_mean"]) / (of["1.running_var"] + EPSILON).sqrt()
        x = (x * of["1.weight"] + of["1.bias"]).clamp(min=0)
    return x
