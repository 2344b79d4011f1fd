"""D2L 5.1.3: a network built of several instances of one block, or of one instance, several times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.composition import factory
from scenarios.chapter.composition.uses import counted, gradients, normalisations
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike

TOLERANCE = 3e-5
"""Normwise relative error that a gradient in fp32 may have against float64."""
CANCELLED = 0.1
"""A parameter's gradient that is a smaller part of the whole may be what is left of terms that cancel."""


@dataclass(frozen=True, kw_only=True)
class Instances:
    """A network of several instances of a block, of one instance repeated, or of copies: a data-parallel gradient."""

    exercises: ClassVar = exercises("5.1.3")
    scaling: ClassVar[Scaling] = "weak"

    blocks: int = 8
    width: int = axis(512, full=(4096,))
    hidden: int = 512
    outputs: int = 10
    batch: int = axis(1, 32, full=(1, 1024))
    made: Literal["instances", "repeated", "copies"] = variant(baseline="instances")

    def net(self, gang: Gang) -> nn.Sequential:
        """The network, with the same weights on every rank."""

        def linear(inputs: int, outputs: int) -> nn.Linear:
            layer = nn.Linear(inputs, outputs, device=gang.device)
            nn.init.xavier_normal_(layer.weight, generator=gang.shared_generator)
            nn.init.normal_(layer.bias, std=0.1, generator=gang.shared_generator)
            return layer

        def block() -> nn.Module:
            return nn.Sequential(linear(self.width, self.hidden), nn.Tanh(), linear(self.hidden, self.width), nn.Tanh())

        return nn.Sequential(*self.factory(block, self.blocks), linear(self.width, self.outputs))

    def factory(self, build: Callable[[], nn.Module], count: int) -> list[nn.Module]:
        """So many blocks by the factory that this variant is about."""
        return {"instances": factory.instances, "repeated": factory.repeated, "copies": factory.copies}[self.made](
            build, count
        )

    def prepare(self, gang: Gang) -> Workload:
        """Every rank has samples of its own; the gradient is averaged over the ranks in one message."""
        net = self.net(gang)
        parameters = list(net.parameters())
        x = torch.randn(self.batch, self.width, device=gang.device, generator=gang.generator)

        def step() -> torch.Tensor:
            mine = torch.autograd.grad(net(x).square().mean(), parameters)
            return gang.all_reduce(torch.cat([part.flatten() for part in mine])) / gang.size

        def check(gradient: torch.Tensor) -> Facts:
            assert_alike(gang, parameters, "weights")
            exact = [gang.all_reduce(tensor) / gang.size for tensor in gradients(net, x)]
            assert len(gradient) == sum(tensor.numel() for tensor in exact), f"a gradient of {len(gradient)} numbers"
            whole = float(torch.linalg.norm(torch.cat([tensor.flatten() for tensor in exact])))
            for part, wanted in zip(gradient.split([tensor.numel() for tensor in exact]), exact, strict=True):
                normwise_error(part, wanted.flatten(), "a gradient", limit=TOLERANCE, least=CANCELLED * whole)
            return {**self.facts(net), "gradient_bytes": gradient.nbytes}

        weights = 2 * self.width * self.hidden * self.blocks + self.width * self.outputs
        passes = 3 * weights - self.width * self.hidden  # forward, to the weights, to the inputs but the first
        return Workload(step, check=check, work=Work(flops=2 * self.batch * passes, items=self.batch, unit="sample"))

    def facts(self, net: nn.Module) -> dict[str, int]:
        """What there is of parameters, held against what is due; a repeated one stands in the state_dict each time."""
        facts = {**counted(net), "statistics": normalisations(self.factory, self.blocks)}
        block = 2 * self.width * self.hidden + self.hidden + self.width
        head = self.width * self.outputs + self.outputs
        distinct = 1 if self.made == "repeated" else self.blocks
        due = {
            "parameters": distinct * block + head,
            "storages": 4 * distinct + 2,
            "state_dict_numbers": self.blocks * block + head,
            "initial_weights": self.blocks if self.made == "instances" else 1,
            "statistics": distinct,
        }
        assert facts == due, f"found {facts}, where {due} is due"
        return facts
