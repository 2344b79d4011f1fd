"""The oracle of data-parallel training: the whole batch's gradients in float64, by one process alone."""

from collections.abc import Iterable

import torch

from harness.scenario import Gang, exact_gradients
from scenarios.accuracy import normwise_error
from scenarios.replicas import assert_alike
from scenarios.workloads.gpt import GPT, Shape

LIMIT = 3e-5
"""Normwise relative error of gradients in fp32: some 1e-6 for two layers."""
SHARE = 1e-2
"""Of a single parameter so much is asked as of one whose gradient is this share of all."""


def compare(
    gang: Gang, gradients: Iterable[torch.Tensor | None], model: GPT, tokens: torch.Tensor, limit: float = LIMIT
) -> float:
    """The normwise error of the mean gradients of all ranks' batches; ``model`` is a plain one with the same weights.

    Every rank calls it, with its own ``tokens``. Raises AssertionError above ``limit``, of any parameter as of all, and
    where ranks hold other gradients.
    """
    present = [gradient for gradient in gradients if gradient is not None]
    assert_alike(gang, present, "gradients")
    everyone = gang.all_gather(tokens).flatten(0, 1)
    exact = exact_gradients(model, lambda double: double(everyone))
    names = [name for name, _ in model.named_parameters()]
    assert len(present) == len(exact), f"{len(present)} of {len(exact)} parameters have gradients"
    whole = float(torch.linalg.norm(torch.cat([each.flatten() for each in exact])))
    for name, gradient, due in zip(names, present, exact, strict=True):
        normwise_error(gradient, due, name, limit=limit, least=SHARE * whole)
    flat, due = (torch.cat([each.flatten().double() for each in part]) for part in (present, exact))
    return normwise_error(flat, due, "gradients", limit=limit)


def declared_wire(gang: Gang, shape: Shape, itemsize: int = 4, messages: float = 2) -> float:
    """Bytes that a rank must send: an all-reduce is two ``messages``, a reduce-scatter or an all-gather is one."""
    return messages * shape.parameters * itemsize * (gang.size - 1) / gang.size
