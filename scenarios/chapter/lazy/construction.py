"""D2L 5.3.1: when the parameters of a network come into being, and what the first output costs."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.exercises import exercises
from scenarios.chapter.lazy.stack import by_meta, drawn, stack
from scenarios.chapter.linear_chain import chained
from scenarios.replicas import assert_alike


@dataclass(frozen=True, kw_only=True)
class Construction:
    """From nothing to the first output: every layer's inputs given, the first's, or none; or by the meta device."""

    exercises: ClassVar = exercises("5.3.1")
    scaling: ClassVar[Scaling] = "weak"

    layers: int = axis(2, full=(32, 512))
    width: int = axis(256, full=(1024,))
    inputs: int = 20
    outputs: int = 10
    batch: int = 2
    how: Literal["eager", "first", "lazy", "meta"] = variant(baseline="eager")

    @property
    def dims(self) -> list[tuple[int, int]]:
        """Inputs and outputs of every layer."""
        return list(pairwise([self.inputs, *[self.width] * (self.layers - 1), self.outputs]))

    @property
    def given(self) -> int:
        """How many layers are told their inputs; the others wait for the first batch."""
        return {"eager": self.layers, "first": 1, "lazy": 0, "meta": self.layers}[self.how]

    def construct(self, device: torch.device) -> nn.Sequential:
        """The network before its first batch. Draws from the global generator."""
        if self.how == "meta":
            return by_meta(self.dims, device)
        return stack([*self.dims[: self.given], *((None, out) for _, out in self.dims[self.given :])], device)

    def prepare(self, gang: Gang) -> Workload:
        """Every rank makes its replica from one shared seed, so that none needs to be sent."""
        seed = int(torch.randint(2**31, (), device=gang.device, generator=gang.shared_generator))
        x = torch.randn(self.batch, self.inputs, device=gang.device, generator=gang.generator)
        numbers = sum(fan_in * fan_out + fan_out for fan_in, fan_out in self.dims)

        def step() -> tuple[nn.Sequential, Tensor]:
            torch.manual_seed(seed)  # immediately before: a draw in between would shift every weight
            net = self.construct(gang.device)
            return net, net(x)

        def check(networks: tuple[nn.Sequential, Tensor]) -> Facts:
            net, output = networks
            law = drawn(self.dims, seed, gang.device)
            assert_alike(gang, law, "weights")
            assert all(type(layer) in {nn.Linear, nn.ReLU} for layer in net), "a layer is still lazy"
            assert sum(mine.numel() for mine in net.parameters()) == numbers, f"the formula says {numbers} parameters"
            for mine, due in zip(net.parameters(), law, strict=True):
                torch.testing.assert_close(mine.detach(), due, rtol=0, atol=1e-6 * float(due.abs().max()))
                assert not mine.is_inference(), "a parameter that was made under inference mode is never trained"
            normwise_error(output, chained(law, x, torch.relu), "the output")
            return {"parameters": numbers, "at_once": self.at_once(x), "initialised": self.initialised(x)}

        flops = sum(2 * self.batch * fan_in * fan_out for fan_in, fan_out in self.dims)
        work = Work(flops=flops, bytes=8 * numbers, items=numbers, unit="parameter")  # each drawn once and read once
        return Workload(step, check=check, work=work)

    def at_once(self, x: Tensor) -> int:
        """How many numbers are initialised before the first batch; which, in turn, replaces no parameter."""
        net = self.construct(x.device)
        before = list(net.parameters())
        waiting = [layer >= self.given for layer in range(self.layers) for _ in ("weight", "bias")]
        assert list(map(is_lazy, before)) == waiting, "not the layers wait for a batch that should"
        ready = sum(parameter.numel() for parameter in before[: 2 * self.given])
        net(x)
        assert all(mine is now for mine, now in zip(before, net.parameters(), strict=True)), "an optimizer lost them"
        first = [parameter.detach().clone() for parameter in before]
        net(x)
        again = all(map(torch.equal, first, net.parameters())) and len(first) == len(list(net.parameters()))
        assert again, "a second batch has initialised parameters again"
        return ready

    def initialised(self, x: Tensor) -> int:
        """How many layers an initialiser reaches that is applied before the first batch.

        It asks for the exact type, as is usual, and passes lazy layers by without a word.
        """

        @torch.no_grad()
        def ones(module: nn.Module) -> None:
            if type(module) is nn.Linear:
                module.weight.fill_(1)

        net = self.construct(x.device).apply(ones)
        net(x)
        return sum(bool((layer.weight == 1).all()) for layer in net if isinstance(layer, nn.Linear))
