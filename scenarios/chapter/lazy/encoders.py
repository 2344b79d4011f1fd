"""First layers for inputs of varying width. Each takes groups of inputs of one width, and gives ``hidden`` numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

Groups = Sequence[Tensor]
"""Inputs by width: shapes ``[number, width]``; a group may be empty."""


class Sliced(nn.Module):
    """One weight for all widths: inputs of width d meet its first d columns."""

    def __init__(self, widths: Sequence[int], hidden: int, device: torch.device) -> None:
        super().__init__()
        self.widths = frozenset(widths)
        self.linear = nn.Linear(max(widths), hidden, device=device)

    def forward(self, groups: Groups) -> Tensor:
        """One row for each input, group by group. Raises ValueError for a width that is not known."""
        weight, bias = self.linear.weight, self.linear.bias
        return torch.cat([linear(known(x, self.widths), weight[:, : x.shape[1]], bias) for x in groups])


class Padded(Sliced):
    """The same weight, and zeros up to the greatest width: one product for all, with more to multiply."""

    def forward(self, groups: Groups) -> Tensor:
        """One row for each input, group by group. Raises ValueError for a width that is not known."""
        widest = self.linear.in_features
        # negative padding would cut an input that is too wide, so widths are looked at first
        padded = torch.cat([pad(known(x, self.widths), (0, widest - x.shape[1])) for x in groups])
        return linear(padded, self.linear.weight, self.linear.bias)


class Adapters(nn.Module):
    """A layer for each width; what is tied is all that comes after it."""

    def __init__(self, widths: Sequence[int], hidden: int, device: torch.device) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({str(width): nn.Linear(width, hidden, device=device) for width in widths})
        self.widths = frozenset(widths)

    def forward(self, groups: Groups) -> Tensor:
        """One row for each input, group by group. Raises ValueError for a width that is not known."""
        return torch.cat([self.layers[str(known(x, self.widths).shape[1])](x) for x in groups])


def known(x: Tensor, widths: frozenset[int]) -> Tensor:
    """``x``, if it has one of ``widths``. Raises ValueError where not."""
    if x.shape[1] not in widths:
        raise ValueError(f"inputs have width {x.shape[1]}, which is none of {sorted(widths)}")
    return x


def moved(encoder: Sliced, optimizer: torch.optim.Optimizer, random: torch.Generator) -> int:
    """How many of the columns that only the widest inputs use change in a step on the narrowest.

    A step on the widest comes first.
    """
    weight, narrow = encoder.linear.weight, min(encoder.widths)

    def step(width: int) -> Tensor:
        optimizer.zero_grad()
        encoder([torch.randn(8, width, device=weight.device, generator=random)]).square().sum().backward()
        optimizer.step()
        return weight.detach().clone()

    wide, after = step(weight.shape[1]), step(narrow)
    return int((wide != after)[:, narrow:].any(dim=0).sum())


def refuses(net: nn.Module, x: Tensor) -> bool:
    """Whether inputs ``x`` are an error that names their width."""
    try:
        net([x])
    except ValueError as error:
        return str(x.shape[1]) in str(error)
    return False
