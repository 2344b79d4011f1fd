"""Foreign load: whether another process had this rank's core while it was measured.

Processor time below wall-clock tells it for work that never waits. A rank that waits for its peers is idle
by right, so where the kernel counts it, the time spent *runnable but not running* is used instead.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.doubts import Doubt, Kind

LIMIT = 0.05
"""A cell is flagged where a rank had to wait for its core for more than this fraction of its visits."""


@dataclass(frozen=True)
class Load:
    """Seconds of one rank: wall-clock, processor time, and delay (None where the kernel does not tell)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    delay_s: float | None = 0.0
    """Of the main thread."""
    aside_s: float = 0.0
    """Processor time of this process's other threads, gloo's for one: they share the main thread's core by right."""

    @classmethod
    def now(cls) -> Self:
        """The counters as they stand, for this process and its main thread's run queue."""
        cpu_s = time.process_time()
        return cls(time.monotonic(), cpu_s, _delay_s(), cpu_s - time.thread_time())

    def __sub__(self, earlier: Load) -> Load:
        return self._with(earlier, -1)

    def __add__(self, other: Load) -> Load:
        return self._with(other, 1)

    def _with(self, other: Load, sign: int) -> Load:
        delay = None if self.delay_s is None or other.delay_s is None else self.delay_s + sign * other.delay_s
        return Load(
            self.wall_s + sign * other.wall_s,
            self.cpu_s + sign * other.cpu_s,
            delay,
            self.aside_s + sign * other.aside_s,
        )

    @property
    def foreign(self) -> float:
        """The fraction of the wall-clock that others took, as far as can be told."""
        if self.wall_s <= 0:
            return 0.0
        taken = self.wall_s - self.cpu_s if self.delay_s is None else self.delay_s - self.aside_s
        return max(0.0, taken / self.wall_s)


def _delay_s() -> float | None:
    path = Path(f"/proc/self/task/{os.getpid()}/schedstat")  # [cpu ns, run-queue ns, time slices]
    return int(path.read_text().split()[1]) * 1e-9 if path.exists() else None


def doubts(loads: list[Load]) -> list[Doubt]:
    """A foreign-load doubt for each rank that is over the limit; ``loads`` are in rank order."""
    return [
        Doubt(
            kind=Kind.FOREIGN_LOAD,
            fact=f"rank {rank} waited for its core {load.foreign:.0%} of the time (limit {LIMIT:.0%})",
            rank=rank,
        )
        for rank, load in enumerate(loads)
        if load.foreign > LIMIT
    ]
