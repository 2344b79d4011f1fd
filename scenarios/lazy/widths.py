"""D2L 5.3.3: a network that takes inputs of varying width, by tying parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, arm, axis
from scenarios.chapter import exercises
from scenarios.lazy.encoders import Adapters, Padded, Sliced
from scenarios.lazy.stack import stack
from scenarios.lazy.untied import untied

TOLERANCE = 2e-5
"""Normwise relative error that fp32 may have against float64: sums of a gradient cancel. TF32 has above 1e-4."""


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Training on inputs of varying width: one weight, padded to or sliced, or an adapter a width on a tied trunk."""

    exercises: ClassVar = exercises("5.3.3")
    scaling: ClassVar[Scaling] = "strong"

    widths: int = axis(4, 32)
    widest: int = 1024
    hidden: int = 256
    outputs: int = 10
    samples: int = axis(512, full=(65536,))
    how: Literal["pad", "slice", "adapters"] = arm(baseline="pad")

    @property
    def known(self) -> list[int]:
        """The widths that there are, evenly spaced up to the widest."""
        return sorted({max(1, self.widest * step // self.widths) for step in range(1, self.widths + 1)})

    def network(self, device: torch.device) -> nn.Sequential:
        """An encoder for every width, and a trunk that they share."""
        encoder = {"pad": Padded, "slice": Sliced, "adapters": Adapters}[self.how](self.known, self.hidden, device)
        trunk = stack([(self.hidden, self.hidden), (self.hidden, self.outputs)], device, nn.Tanh)
        return nn.Sequential(encoder, nn.Tanh(), *trunk)

    def prepare(self, gang: Gang) -> Workload:
        """Each rank takes its part of the samples as they come, and groups it by width."""
        random = gang.shared_generator
        torch.manual_seed(int(torch.randint(2**31, (), device=gang.device, generator=random)))  # replicas are alike
        net = self.network(gang.device)
        parameters = dict(net.named_parameters())
        x = torch.randn(self.samples, self.widest, device=gang.device, generator=random)
        y = torch.randn(self.samples, self.outputs, device=gang.device, generator=random)
        which = torch.randint(len(self.known), (self.samples,), device=gang.device, generator=random)
        everyone = [(x[which == kind, :width], y[which == kind]) for kind, width in enumerate(self.known)]
        x, y, which = gang.part(x), gang.part(y), gang.part(which)
        mine = [(x[which == kind, :width], y[which == kind]) for kind, width in enumerate(self.known)]
        groups, target = [x for x, _ in mine], torch.cat([y for _, y in mine])

        def step() -> tuple[Tensor, Tensor]:
            outputs = net(groups)  # empty groups too: a rank that lacks a width has its gradients, of zeros
            loss = (outputs - target).square().sum() / self.samples
            gradients = torch.autograd.grad(loss, list(parameters.values()))
            return outputs.detach(), gang.all_reduce(torch.cat([each.flatten() for each in gradients]))

        def check(made: tuple[Tensor, Tensor]) -> Facts:
            outputs, gradient = made
            _close("outputs", outputs, untied(net, mine)[0])
            _, wanted = untied(net, everyone)
            parts = gradient.split([each.numel() for each in parameters.values()])
            for (name, due), part in zip(wanted.items(), parts, strict=True):
                _close(f"gradient of {name}", part, due.flatten() / self.samples)
            assert gradient.numel() == self.numbers(tied=True), "not as many parameters as the formula says"
            _refuses(net, x.new_ones(1, self.widest + 1))
            return {"parameters": self.numbers(tied=True), "untied": self.numbers(tied=False)}

        macs = sum(len(x) * (2 * width * self.hidden + 3 * trunk) for x, width in zip(groups, self.known))
        return Workload(step, check=check, work=Work(flops=2 * macs, items=len(target), unit="sample"))
