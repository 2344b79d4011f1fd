"""Parallel blocks: every branch gets the same input, and the outputs are concatenated in order."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from harness.scenario import Gang


class Parallel(nn.Module):
    """Branches one after the other. Shapes: ``[…, in]`` to ``[…, the sum of the branches' out]``."""

    def __init__(self, branches: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The branches' outputs, joined in the last dimension: that is where features are, whatever comes before."""
        return torch.cat([branch(x) for branch in self.branches], dim=-1)


class Slices(Parallel):
    """Each branch writes into its slice of the output, so that nothing is copied; it has no gradient."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as above."""
        branches = cast("list[nn.Linear]", list(self.branches))
        widths = [branch.out_features for branch in branches]
        output = x.new_empty(*x.shape[:-1], sum(widths))
        rows = x.flatten(0, -2)
        for branch, slot in zip(branches, output.split(widths, dim=-1), strict=True):
            torch.addmm(branch.bias, rows, branch.weight.T, out=slot.view(len(rows), branch.out_features))
        return output


class Fused(nn.Module):
    """One product with the branches' stacked weights. Only branches that begin linearly can be fused."""

    def __init__(self, branches: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.cat([branch.weight.detach() for branch in branches]))
        self.bias = nn.Parameter(torch.cat([branch.bias.detach() for branch in branches]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as above."""
        return nn.functional.linear(x, self.weight, self.bias)


class Streams(Parallel):
    """Each branch on a stream of its own. A CPU has but one: there they run one after the other."""

    def __init__(self, branches: Sequence[nn.Linear]) -> None:
        super().__init__(branches)
        self.device = torch.get_device_module(branches[0].weight.device)
        self.streams = [self.device.Stream() for _ in branches]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as above. Side streams wait for the caller's before they start, and it for them before it joins."""
        caller = self.device.current_stream()
        outputs = []
        for stream, branch in zip(self.streams, self.branches, strict=True):
            stream.wait_stream(caller)
            with self.device.stream(stream):
                outputs.append(branch(x))
        for stream in self.streams:
            caller.wait_stream(stream)
        return torch.cat(outputs, dim=-1)


class Spread(Parallel):
    """Branches spread over the ranks, which hand each other their outputs."""

    def __init__(self, branches: Sequence[nn.Linear], gang: Gang) -> None:
        super().__init__(branches)
        self.gang, self.owners = gang, gang.owners(len(branches))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shapes as above, on every rank. Widths differ, so each output is broadcast by the rank that made it."""
        branches = cast("list[nn.Linear]", list(self.branches))
        outputs = [
            branch(x) if owner == self.gang.rank else x.new_empty(*x.shape[:-1], branch.out_features)
            for branch, owner in zip(branches, self.owners, strict=True)
        ]
        return torch.cat([self.gang.broadcast(*output) for output in zip(outputs, self.owners, strict=True)], dim=-1)
