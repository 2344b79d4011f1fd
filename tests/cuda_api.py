"""The part of torch.cuda that the harness calls, as documented: milliseconds, clock cycles, streams that wait."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class Graph:
    """What is launched while it captures is recorded, and happens at each replay; memory stays where it is."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.launches: list[Callable[[], None]] = []

    def register_generator_state(self, generator: Any) -> None:
        self.cuda.told.append(f"register {generator}")

    def replay(self) -> None:
        self.cuda.told.append("replay")
        for launch in self.launches:
            launch()


@dataclass
class Capture:
    """torch.cuda.graph: ends the capture on leaving, and raises then if it was broken or has seen nothing."""

    cuda: Cuda
    graph: Graph
    stream: Stream
    capture_error_mode: str = "global"

    def __enter__(self) -> None:
        self.cuda.told.append(f"capture on {self.stream.name}, {self.capture_error_mode}")
        self.cuda.capturing = self.graph
        self.before, self.cuda.stream = self.cuda.stream, self.stream

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.cuda.capturing = None
        self.cuda.stream = self.before
        if isinstance(error, RuntimeError):
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: TRY004
        if not self.graph.launches:
            warnings.warn("The CUDA Graph is empty. This usually means that the graph was …", stacklevel=2)


@dataclass
class Cuda:
    """What stands in for it. Time stands still but in a pause."""

    now_ms: float = 0.0
    hertz: float = HERTZ
    told: list[str] = field(default_factory=list)
    """What was called, in order."""
    buffers: list[int] = field(default_factory=list)
    """Elements of each tensor that was made empty."""
    pending: list[Event] = field(default_factory=list)
    capturing: Graph | None = None

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
            "Stream": lambda _: cuda.side,
            "stream": cuda.on,
            "CUDAGraph": partial(Graph, cuda),
            "graph": partial(Capture, cuda),
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
        self.now_ms += 1000 * cycles / self.hertz

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    def launch(self, work: Callable[[], None]) -> None:
        """A kernel: done at once, or kept in the graph that is being captured."""
        self.told.append(f"launch on {self.stream.name}")
        if self.capturing:
            self.capturing.launches.append(work)
        else:
            work()

    def item(self, tensor: torch.Tensor) -> float:
        """A read to the host."""
        if self.capturing:
            raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing\nmore")
        return tensor.item()

    def made(self, size: int, **_: Any) -> torch.Tensor:
        self.buffers.append(size)
        return self.empty(8, dtype=torch.uint8)
