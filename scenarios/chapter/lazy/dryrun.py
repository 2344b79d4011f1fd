"""Three ways to find where a stack of layers and its data disagree: for real, on the meta device, by reading widths."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy


class Mismatched(NamedTuple):
    """Where dimensions disagree, and in which way."""

    layer: str
    """Its name in the network; ``output`` where only the target does not fit."""
    reason: str


def forward(net: nn.Sequential, x: Tensor, target: Tensor) -> Mismatched | None:
    """Compute layer by layer until one raises; None where none does and the output has the target's shape.

    Lazy layers on the way are initialised, and stay so.
    """
    with torch.no_grad():  # not inference_mode: weights that it initialised could never be trained
        for name, layer in net.named_children():
            try:
                x = layer(x)
            except RuntimeError as error:
                return Mismatched(name, str(error))
    return _output(x.shape, target)


def meta(net: nn.Sequential, x: Tensor, target: Tensor) -> Mismatched | None:
    """The same, with tensors that have shapes and no data; ``net`` is left as it was, lazy layers too."""
    return forward(_twin(net), x.to("meta"), target)


def declared(net: nn.Sequential, x: Tensor, target: Tensor) -> Mismatched | None:
    """Read what each linear layer says that it takes and gives; the other layers must keep the shape."""
    width = x.shape[-1]
    for name, layer in net.named_children():
        if isinstance(layer, nn.Linear):
            if width != layer.in_features and not isinstance(layer, nn.LazyLinear):
                return Mismatched(name, f"takes inputs of width {layer.in_features}, but gets {width}")
            width = layer.out_features
    return _output(torch.Size((*x.shape[:-1], width)), target)


def _output(shape: torch.Size, target: Tensor) -> Mismatched | None:
    """A loss would broadcast shapes that differ, or take one batch for another."""
    fits = shape == target.shape
    return None if fits else Mismatched("output", f"is {list(shape)}, but its target {list(target.shape)}")


def _twin(net: nn.Sequential) -> nn.Sequential:
    """A deep copy in which parameters on the meta device stand for those of ``net``."""
    images = {
        id(mine): UninitializedParameter(device="meta")
        if is_lazy(mine)
        else nn.Parameter(torch.empty_like(mine, device="meta"), mine.requires_grad)
        for mine in net.parameters()
    }
    return copy.deepcopy(net, images)
