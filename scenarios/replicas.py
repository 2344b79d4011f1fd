"""Replicas: tensors that all ranks of a gang hold alike, bit for bit, and the check that they do."""

from collections.abc import Iterable

import torch

from harness.scenario import Gang

_CHUNK = 1 << 17
"""Words of which a checksum is taken at a time: few enough for a processor's cache."""
_MULTIPLIER = 6364136223846793005
"""An odd number: multiplying by it loses nothing modulo 2⁶⁴."""
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@torch.no_grad()
def assert_alike(gang: Gang, tensors: Iterable[torch.Tensor], what: str) -> None:
    """Raise AssertionError, on every rank, unless all ranks hold tensors of the same shapes and bits.

    Every rank calls this, with tensors on the gang's device or the host, before it can fail on its own; ``what`` names
    the tensors. The exact result that a rank compares with is computed from its own operands: other operands on
    another rank would pass.
    """
    sums = gang.all_gather(checksum(tensors, gang.device)).tolist()
    strangers = [rank for rank, total in enumerate(sums) if total != sums[0]]
    assert not strangers, f"{what} differ between ranks: rank {strangers[0]} holds other bits than rank 0"


def checksum(tensors: Iterable[torch.Tensor], device: torch.device) -> torch.Tensor:
    """A 64-bit checksum of the tensors' number, shapes and bits, and of the order of all: a scalar on ``device``."""
    total = torch.zeros((), dtype=torch.int64, device=device)
    for tensor in tensors:
        shape = torch.tensor([tensor.dim(), *tensor.shape], dtype=torch.int64, device=tensor.device)
        keys = torch.arange(1, _CHUNK + 1, device=tensor.device) * _MULTIPLIER  # a place's, so that order counts
        for words in (shape, *_words(tensor).split(_CHUNK)):
            mixed = (words ^ keys[: len(words)]).mul_(_MULTIPLIER)
            total = (total + mixed.bitwise_xor_(mixed >> 32).sum().to(device)) * _MULTIPLIER
    return total


def _words(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of a tensor as integers, in one dimension: of 64 bits where they can be cut so."""
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    flat = real.contiguous().flatten()
    whole = flat.nbytes % 8 == 0 and flat.storage_offset() * flat.element_size() % 8 == 0
    return flat.view(torch.int64 if whole else _INTEGERS[flat.element_size()])
