"""D2L 5.1.2: a parallel block, in five ways; only the last needs more than one device to be parallel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from harness.scenario import Facts, Gang, Scaling, Work, Workload, arm, axis
from scenarios.chapter import exercises
from scenarios.composition.parallel import Fused, Parallel, Slices, Spread, Streams

TOLERANCE = 5e-6
"""Normwise relative error that a product in fp32 may have against float64; TF32 has 3e-4."""


@dataclass(frozen=True, kw_only=True)
class Branches:
    """A parallel block: branches one after the other, into slices, fused, on streams, or spread over devices.

    On more devices the first four share the samples; ``spread`` shares the branches.
    """

    exercises: ClassVar = exercises("5.1.2")
    scaling: ClassVar[Scaling] = "strong"

    batch: int = 8
    tokens: int = 32
    features: int = axis(1024, full=(8192,))
    branches: int = axis(2, full=(8,))
    width: int = 512
    imbalance: int = 2
    """Every other branch is so many times as wide."""
    how: Literal["serial", "slices", "fused", "streams", "spread"] = arm(baseline="serial")

    def linears(self, gang: Gang) -> list[nn.Linear]:
        """The branches: the same bits in every arm and on every rank."""
        widths = [self.width * (self.imbalance if i % 2 else 1) for i in range(self.branches)]
        made = [nn.Linear(self.features, width, device=gang.device) for width in widths]
        for parameter in (each for branch in made for each in branch.parameters()):
            nn.init.normal_(parameter, std=self.features**-0.5, generator=gang.shared_generator)
        return made

    def block(self, branches: list[nn.Linear], gang: Gang) -> nn.Module:
        """The parallel block that this arm is about."""
        if self.how == "spread":
            return Spread(branches, gang)
        return {"serial": Parallel, "slices": Slices, "fused": Fused, "streams": Streams}[self.how](branches)

    def prepare(self, gang: Gang) -> Workload:
        """Draw samples of several tokens: features come last, and not in dimension 1."""
        branches = self.linears(gang)
        block = self.block(branches, gang)
        x = torch.randn(self.batch, self.tokens, self.features, device=gang.device, generator=gang.shared_generator)
        mine = branches
        if self.how == "spread":
            mine = [branches[i] for i in gang.part(torch.arange(self.branches)).tolist()]
        else:
            x = gang.part(x).clone()
        given = x.clone()

        @torch.no_grad()
        def step() -> torch.Tensor:
            output: torch.Tensor = block(x)
            return output

        @torch.no_grad()
        def check(output: torch.Tensor) -> Facts:
            loads = gang.all_gather(torch.tensor(work.items, dtype=torch.float64, device=gang.device))
            assert torch.equal(x, given), "a branch has changed the input of all"
            bitwise = _right(output, given, branches)
            assert bitwise or self.how != "serial", "a branch's output is not the one that it has alone"
            parameters = sum(parameter.numel() for parameter in block.parameters())
            due = (self.features + 1) * sum(branch.out_features for branch in branches)
            assert parameters == due, f"{parameters} parameters, where {due} are due"
            streams = self.branches if self.how == "streams" and gang.device.type != "cpu" else 1
            return {
                "parameters": parameters,
                "bitwise": bitwise,
                "streams": streams,
                "ideal": (loads.sum() / loads.max()).item(),
            }

        rows, width = self.tokens * len(x), sum(branch.out_features for branch in mine)
        whole = self.batch * self.tokens * sum(branch.out_features for branch in branches)
        work = Work(
            flops=2 * rows * self.features * width,
            bytes=4 * (x.numel() + (self.features + 1 + rows) * width),
            items=rows * width / whole,
            unit="pass",
        )
        return Workload(step, check=check, work=work)


def _right(output: torch.Tensor, x: torch.Tensor, branches: list[nn.Linear]) -> bool:
    """Hold each branch's slice against float64; say whether all have the very bits that the branches alone make."""
    widths = [branch.out_features for branch in branches]
    assert output.shape == (*x.shape[:-1], sum(widths)), f"shape {tuple(output.shape)} from {tuple(x.shape)}"
    slices = output.split(widths, dim=-1)
    for part, branch in zip(slices, branches, strict=True):
        exact = x.double() @ branch.weight.double().T + branch.bias.double()
        error = torch.linalg.norm(part - exact) / torch.linalg.norm(exact)
        assert error <= TOLERANCE, f"normwise error {error:.1e} (limit {TOLERANCE})"
    return all(torch.equal(part, branch(x)) for part, branch in zip(slices, branches, strict=True))
