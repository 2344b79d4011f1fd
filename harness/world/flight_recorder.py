"""What PyTorch's flight recorder has of a rank: the collectives that it began, and has not seen the end of.

NCCL's and gloo's groups keep a ring of their newest collectives unless ``TORCH_FR_BUFFER_SIZE`` is 0. Reading it
queries CUDA events, which may itself hang on a broken device: hence a thread that is not waited for.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch._C._distributed_c10d as c10d

READERS = "_dump_fr_trace_json", "_dump_nccl_trace_json"
"""gloo's recorder, and that of a build with NCCL; they may be one."""
MOST = 8
"""The newest collectives that are reported."""
DEFAULT_GROUP = "default_pg"
"""PyTorch's description of the group of all ranks."""
PATIENCE_S = 1.0
"""Time limit of a reading."""


def pending(within_s: float) -> tuple[str, ...]:
    """Collectives that this process began in the last ``within_s`` seconds and that have not ended: oldest first."""
    since_ns = time.time_ns() - int(within_s * 1e9)
    flying = {place: words for read in _readers() for place, words in _flying(read, since_ns).items()}
    return tuple(flying[place] for place in sorted(flying)[-MOST:])


def used_default_group(within_s: float) -> bool:
    """Whether this process began a collective on the default process group in the last ``within_s`` seconds."""
    since_ns = time.time_ns() - int(within_s * 1e9)
    groups: list[str] = []

    def take(entry: dict[str, Any]) -> None:
        if entry["time_created_ns"] >= since_ns:
            groups.append(entry["process_group"][1])

    for read in _readers():
        _each(read, take)
    return DEFAULT_GROUP in groups


def _readers() -> list[Callable[[], bytes | str]]:
    return [getattr(c10d, name) for name in READERS if hasattr(c10d, name)]


def _flying(read: Callable[[], bytes | str], since_ns: int) -> dict[tuple[int, int], str]:
    """The collectives that a recorder has in flight, by time and number; empty if its format is unknown."""
    flying: dict[tuple[int, int], str] = {}

    def take(entry: dict[str, Any]) -> None:
        begun_ns, ended = entry["time_created_ns"], entry["retired"] or entry["state"] == "completed"
        if begun_ns >= since_ns and not ended:
            flying[begun_ns, entry["record_id"]] = _words(entry)

    return flying if _each(read, take) else {}


def _each(read: Callable[[], bytes | str], take: Callable[[dict[str, Any]], None]) -> bool:
    """Pass on each collective that a recorder has. Returns whether it has answered in time."""

    def ask() -> None:
        with suppress(ValueError, LookupError, TypeError, AttributeError):  # the format is PyTorch's own affair
            for entry in json.loads(read()).get("entries", []):
                take(entry)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def _words(entry: dict[str, Any]) -> str:
    """E.g. ``gloo:all_reduce number 2 of group 0 (default_pg), Float [1024]: scheduled``."""
    shapes = " and ".join(
        f"{kind} {size}" for kind, size in zip(entry["input_dtypes"], entry["input_sizes"], strict=False)
    )
    name, described = entry["process_group"]
    number = entry["p2p_seq_id"] if entry["is_p2p"] else entry["collective_seq_id"]
    return f"{entry['profiling_name']} number {number} of group {name} ({described}), {shapes}: {entry['state']}"
