"""States, which are dicts of tensors by name: random ones, their size, their bits, and proof that all was read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from harness.scenario import Gang, Work

State = dict[str, torch.Tensor]


def layer(width: int) -> nn.Sequential:
    """One layer: parameters, and the buffers of its normalisation."""
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())


def network(width: int, layers: int) -> nn.Sequential:
    """A network without memory for its parameters: it has names, shapes and dtypes."""
    with torch.device("meta"):
        return nn.Sequential(*(layer(width) for _ in range(layers)))


def drawn(like: nn.Module, gang: Gang, *, buffers: bool = True) -> State:
    """Random parameters on the gang's device, the same on every rank, and buffers that differ from fresh ones."""
    wanted = like.state_dict() if buffers else dict(like.named_parameters())
    return {name: _random(tensor, gang) for name, tensor in wanted.items()}


def _random(like: torch.Tensor, gang: Gang) -> torch.Tensor:
    made = torch.empty_like(like, device=gang.device, requires_grad=False)
    if made.is_floating_point():
        return made.uniform_(0.5, 1.5, generator=gang.shared_generator)
    return made.random_(1, 1000, generator=gang.shared_generator)


def size(state: State) -> int:
    """Bytes of all tensors."""
    return sum(tensor.nbytes for tensor in state.values())


def carried(state: State) -> Work:
    """The work of copying a state once: a byte is an item; on its way it is read and written."""
    return Work(items=size(state), bytes=2 * size(state), unit="byte")


def read(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Read every byte: each tensor's 64-bit words (and left-over bytes), summed modulo 2⁶⁴. Shape ``[tensors]``.

    A file that is only mapped into memory has not been read; whoever knows these sums has.
    """
    return torch.stack([_sum(tensor.detach()) for tensor in tensors])


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.reshape(-1).view(torch.uint8)
    if flat.storage_offset() % 8:
        flat = flat.clone()
    words = flat.numel() // 8 * 8
    return flat[:words].view(torch.int64).sum() + flat[words:].sum()


def assert_same(found: State, wanted: State) -> None:
    """Raise AssertionError unless names, devices, dtypes, shapes and every bit are the same."""
    assert found.keys() == wanted.keys(), f"missing or unexpected: {sorted(found.keys() ^ wanted.keys())}"
    for name, due in wanted.items():
        mine = found[name].detach()
        told = mine.device, mine.dtype, mine.shape
        assert told == (due.device, due.dtype, due.shape), f"{name} is {told}"
        assert torch.equal(_bytes(mine), _bytes(due)), f"{name} has other bits"


def assert_read(sums: torch.Tensor, wanted: State) -> None:
    """Raise AssertionError unless ``sums`` is what :func:`read` returns for ``wanted``, which NumPy sums up here."""
    assert sums.tolist() == [_numpy_sum(tensor) for tensor in wanted.values()], "not every byte was read"


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _numpy_sum(tensor: torch.Tensor) -> int:
    flat = _bytes(tensor).cpu().numpy()
    words = len(flat) // 8 * 8
    total = int(flat[:words].view(np.int64).sum()) + int(flat[words:].sum())
    return (total + 2**63) % 2**64 - 2**63
