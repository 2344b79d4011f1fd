"""Exported programs (.pt2), which torch.export.load would let do anything.

It reads the example inputs with ``weights_only=True``, but where that fails it reads them again without; it unpickles
tensors of subclasses, opaque constants and script objects; it evaluates symbolic expressions, and loads compiled
libraries. So a file is loaded only if it is, byte for byte, the one that this very process has written.
"""

import hashlib
import io
from pathlib import Path
from typing import NewType

import torch
from torch import nn

from scenarios.chapter.roundtrip.formats import whole

Digest = NewType("Digest", bytes)
"""The SHA-256 of a program that was written here."""


def save(net: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> Digest:
    """Export a network for inputs of these shapes, and write the program."""
    archive = io.BytesIO()  # given a path, torch's writer aborts the process where the disk is full
    torch.export.save(torch.export.export(net, inputs), archive)
    with whole(path) as draft:
        draft.write_bytes(archive.getbuffer())
    return Digest(hashlib.sha256(archive.getbuffer()).digest())


def load(path: Path, digest: Digest) -> nn.Module:
    """The network of a program that :func:`save` wrote. Raises ValueError for any other file."""
    archive = path.read_bytes()  # once: what is loaded is what was looked at
    if hashlib.sha256(archive).digest() != digest:
        raise ValueError(f"{path} is not the program that was written: loading it could run any code")
    return torch.export.load(io.BytesIO(archive)).module()
