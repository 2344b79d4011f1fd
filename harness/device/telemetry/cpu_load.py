"""Foreign load: whether another process had this rank's core while it was measured.

Processor time below wall-clock tells it for work that never waits. A rank that waits for its peers is idle by right, so
where the kernel counts it, the time spent *runnable but not running* is used instead. Meanwhile the rank's own threads
may have had the core, those that carry gloo's messages above all: what others took lies between that time without the
own threads' and all of it, and is what the core was busy beyond this process. What communication threads took from the
step has a warning of its own, as has a CPU quota, which keeps a rank from running on a core that idles.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.device import cpu_quota, gloo_threads
from harness.journal.measurement_warnings import Kind, MeasurementWarning, percent, percent_beyond

if TYPE_CHECKING:
    from harness.journal.records import RankFacts

LIMIT = 0.05
"""A cell is flagged where a rank was kept from its core for more than this fraction of its visits."""


@dataclass(frozen=True)
class CpuTime:
    """Seconds of one rank: wall-clock, processor time, and run-queue delay (None if the kernel does not report it)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    delay_s: float | None = 0.0
    """Run-queue delay of the main thread."""
    busy_s: float | None = 0.0
    """Time that this process's cores were busy with any work, in clock ticks of usually 10 ms."""
    throttled_s: float | None = 0.0
    """Time that CPU quotas held this process's control groups back, summed over cores; None without a quota."""
    main_s: float | None = 0.0
    """Processor time of the main thread, which does the steps."""
    messages_s: float | None = 0.0
    """Processor time of the threads that carry messages between ranks."""

    @classmethod
    def of(cls, facts: RankFacts) -> Self:
        """The times that a rank reported of its visits."""
        names = (field.name for field in fields(cls))  # both call them alike
        return cls(**{name: getattr(facts, name) for name in names})

    @classmethod
    def now(cls) -> Self:
        """The counters as they stand, for this process and its main thread's run queue."""
        limited = cpu_quota.limited()
        throttled_s = cpu_quota.throttled_s(limited) if limited else None
        main_s, delay_s = _schedule(os.getpid())
        messages = [_schedule(thread)[0] for thread in gloo_threads.threads()]
        return cls(
            time.monotonic(),
            time.process_time(),
            delay_s,
            _busy_s(os.sched_getaffinity(0)),
            throttled_s,
            main_s,
            None if main_s is None else sum(filter(None, messages)),
        )

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return self._with(earlier, -1)

    def __add__(self, other: CpuTime) -> CpuTime:
        return self._with(other, 1)

    def _with(self, other: CpuTime, sign: int) -> CpuTime:
        def of(mine: float | None, theirs: float | None) -> float | None:
            return None if mine is None or theirs is None else mine + sign * theirs

        return CpuTime(
            self.wall_s + sign * other.wall_s,
            self.cpu_s + sign * other.cpu_s,
            of(self.delay_s, other.delay_s),
            of(self.busy_s, other.busy_s),
            of(self.throttled_s, other.throttled_s),
            of(self.main_s, other.main_s),
            of(self.messages_s, other.messages_s),
        )

    @property
    def foreign(self) -> float:
        """The fraction of the wall-clock that other processes took, as far as it is known."""
        return max(0.0, self._foreign_s / self.wall_s) if self.wall_s > 0 else 0.0

    @property
    def by_messages(self) -> float:
        """The fraction of the wall-clock that threads which carry messages took from the step, at most."""
        if self.wall_s <= 0 or not self.messages_s or self.delay_s is None:
            return 0.0
        return max(0.0, min(self.messages_s, self.delay_s - max(0.0, self._foreign_s)) / self.wall_s)

    @property
    def held_back(self) -> float:
        """The largest fraction of the wall-clock for which a CPU quota throttled it; quotas are counted per group."""
        if self.wall_s <= 0 or not self.throttled_s:
            return 0.0
        return max(0.0, min(self._not_run_s, self.throttled_s) / self.wall_s)

    @property
    def _foreign_s(self) -> float:
        """Time that other processes took: as /proc/stat counts in ticks, within the bounds of the run queue."""
        most = self._not_run_s
        if self.delay_s is None or self.main_s is None:
            return most if self.busy_s is None else min(most, self.busy_s - self.cpu_s)
        least = most - max(0.0, self.cpu_s - self.main_s)
        return least if self.busy_s is None else min(most, max(least, self.busy_s - self.cpu_s))

    @property
    def _not_run_s(self) -> float:
        return self.wall_s - self.cpu_s if self.delay_s is None else self.delay_s


def _schedule(thread: int) -> tuple[float | None, float | None]:
    """Seconds that a thread of this process ran, and was runnable but did not run; None where that is not counted."""
    try:
        ran, waited, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()  # in ns; and time slices
    except (OSError, ValueError):  # it has just ended, or the kernel does not count
        return None, None
    return int(ran) * 1e-9, int(waited) * 1e-9


def _busy_s(cpus: set[int]) -> float | None:
    path = Path("/proc/stat")
    ticks = busy_ticks(path.read_text(), cpus) if path.exists() else None
    return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")


def busy_ticks(stat: str, cpus: Collection[int]) -> int | None:
    """Clock ticks for which CPUs were busy, by the text of /proc/stat; None where that has no line for one of them.

    In containers that file may number the CPUs anew, or leave some out.
    """
    ticks = {}
    for line in stat.splitlines():  # cpuN user nice system idle iowait irq softirq steal …
        name, *counts = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdecimal():
            user, nice, system, _, _, *stolen = map(int, counts[:8])
            ticks[int(name[3:])] = user + nice + system + sum(stolen)
    return sum(ticks[cpu] for cpu in cpus) if ticks.keys() >= set(cpus) else None


def warnings_of(loads: Sequence[CpuTime], *, shares: bool = False) -> list[MeasurementWarning]:
    """A warning for each rank that others, or a CPU quota, kept from its core; ``loads`` are in rank order.

    ``shares``: the ranks take turns on their cores, so that one that waits for its core waits for its peers.
    """
    own_cores = [] if shares else loads
    return [
        *_over(own_cores, Kind.FOREIGN_LOAD, "foreign", "rank {rank} waited for its core {share} of the time"),
        *_over(
            own_cores,
            Kind.COMMUNICATION_THREADS,
            "by_messages",
            "gloo's threads took up to {share} of rank {rank}'s core from its step",
        ),
        *_over(
            loads,
            Kind.CPU_THROTTLED,
            "held_back",
            "a CPU quota held rank {rank} back for up to {share} of the time",
        ),
    ]


def _over(loads: Sequence[CpuTime], kind: Kind, name: str, fact: str) -> list[MeasurementWarning]:
    """A warning for each rank of whose time the fraction ``name`` is over the limit."""
    shares: list[float] = [getattr(load, name) for load in loads]
    return [
        MeasurementWarning(
            kind=kind,
            fact=f"{fact.format(rank=rank, share=percent_beyond(share, LIMIT))} (limit {percent(LIMIT)})",
            rank=rank,
        )
        for rank, share in enumerate(shares)
        if share > LIMIT
    ]
