"""Proof that a state is what was saved, to the bit, and that every byte of it was read."""

from collections.abc import Iterable

import numpy as np
import torch

from scenarios.chapter.roundtrip.state import State


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


def assert_same(state: State, wanted: State) -> None:
    """Raise AssertionError unless names, devices, dtypes, shapes and every bit are the same, in memory of its own."""
    assert state.keys() == wanted.keys(), f"missing or unexpected: {sorted(state.keys() ^ wanted.keys())}"
    for name, due in wanted.items():
        mine = state[name].detach()
        actual = mine.device, mine.dtype, mine.shape
        assert actual == (due.device, due.dtype, due.shape), f"{name} is {actual}"
        assert torch.equal(_bytes(mine), _bytes(due)), f"{name} has other bits"
    assert not _places(state) & _places(wanted), "it is what it is held against: nothing was carried"


def assert_foreign(net: State, donor: State, part: Iterable[str]) -> None:
    """Raise AssertionError where a network is built like its donor, or has its values under a name of ``part``."""
    other = [name for name, tensor in net.items() if name not in donor or donor[name].shape != tensor.shape]
    assert other, "the network has its donor's architecture"
    numbers = [name for name in part if donor[name].is_floating_point()]  # counters may be alike by chance
    alike = [name for name in numbers if torch.equal(net[name], donor[name])]
    assert not alike, f"the network had its donor's values before: {alike}"


def assert_read(sums: torch.Tensor, wanted: State) -> None:
    """Raise AssertionError unless ``sums`` is what :func:`read` returns for ``wanted``, which NumPy sums up here."""
    assert sums.tolist() == [_numpy_sum(tensor) for tensor in wanted.values()], "not every byte was read"


def _places(state: State) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in state.values() if tensor.numel()}


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _numpy_sum(tensor: torch.Tensor) -> int:
    flat = _bytes(tensor).cpu().numpy()
    words = len(flat) // 8 * 8
    total = int(flat[:words].view(np.int64).sum()) + int(flat[words:].sum())
    return (total + 2**63) % 2**64 - 2**63
