"""In which precision numbers of float32 are multiplied: set for each rank, whatever its environment says.

An environment variable (as images of NVIDIA's set it) makes PyTorch begin with products in TF32, of three decimal
digits. So ranks begin with PyTorch's documented defaults: products are of float32, and cuDNN's convolutions and
recurrent networks in TF32. What a case sets is its own; see ``harness.measure.process_settings``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch

from harness.common.errors import UsageError

OVERRIDE = "NVIDIA_TF32_OVERRIDE"
"""Decides below PyTorch, which then says what is not so."""
PRODUCTS, CUDNN = "highest", "tf32"
WORDS = (
    "products of float32 in float32, cuDNN's convolutions and recurrent networks in TF32; "
    "cuDNN picks no algorithm by trial, and may be nondeterministic"
)
"""For the regime."""


def refuse_override() -> None:
    """Raise UsageError where a variable decides on the precision of products below PyTorch."""
    if (value := os.environ.get(OVERRIDE)) is not None:
        rule = "be unset, for it decides below PyTorch whether numbers of float32 are multiplied in TF32"
        raise UsageError(OVERRIDE, rule, value, f"run it with env -u {OVERRIDE}; scenarios set what they want")


def set_defaults() -> None:
    """Set the precision of float32 and what cuDNN may do as PyTorch documents its defaults."""
    torch.set_float32_matmul_precision(PRODUCTS)
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    for part in map(_backend, ("cudnn.conv", "cudnn.rnn")):
        part.fp32_precision = CUDNN
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False


@contextmanager
def kept() -> Iterator[None]:
    """After the block all of that is as it was."""
    cudnn = torch.backends.cudnn
    holders = [_backend(name) for name in ("cuda.matmul", "mkldnn.matmul", "cudnn.conv", "cudnn.rnn")]
    products = _products()
    before = [holder.fp32_precision for holder in holders]
    benchmark, deterministic = cudnn.benchmark, cudnn.deterministic
    try:
        yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for holder, value in zip(holders, before, strict=True):
            holder.fp32_precision = value
        cudnn.benchmark, cudnn.deterministic = benchmark, deterministic


def _backend(name: str) -> Any:
    return attrgetter(name)(torch.backends)


def _products() -> str | None:
    """The older setting of the precision of products; None where newer ones contradict it."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
