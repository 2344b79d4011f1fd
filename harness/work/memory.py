"""The peak memory of a piece of work, beyond the memory in use before it."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.device.emulated.device import current
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.work import contract

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


@dataclass
class Peak:
    """The memory that a block needed; known when the block is left."""

    before: int | None = None
    """Bytes that were in use before it."""
    bytes: int | None = None
    """None where this system does not tell. A CPU's is resident memory: holes among
    small blocks that the C library cannot use again are in it."""
    reserved: int | None = None
    """All GPU memory that PyTorch's allocator held during the block; None on a CPU."""


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """The peak of a block: of PyTorch's allocator on a GPU; of the process's resident memory on a CPU."""
    needed = Peak(before=in_use(device))
    if (emulated := current()) is not None:
        emulated.peak_bytes = emulated.allocated_bytes
        yield needed
        needed.bytes = emulated.peak_bytes - (needed.before or 0)
    elif device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield needed
        needed.bytes = torch.cuda.max_memory_allocated(device) - (needed.before or 0)
        needed.reserved = torch.cuda.max_memory_reserved(device)
    elif needed.before is None or not _reset():
        yield needed
    else:
        yield needed
        needed.bytes = max(0, _status("VmHWM") - needed.before)


def in_use(device: torch.device) -> int | None:
    """Bytes in use: of a GPU by this process's tensors; on a CPU its resident memory, None where that is not told.

    Freed memory that the C library keeps is given back first, or work that reuses it would seem to need none.
    """
    if (emulated := current()) is not None:
        return emulated.allocated_bytes
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return int(torch.cuda.memory_allocated(device))
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return None
    trim(0)
    return _status("VmRSS")


def allocated(device: torch.device) -> int:
    """Bytes of a GPU's memory that are in use by this process's tensors; 0 on a CPU."""
    if (emulated := current()) is not None:
        return emulated.allocated_bytes
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else 0


def resident(bytes_: int) -> str:
    """A hint for a case that ran out of memory: all cases of a comparison are in memory at once."""
    return f" (beside {bytes_ / 2**30:.3g} GiB of the comparison's other cases: name fewer)" if bytes_ else ""


def retries(device: torch.device) -> int:
    """How often the allocator has found a GPU's memory full, returned its cache, and tried again; 0 on a CPU."""
    return int(torch.cuda.memory_stats(device).get("num_alloc_retries", 0)) if device.type == "cuda" else 0


def warnings_of(counts: Sequence[int]) -> list[MeasurementWarning]:
    """A warning for each rank whose allocator had to try again; ``counts`` are in rank order."""
    return [
        MeasurementWarning(
            kind=Kind.ALLOCATOR_RETRIES,
            fact=f"rank {rank}'s memory was full {'once' if count == 1 else f'{count} times'} in its visits (limit 0)",
            rank=rank,
        )
        for rank, count in enumerate(counts)
        if count
    ]


def shortage(scenario: object, ranks: int, device_bytes: int, free_bytes: int | None = None) -> str | None:
    """Why a rank's part of a scenario cannot be in its device's memory; None where it may, or where nobody says.

    ``free_bytes`` of the device's are not taken, by other cases of the comparison, communicators or other processes.
    Raises whatever the scenario does, and TypeError or ValueError where it tells no number of bytes.
    """
    tell = getattr(scenario, "memory", None)
    least = contract.number("what memory() returns", tell(ranks)) if callable(tell) else 0
    needs = f"needs at least {least / 2**30:.4g} GiB on each device"
    if least > device_bytes:
        return f"{needs}, which has {device_bytes / 2**30:.4g} GiB"
    if free_bytes is not None and least > free_bytes:
        free = f"of whose {device_bytes / 2**30:.4g} GiB {free_bytes / 2**30:.4g} GiB are free"
        return (
            f"{needs}, {free}: all cases of a comparison are in memory at once, so name fewer variants or world sizes"
        )
    return None


def _reset() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
