"""Snapshots of models and optimizers: what ``Workload.reset`` needs where steps train."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


def snapshot(*parts: nn.Module | torch.optim.Optimizer) -> Callable[[], None]:
    """Copy the state of modules and optimizers; the callable returned puts it back, and drops gradients.

    Parameters, buffers and the optimizers' tensors keep their places in memory. What an optimizer has made since is
    dropped, and made anew by its next step: take the snapshot after a first step where that is not to be timed.
    Parameters may be DTensors. Raises TypeError for anything else.
    """
    restores = [_module(part) if isinstance(part, nn.Module) else _optimizer(part) for part in parts]

    def reset() -> None:
        for restore in restores:
            restore()

    return reset


def _module(module: nn.Module) -> Callable[[], None]:
    saved = [(tensor, _copy(tensor)) for tensor in (*module.parameters(), *module.buffers())]

    def restore() -> None:
        _put_back(saved)
        module.zero_grad(set_to_none=True)

    return restore


def _optimizer(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"snapshot() takes modules and optimizers, but got a {type(optimizer).__name__}")
    entries = {parameter: dict(state) for parameter, state in optimizer.state.items()}
    saved = [(tensor, _copy(tensor)) for tensor in _tensors(entries)]
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]

    def restore() -> None:
        _put_back(saved)
        optimizer.state.clear()
        optimizer.state.update({parameter: dict(state) for parameter, state in entries.items()})
        for group, values in zip(optimizer.param_groups, groups, strict=True):
            group.update(values)
        optimizer.zero_grad(set_to_none=True)

    return restore


def _tensors(entries: dict[Any, dict[str, Any]]) -> Iterator[torch.Tensor]:
    return (value for state in entries.values() for value in state.values() if isinstance(value, torch.Tensor))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


@torch.no_grad()
def _put_back(saved: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, copy in saved:
        tensor.copy_(copy)
