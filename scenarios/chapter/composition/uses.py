"""What there is in the network of ``Instances``: blocks of two linear layers, which may be one, and a last layer."""

from collections.abc import Callable

import torch
from torch import nn

from scenarios.chapter.linear_chain import chained


def counted(net: nn.Module) -> dict[str, int]:
    """Parameters, and what looks like them: the state_dict has an entry for every use."""
    entries = list(net.state_dict().values())
    firsts = torch.stack(entries[:-2:4]).flatten(1)  # each block's first weight
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "storages": len({entry.data_ptr() for entry in entries}),
        "state_dict_numbers": sum(entry.numel() for entry in entries),
        "initial_weights": len(firsts.unique(dim=0)),
    }


def normalisations(make: Callable[[Callable[[], nn.Module], int], list[nn.Module]], count: int) -> int:
    """How many running means there are where ``make`` makes so many batch normalisations."""
    states = [block.state_dict() for block in make(lambda: nn.BatchNorm1d(1), count)]
    return len({state["running_mean"].data_ptr() for state in states})


def gradients(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Each parameter's gradient of the mean squared output, in float64: every use has a copy, and they add up."""
    entries = net.state_dict(keep_vars=True).values()  # every use, in order
    uses = [entry.detach().double().requires_grad_() for entry in entries]
    by_use = torch.autograd.grad(chained(uses, x, torch.tanh).square().mean(), uses)
    return [
        torch.stack([gradient for gradient, entry in zip(by_use, entries, strict=True) if entry is parameter]).sum(0)
        for parameter in net.parameters()
    ]
