"""D2L 5.1.3: a network built of several instances of one block, or of one instance, several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, arm, axis
from scenarios.chapter import exercises
from scenarios.composition import factory

TOLERANCE = 3e-5
"""Normwise relative error that a gradient in fp32 may have against float64."""


@dataclass(frozen=True, kw_only=True)
class Instances:
    """A network of several instances of a block, of one instance repeated, or of copies: a data-parallel gradient."""

    exercises: ClassVar = exercises("5.1.3")
    scaling: ClassVar[Scaling] = "weak"

    blocks: int = 8
    width: int = axis(512, full=(4096,))
    hidden: int = 512
    outputs: int = 10
    batch: int = axis(1, 32, full=(1024,))
    made: Literal["instances", "repeated", "copies"] = arm(baseline="instances")

    def net(self, gang: Gang) -> nn.Sequential:
        """The network, with the same weights on every rank."""

        def linear(inputs: int, outputs: int) -> nn.Linear:
            layer = nn.Linear(inputs, outputs, device=gang.device)
            nn.init.xavier_normal_(layer.weight, generator=gang.shared_generator)
            nn.init.normal_(layer.bias, std=0.1, generator=gang.shared_generator)
            return layer

        def block() -> nn.Module:
            return nn.Sequential(linear(self.width, self.hidden), nn.Tanh(), linear(self.hidden, self.width), nn.Tanh())

        make = {"instances": factory.instances, "repeated": factory.repeated, "copies": factory.copies}[self.made]
        return nn.Sequential(*make(block, self.blocks), linear(self.width, self.outputs))

    def prepare(self, gang: Gang) -> Workload:
        """Every rank has samples of its own; the gradient is averaged over the ranks in one message."""
        net = self.net(gang)
        parameters = list(net.parameters())
        x = torch.randn(self.batch, self.width, device=gang.device, generator=gang.generator)

        def step() -> torch.Tensor:
            gradients = torch.autograd.grad(net(x).square().mean(), parameters)
            return gang.all_reduce(torch.cat([each.flatten() for each in gradients])) / gang.size

        def check(gradient: torch.Tensor) -> Facts:
            exact = [gang.all_reduce(each) / gang.size for each in _gradients(net, x)]
            assert len(gradient) == sum(each.numel() for each in exact), f"a gradient of {len(gradient)} numbers"
            parts = gradient.split([each.numel() for each in exact])
            for part, wanted in zip(parts, exact, strict=True):
                error = torch.linalg.norm(part - wanted.flatten())
                limit = TOLERANCE * torch.linalg.norm(wanted)
                assert error <= limit, f"a gradient is {error:.1e} off (limit {limit:.1e})"
            return {**self.facts(net), "gradient_bytes": gradient.nbytes}

        weights = 2 * self.width * self.hidden * self.blocks + self.width * self.outputs
        passes = 3 * weights - self.width * self.hidden  # forward, to the weights, to the inputs but the first
        return Workload(step, check=check, work=Work(flops=2 * self.batch * passes, items=self.batch, unit="sample"))

    def facts(self, net: nn.Module) -> dict[str, int]:
        """What there is of parameters, held against what is due; a repeated one stands in the state_dict each time."""
        entries = list(net.state_dict().values())
        firsts = torch.stack(entries[:-2:4]).flatten(1)
        found = {
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "storages": len({entry.data_ptr() for entry in entries}),
            "state_dict_numbers": sum(entry.numel() for entry in entries),
            "initial_weights": len(firsts.unique(dim=0)),
        }
        block = 2 * self.width * self.hidden + self.hidden + self.width
        head = self.width * self.outputs + self.outputs
        own = 1 if self.made == "repeated" else self.blocks
        due = {
            "parameters": own * block + head,
            "storages": 4 * own + 2,
            "state_dict_numbers": self.blocks * block + head,
            "initial_weights": self.blocks if self.made == "instances" else 1,
        }
        assert found == due, f"found {found}, where {due} is due"
        return found


def _gradients(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The gradient of each parameter in float64: that of every use on its own, and their sum."""
    entries = net.state_dict(keep_vars=True).values()  # every use, in order
    uses = [entry.detach().double().requires_grad_() for entry in entries]
    y = x.double()
    for weight, bias in zip(uses[:-2:2], uses[1:-2:2], strict=True):
        y = torch.tanh(y @ weight.T + bias)
    weight, bias = uses[-2:]
    each = torch.autograd.grad((y @ weight.T + bias).square().mean(), uses)
    return [
        torch.stack([made for made, entry in zip(each, entries, strict=True) if entry is parameter]).sum(0)
        for parameter in net.parameters()
    ]
