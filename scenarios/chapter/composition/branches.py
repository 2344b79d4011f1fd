"""D2L 5.1.2: a parallel block, in five ways; only the last needs more than one device to be parallel."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error
from scenarios.chapter.composition.parallel import Fused, Parallel, Slices, Spread, Streams
from scenarios.chapter.exercises import exercises
from scenarios.replicas import assert_alike


@dataclass(frozen=True, kw_only=True)
class Branches:
    """A parallel block: branches one after the other, into slices, fused, on streams, or spread over devices.

    On more devices the first four share the samples; ``spread`` shares the branches.
    """

    exercises: ClassVar = exercises("5.1.2")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = axis(8, full=(64,))
    tokens: int = 32
    features: int = axis(1024, full=(8192,))
    branches: int = axis(2, full=(8,))
    width: int = 512
    imbalance: int = 2
    """Every other branch is so many times as wide."""
    how: Literal["serial", "slices", "fused", "streams", "spread"] = variant(baseline="serial")

    def linears(self, gang: Gang) -> list[nn.Linear]:
        """The branches: the same bits in every variant and on every rank."""
        widths = [self.width * (self.imbalance if i % 2 else 1) for i in range(self.branches)]
        linears = [nn.Linear(self.features, width, device=gang.device) for width in widths]
        for parameter in nn.ModuleList(linears).parameters():
            nn.init.normal_(parameter, std=self.features**-0.5, generator=gang.shared_generator)
        return linears

    def block(self, branches: list[nn.Linear], gang: Gang) -> nn.Module:
        """The parallel block that this variant is about."""
        if self.how == "spread":
            return Spread(branches, gang)
        return {"serial": Parallel, "slices": Slices, "fused": Fused, "streams": Streams}[self.how](branches)

    @property
    def trains(self) -> bool:
        """Whether gradients pass: a product that is written into a slice has none, and a broadcast neither."""
        return self.how not in ("slices", "spread")

    def parameters(self, block: nn.Module, branches: list[nn.Linear]) -> int:
        """How many the block has. Raises AssertionError where these are not those of its branches."""
        parameters = sum(parameter.numel() for parameter in block.parameters())
        due = (self.features + 1) * sum(branch.out_features for branch in branches)
        assert parameters == due, f"{parameters} parameters, where {due} are due"
        return parameters

    def prepare(self, gang: Gang) -> Workload:
        """Draw samples of several tokens: features come last, and not in dimension 1."""
        branches = self.linears(gang)
        block = self.block(branches, gang)
        shape = self.batch, self.tokens, self.features
        samples = torch.randn(shape, device=gang.device, generator=gang.shared_generator)
        spread, given = self.how == "spread", samples.clone()
        x, mine = (samples, branches[gang.span(self.branches)]) if spread else (gang.part(samples), branches)

        @torch.no_grad()
        def step() -> torch.Tensor:
            output: torch.Tensor = block(x)
            return output

        @torch.no_grad()
        def check(output: torch.Tensor) -> Facts:
            assert_alike(gang, (given, *block.parameters()), "samples and weights")
            loads = gang.all_gather(torch.tensor(work.items, dtype=torch.float64, device=gang.device))
            due = given if spread else gang.part(given)
            assert torch.equal(x, due), "a branch has changed the input of all"
            exact = [due.double() @ branch.weight.double().T + branch.bias.double() for branch in branches]
            normwise_error(output, torch.cat(exact, dim=-1), "the output")
            bitwise = torch.equal(output, torch.cat([branch(due) for branch in branches], dim=-1))
            assert bitwise or self.how != "serial", "a branch's output is not the one that it has alone"
            parameters = self.parameters(block, branches)
            if self.trains:
                assert_trained(block, branches, due[:1])
            streams = self.branches if self.how == "streams" and gang.device.type != "cpu" else 1
            largest = (loads.max() / loads.sum()).item()
            return {
                "parameters": parameters, "bitwise": bitwise, "streams": streams, "trains": self.trains,
                "largest_share": largest,
            }  # fmt: skip

        rows, width = self.tokens * len(x), sum(branch.out_features for branch in mine)
        whole = self.batch * self.tokens * sum(branch.out_features for branch in branches)
        moved = 4 * (x.numel() + (self.features + 1 + rows) * width)
        work = Work(flops=2 * rows * self.features * width, bytes=moved, items=rows * width / whole, unit="pass")
        return Workload(step, check=check, work=work)


@torch.enable_grad()
def assert_trained(block: nn.Module, branches: list[nn.Linear], x: torch.Tensor) -> None:
    """Raise AssertionError unless the gradients of the input, the weights and the biases are those of the formula."""
    x = x.clone().requires_grad_()
    output = block(x)
    assert output.requires_grad, "no gradient passes"
    slopes = torch.randn_like(output)
    parameters = list(block.parameters())
    mine, *theirs = torch.autograd.grad(output, (x, *parameters), slopes, materialize_grads=True)
    rows, exact = x.detach().double().flatten(0, -2), slopes.double().flatten(0, -2)
    stacked = torch.cat([branch.weight.detach().double() for branch in branches])
    normwise_error(mine.flatten(0, -2), exact @ stacked, "the input's gradient")
    weights, biases = (torch.cat([tensor for tensor in theirs if tensor.dim() == dim]) for dim in (2, 1))
    normwise_error(weights, exact.T @ rows, "the weights' gradient")
    normwise_error(biases, exact.sum(0), "the biases' gradient")
