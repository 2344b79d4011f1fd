"""A GPU that is not there: it behaves as documented, on a clock that moves only when something takes time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import torch

LAUNCH_S = 5e-6
"""What a launch takes of the host."""
DEPTH = 1000
"""Launches that a stream takes ahead; the next one waits until the first of them is done."""


class Clock:
    """The host's."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        self.now_s += 1e-7  # reading it takes time too, so that a spin ends
        return self.now_s


@dataclass
class FakeGpu:
    """Streams are queues: a launch returns at once, its work is done in its turn, and marks are reached in theirs."""

    clock: Clock = field(default_factory=Clock)
    marks: bool = True
    told: list[str] = field(default_factory=list)
    """What was called, in order."""
    current: str = "main"
    """The stream on which work is launched now."""
    queues: bool = True
    memory_bytes: int | None = None
    free_bytes: int | None = None
    torch: torch.device = field(default_factory=lambda: torch.device("cpu"))
    model: str = "a fake"
    _ends: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each launch of a stream is done."""

    def launch(self, work_s: float, name: str = "launch", stream: str | None = None) -> None:
        queue = self._ends[stream or self.current]
        if len(queue) >= DEPTH:
            self.clock.now_s = max(self.clock.now_s, queue[-DEPTH])
        self.clock.now_s += LAUNCH_S
        queue.append(max(self._busy_until_s(stream or self.current), self.clock.now_s) + work_s)
        self.told.append(name)

    def synchronize(self) -> None:
        self.clock.now_s = max(self.clock.now_s, *map(self._busy_until_s, [*self._ends, self.current]))
        self.told.append("synchronize")

    def wait(self) -> None:
        """What ``item()`` does: wait for the current stream."""
        self.clock.now_s = max(self.clock.now_s, self._busy_until_s(self.current))

    def stream(self) -> str:
        return self.current

    def mark(self) -> float | None:
        self.told.append("mark")
        return max(self._busy_until_s(self.current), self.clock.now_s) if self.marks else None

    def new_mark(self) -> float | None:
        return self.mark()

    def reached(self, mark: float) -> bool:
        return self.clock() >= mark

    def between(self, start: float | None, end: float | None) -> float | None:
        if start is None or end is None:
            return None
        assert self.clock.now_s >= end, "not synchronised"
        return end - start

    def hold(self, seconds: float) -> float | None:
        mark = self.mark()
        self.launch(seconds, "hold")
        return mark

    def fork(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self._wait(stream, self.current)
            self.told.append(f"fork {stream}")

    def join(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self._wait(self.current, stream)
            self.told.append(f"join {stream}")

    def _wait(self, stream: str, other: str) -> None:
        self._ends[stream].append(max(self._busy_until_s(stream), self._busy_until_s(other)))

    def flush(self) -> None:
        self.launch(100e-6, "flush")

    def calls(self) -> list[str]:
        """What was called since the last look, repetitions left out."""
        told = [name for name, _ in groupby(self.told)]
        self.told.clear()
        return told

    def _busy_until_s(self, stream: str) -> float:
        return self._ends[stream][-1] if self._ends[stream] else 0.0
