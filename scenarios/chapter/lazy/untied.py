"""The oracle of tied parameters: a network for each width, which share nothing; their gradients add up."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from scenarios.chapter.linear_chain import chained


def used(tensors: Mapping[str, Tensor], width: int) -> list[Tensor]:
    """Views of what inputs of ``width`` use, of parameters or gradients by name: weights and biases in turn."""
    trunk = [tensor for name, tensor in tensors.items() if not name.startswith("0.")]
    if f"0.layers.{width}.weight" in tensors:
        return [tensors[f"0.layers.{width}.weight"], tensors[f"0.layers.{width}.bias"], *trunk]
    return [tensors["0.linear.weight"][:, :width], tensors["0.linear.bias"], *trunk]


def untied(net: nn.Module, groups: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
    """In float64, of groups of inputs and targets: the outputs, and the gradients of the sum of squared errors."""
    values = {name: mine.detach().double() for name, mine in net.named_parameters()}
    gradients = {name: torch.zeros_like(value) for name, value in values.items()}
    outputs = []
    for x, target in groups:
        alone = [tensor.clone().requires_grad_() for tensor in used(values, x.shape[1])]
        outputs.append(chained(alone, x, torch.tanh))
        loss = (outputs[-1] - target).square().sum()
        for total, part in zip(used(gradients, x.shape[1]), torch.autograd.grad(loss, alone), strict=True):
            total.add_(part)
    return torch.cat(outputs).detach(), gradients
