"""The part of torch.cuda that the harness calls, as documented: milliseconds, clock cycles, streams that wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

HERTZ = 1.5e9
"""Of the fake's processors."""
L2 = 50 * 2**20


@dataclass
class Stream:
    cuda: Cuda
    name: str

    def wait_stream(self, other: Stream) -> None:
        self.cuda.told.append(f"{self.name} waits for {other.name}")


class Event:
    """elapsed_time is in milliseconds, and both events must have been reached."""

    def __init__(self, cuda: Cuda, *, enable_timing: bool = False) -> None:
        assert enable_timing
        self.cuda = cuda
        self.at_ms = -1.0
        self.reached = False

    def record(self, stream: Stream) -> None:
        self.cuda.told.append(f"record on {stream.name}")
        self.at_ms, self.reached = self.cuda.now_ms, False
        self.cuda.pending.append(self)

    def query(self) -> bool:
        return self.reached

    def elapsed_time(self, end: Event) -> float:
        assert self.reached and end.reached, "not synchronised"
        return end.at_ms - self.at_ms


@dataclass
class Cuda:
    """What stands in for it. Time stands still but in a pause."""

    now_ms: float = 0.0
    told: list[str] = field(default_factory=list)
    """What was called, in order."""
    buffers: list[int] = field(default_factory=list)
    """Elements of each tensor that was made empty."""
    pending: list[Event] = field(default_factory=list)

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> Cuda:
        cuda = cls()
        cuda.stream, cuda.side = Stream(cuda, "main"), Stream(cuda, "side")
        cuda.empty = torch.empty
        for name, value in {
            "Event": partial(Event, cuda),
            "current_stream": lambda _: cuda.stream,
            "synchronize": cuda.synchronize,
            "_sleep": cuda.sleep,
            "get_device_properties": lambda _: SimpleNamespace(L2_cache_size=L2),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(torch, "empty", cuda.made)
        return cuda

    def synchronize(self, index: int) -> None:
        self.told.append(f"synchronize {index}")
        for event in self.pending:
            event.reached = True
        self.pending.clear()

    def sleep(self, cycles: int) -> None:
        assert isinstance(cycles, int)
        self.told.append("sleep")
        self.now_ms += 1000 * cycles / HERTZ

    def made(self, size: int, **_: Any) -> torch.Tensor:
        self.buffers.append(size)
        return self.empty(8, dtype=torch.uint8)
