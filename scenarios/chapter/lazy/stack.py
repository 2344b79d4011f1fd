"""The networks of this subject: stacks of linear layers, some of which may not know their inputs' width yet."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Dims = tuple[int | None, int]
"""Inputs and outputs of a linear layer; None where the first batch is to tell."""


def stack(
    dims: Iterable[Dims], device: torch.device | str, between: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Linear layers of ``dims``, ``nn.LazyLinear`` where the inputs are None; ``between`` them an activation."""
    blocks: list[nn.Module] = []
    for fan_in, fan_out in dims:
        layer = nn.LazyLinear(fan_out, device=device) if fan_in is None else nn.Linear(fan_in, fan_out, device=device)
        blocks += [layer, between()]
    return nn.Sequential(*blocks[:-1])


def by_meta(dims: Iterable[tuple[int, int]], device: torch.device) -> nn.Sequential:
    """The same stack, which has shapes before it has memory, and memory before it has values."""
    net = stack(dims, "meta").to_empty(device=device)
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return net


def drawn(dims: Iterable[tuple[int, int]], seed: int, device: torch.device) -> list[Tensor]:
    """What ``nn.Linear`` draws, by its law: U(±1/√inputs) for each weight and then its bias, layer by layer."""
    random = torch.Generator(device).manual_seed(seed)
    shapes = ((shape, fan_in) for fan_in, fan_out in dims for shape in ((fan_out, fan_in), (fan_out,)))
    bounds = ((shape, 1 / math.sqrt(fan_in)) for shape, fan_in in shapes)
    return [torch.empty(shape, device=device).uniform_(-bound, bound, generator=random) for shape, bound in bounds]
