"""How much memory a piece of work needs at its peak, beyond what was there before it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


@dataclass
class Peak:
    """What a block needed; known once it is left."""

    bytes: int | None = None
    """None where this system does not tell. A CPU's is resident memory, true to about a megabyte."""


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """The peak of a block: of PyTorch's allocator on a GPU; of the process's resident memory on a CPU.

    Freed memory that the C library keeps is given back first, or work that reuses it would seem to need none.
    """
    told = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield told
        told.bytes = torch.cuda.max_memory_allocated(device) - before
    elif not _reset():
        yield told
    else:
        before = _status("VmRSS")
        yield told
        told.bytes = max(0, _status("VmHWM") - before)


def _reset() -> bool:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
