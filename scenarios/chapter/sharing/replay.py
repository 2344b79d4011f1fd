"""The oracle of training with tied layers: every use has a copy of its own, and the copies' gradients are summed."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from scenarios.chapter.linear_chain import chained

Tensors = list[torch.Tensor]


def replay(
    start: Tensors, batch: tuple[torch.Tensor, torch.Tensor], steps: int, *, rate: float, tied: Sequence[int]
) -> tuple[Tensors, Tensors]:
    """SGD with momentum on a whole batch of inputs and targets, in float64, on one device.

    ``start`` is the weight and the bias of every linear layer in turn; ``tied`` are the layers that move as one:
    each of them gets the sum of the gradients of all. Returns the tensors after ``steps`` steps, and their velocities.
    """
    copies = [tensor.double().requires_grad_() for tensor in start]
    velocities = [torch.zeros_like(copy) for copy in copies]
    x, y = (tensor.double() for tensor in batch)
    for _ in range(steps):
        loss = F.mse_loss(chained(copies, x, torch.tanh), y) * y.shape[1]  # mean over the rows, sum over the outputs
        gradients = list(torch.autograd.grad(loss, copies))
        for kind in range(2 if tied else 0):  # weights, biases
            places = [2 * layer + kind for layer in tied]
            total = torch.stack([gradients[place] for place in places]).sum(0)
            for place in places:
                gradients[place] = total
        with torch.no_grad():
            for copy, velocity, gradient in zip(copies, velocities, gradients, strict=True):
                copy.sub_(velocity.mul_(0.9).add_(gradient), alpha=rate)
    return [copy.detach() for copy in copies], velocities
