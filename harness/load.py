"""Foreign load: whether another process had this rank's core while it was measured.

Processor time below wall-clock tells it for work that never waits. A rank that waits for its peers is idle by right, so
where the kernel counts it, the time spent *runnable but not running* is used instead. Meanwhile the rank's own threads,
gloo's for one, may have had the core: what others took is at most what the core was busy beyond them.
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
    busy_s: float | None = 0.0
    """Time that this process's cores were busy, with whatever it was; to a clock tick, usually 10 ms."""

    @classmethod
    def now(cls) -> Self:
        """The counters as they stand, for this process and its main thread's run queue."""
        return cls(time.monotonic(), time.process_time(), _delay_s(), _busy_s(os.sched_getaffinity(0)))

    def __sub__(self, earlier: Load) -> Load:
        return self._with(earlier, -1)

    def __add__(self, other: Load) -> Load:
        return self._with(other, 1)

    def _with(self, other: Load, sign: int) -> Load:
        def of(mine: float | None, theirs: float | None) -> float | None:
            return None if mine is None or theirs is None else mine + sign * theirs

        return Load(
            self.wall_s + sign * other.wall_s,
            self.cpu_s + sign * other.cpu_s,
            of(self.delay_s, other.delay_s),
            of(self.busy_s, other.busy_s),
        )

    @property
    def foreign(self) -> float:
        """The fraction of the wall-clock that others took, as far as can be told."""
        if self.wall_s <= 0:
            return 0.0
        taken = self.wall_s - self.cpu_s if self.delay_s is None else self.delay_s
        if self.busy_s is not None:
            taken = min(taken, self.busy_s - self.cpu_s)
        return max(0.0, taken / self.wall_s)


def _delay_s() -> float | None:
    path = Path(f"/proc/self/task/{os.getpid()}/schedstat")  # [cpu ns, run-queue ns, time slices]
    return int(path.read_text().split()[1]) * 1e-9 if path.exists() else None


def _busy_s(cpus: set[int]) -> float | None:
    path = Path("/proc/stat")  # cpuN user nice system idle iowait irq softirq steal …, in clock ticks
    if not path.exists():
        return None
    ticks = 0
    for line in path.read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cpus:
            user, nice, system, _, _, *stolen = map(int, counts[:8])
            ticks += user + nice + system + sum(stolen)
    return ticks / os.sysconf("SC_CLK_TCK")


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
