"""D2L 5.3.3: a network that takes inputs of varying width, by tying parameters."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.chapter.exercises import exercises
from scenarios.chapter.lazy.encoders import Adapters, Padded, Sliced, moved, refuses
from scenarios.chapter.lazy.stack import stack
from scenarios.chapter.lazy.untied import untied


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Training on inputs of varying width: one weight, padded to or sliced, or an adapter a width on a tied trunk."""

    exercises: ClassVar = exercises("5.3.3")
    scaling: ClassVar[Scaling] = "strong"

    widths: int = axis(4, full=(32,))
    widest: int = 1024
    hidden: int = 256
    outputs: int = 10
    samples: int = axis(512, full=(65536,))
    how: Literal["pad", "slice", "adapters"] = variant(baseline="pad")

    @property
    def known(self) -> list[int]:
        """The widths that there are, evenly spaced up to the widest."""
        return sorted({max(1, self.widest * step // self.widths) for step in range(1, self.widths + 1)})

    def network(self, device: torch.device) -> nn.Sequential:
        """An encoder for every width, and a trunk that they share."""
        encoder = {"pad": Padded, "slice": Sliced, "adapters": Adapters}[self.how](self.known, self.hidden, device)
        trunk = stack([(self.hidden, self.hidden), (self.hidden, self.outputs)], device, nn.Tanh)
        return nn.Sequential(encoder, nn.Tanh(), *trunk)

    def grouped(self, x: Tensor, y: Tensor, which: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Inputs and targets by width, where ``which`` tells each sample's; a group may be empty."""
        return [(x[which == kind, :width], y[which == kind]) for kind, width in enumerate(self.known)]

    def prepare(self, gang: Gang) -> Workload:
        """Each rank takes its part of the samples as they come, and groups it by width."""
        random = gang.shared_generator
        torch.manual_seed(int(torch.randint(2**31, (), device=gang.device, generator=random)))  # replicas are alike
        net = self.network(gang.device)
        parameters = dict(net.named_parameters())
        x = torch.randn(self.samples, self.widest, device=gang.device, generator=random)
        y = torch.randn(self.samples, self.outputs, device=gang.device, generator=random)
        which = torch.randint(len(self.known), (self.samples,), device=gang.device, generator=random)
        everyone, mine = self.grouped(x, y, which), self.grouped(gang.part(x), gang.part(y), gang.part(which))
        groups, target = [inputs for inputs, _ in mine], torch.cat([targets for _, targets in mine])

        def step() -> tuple[Tensor, Tensor]:
            outputs = net(groups)  # empty groups too: a rank that lacks a width has its gradients, of zeros
            loss = (outputs - target).square().sum() / self.samples
            gradients = torch.autograd.grad(loss, list(parameters.values()))
            return outputs.detach(), gang.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]))

        def check(output: tuple[Tensor, Tensor]) -> Facts:
            outputs, gradient = output
            tied, apart = self.parameters()
            assert gradient.numel() == tied, f"{gradient.numel()} parameters, where the formula says {tied}"
            normwise_error(outputs, untied(net, mine)[0], "outputs")
            _, wanted = untied(net, everyone)
            parts = gradient.split([parameter.numel() for parameter in parameters.values()])
            for (name, due), part in zip(wanted.items(), parts, strict=True):
                limit = tolerance(self.samples)
                normwise_error(part, due.flatten() / self.samples, f"gradient of {name}", limit=limit)
            assert refuses(net, torch.ones(1, self.widest + 1, device=gang.device)), "took inputs of unknown width"
            return {"parameters": tied, "untied": apart, **self.columns(gang)}

        trunk = self.hidden * (self.hidden + self.outputs)
        # forward and for the weights' gradients; through the trunk also for those of what it gets
        products = sum(len(inputs) * (2 * inputs.shape[1] * self.hidden + 3 * trunk) for inputs in groups)
        return Workload(step, check=check, work=Work(flops=2 * products, items=len(target), unit="sample"))

    def columns(self, gang: Gang) -> Facts:
        """Which columns of the one weight a step on the narrowest inputs moves although they use none of them."""
        if self.how == "adapters":
            return {}
        by: dict[str, int] = {}
        for kind in (torch.optim.SGD, torch.optim.Adam):
            encoder = {"pad": Padded, "slice": Sliced}[self.how](self.known, self.hidden, gang.device)
            optimizer = kind(encoder.parameters(), lr=1e-3)
            by[kind.__name__.lower()] = moved(encoder, optimizer, gang.generator)
        assert not by["sgd"], f"SGD moves {by['sgd']} columns that no input used"
        return {"columns": self.widest - min(self.known), "moved_by_sgd": by["sgd"], "moved_by_adam": by["adam"]}

    def parameters(self) -> tuple[int, int]:
        """How many numbers the network has, and how many a network for each width would have."""
        h, trunk = self.hidden, self.hidden**2 + self.hidden + self.hidden * self.outputs + self.outputs
        adapters = sum(width * h + h for width in self.known)
        encoder = adapters if self.how == "adapters" else self.widest * h + h
        return encoder + trunk, adapters + len(self.known) * trunk
