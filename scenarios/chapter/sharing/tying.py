"""D2L 5.2.3, 5.2.4: a deep network is trained whose hidden layers are a layer each, or one shared layer."""

from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.exercises import exercises
from scenarios.chapter.sharing.replay import replay
from scenarios.chapter.sharing.training import Training

INPUTS, OUTPUTS = 32, 8
BUILT_UP = 1e-4
"""Normwise relative error that the gradients of all steps, built up as momentum, may have against float64."""
WAY = 1e-2
"""The same for the way that parameters have gone, which is short: their rounding counts for more."""


@dataclass(frozen=True, kw_only=True)
class Tying:
    """Data-parallel training of a deep network whose hidden layers are a layer each, or one shared layer."""

    exercises: ClassVar = exercises("5.2.3", "5.2.4")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = 64
    uses: int = 8
    width: int = axis(256, full=(4096,))
    hidden: Literal["untied", "tied"] = variant(baseline="untied")

    def network(self, gang: Gang) -> nn.Sequential:
        """The same values in either variant: untied layers begin as copies of one another.

        A tanh is smooth. The gradient of a ReLU network jumps wherever rounding turns a unit on.
        """
        sizes = (INPUTS, self.width), (self.width, self.width), (self.width, OUTPUTS)
        first, shared, last = (nn.Linear(*size, device=gang.device) for size in sizes)
        for layer in (first, shared, last):
            nn.init.xavier_normal_(layer.weight, gain=5 / 3, generator=gang.shared_generator)
            nn.init.normal_(layer.bias, std=0.1, generator=gang.shared_generator)
        hidden = [shared if self.hidden == "tied" else deepcopy(shared) for _ in range(self.uses)]
        return nn.Sequential(*chain.from_iterable((layer, nn.Tanh()) for layer in (first, *hidden)), last)

    def observed(self, training: Training, batch: tuple[torch.Tensor, torch.Tensor], rate: float) -> Facts:
        """One weight of the first hidden layer over a step from the start, and the gradient between its values.

        Also the gradients that its first and its last use have for themselves. Every rank calls this.
        """
        training.reset()
        weight = training.uses[2]  # behind the first layer's weight and bias
        before = weight[0, 0].item()
        training.step()
        assert weight.grad is not None
        _, alone = replay(training.start, batch, 1, rate=rate, tied=())
        of_uses = [alone[2 * layer][0, 0].item() for layer in range(1, 1 + self.uses)]
        return {
            "weight_before": before,
            "weight_gradient": weight.grad[0, 0].item(),
            "weight_after": weight[0, 0].item(),
            "gradient_first_use": of_uses[0],
            "gradient_last_use": of_uses[-1],
        }

    def prepare(self, gang: Gang) -> Workload:
        """Each rank has its rows of the batch; every sample begins with the same network."""
        shapes = (self.batch, INPUTS), (self.batch, OUTPUTS)
        x, y = (torch.randn(shape, device=gang.device, generator=gang.shared_generator) for shape in shapes)
        rate = 0.1 / self.width
        training = Training(self.network(gang), x, y, gang, rate=rate)
        tied = range(1, 1 + self.uses) if self.hidden == "tied" else ()
        layers = self.uses - len(tied) + bool(tied)
        numbers = (INPUTS + 1 + layers * (self.width + 1)) * self.width + (self.width + 1) * OUTPUTS

        def check(uses: list[nn.Parameter], steps: int) -> Facts:
            storages = {use.data_ptr(): use.numel() for use in uses}
            assert sum(storages.values()) == numbers, f"{sum(storages.values())} parameters, where {numbers} are due"
            now = training.net.named_parameters(remove_duplicate=False)  # ties that a step undid are none any more
            assert [id(use) for _, use in now] == [id(use) for use in uses], "not all uses were trained"
            training.step()  # from the timed ones' end: after a single step momentum would not have told yet
            ends, velocities = replay(training.start, (x, y), steps + 1, rate=rate, tied=tied)
            for velocity, exact in zip(training.velocities, velocities, strict=True):
                assert exact.any(), "gradients are zero: nothing was trained"
                normwise_error(velocity, exact, "gradients", limit=BUILT_UP)
            for start, use, end in zip(training.start, uses, ends, strict=True):
                normwise_error(use - start, end - start, "the way that parameters went", limit=WAY)
            return {
                **self.observed(training, (x, y), rate),
                "parameters": numbers,
                "tensors": len(training.unique),
                "names": len(uses),
                "state_bytes": training.state_bytes(),
                "activation_bytes": training.activation_bytes(),
            }

        rows = gang.share(self.batch)
        weights = self.uses * self.width**2 + self.width * OUTPUTS
        work = Work(flops=rows * (6 * weights + 4 * INPUTS * self.width), items=rows, unit="sample")
        return Workload(training.step, check=check, work=work, reset=training.reset)
