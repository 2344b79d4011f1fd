"""An emulated accelerator: a queue behind a host, both on planted clocks, with events, memory and telemetry.

The host's clock moves on by what launching costs, by waiting, and by planted work of the host; the device's by planted
work. Nothing here reads a real clock. Work itself is done by the CPU at once, so that results are right.
"""

import math
import random
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import OutOfMemoryError, Tensor

from harness.journal.emulation import Emulation

MODEL = "emulated device"
"""The model name of an emulated device."""


class EmulatedDevice:
    """One emulated device of this process, and the clock of its host. All instants and times are in seconds."""

    queues = True
    """Work launched on an emulated device is completed later."""
    torch = torch.device("cpu")
    """The device of the tensors, whose results are correct."""

    def __init__(self, rank: int, emulation: Emulation) -> None:
        self.index = rank
        self.emulation = emulation
        self.host_s = 0.0
        """The host's clock."""
        self.done_s = 0.0
        """When everything that was launched on the current stream is done."""
        self.busy_s = 0.0
        """How long it has computed since the launch began."""
        self.neighbours = 0
        """Number of other busy devices on its host."""
        self.allocated_bytes = 0
        self.peak_bytes = 0
        self.pending: deque[Callable[[], object]] = deque()
        """What makes communication known that was started and that nothing has waited for."""
        self.readings: list[tuple[float, float]] = []
        """Since they were read last: when it began to compute at another speed, and how many times slower."""
        self._queue: deque[float] = deque()
        self._storages: dict[int, int] = {}
        self._factor = emulation.slow_ranks.get(rank, 1.0)
        self._launch_factor = self._sample_factor = 1.0
        self._samples = random.Random(rank)  # noqa: S311
        self._stalled_s = 0.0
        """For how long the host stalls before it launches anything else."""

    @property
    def model(self) -> str:
        """The name of the device."""
        return MODEL

    @property
    def memory_bytes(self) -> int:
        """The whole memory of the device."""
        return self.emulation.memory_bytes

    @property
    def free_bytes(self) -> int:
        """Memory that is not allocated."""
        return self.memory_bytes - self.allocated_bytes

    def now(self) -> float:
        """The host's clock."""
        return self.host_s

    def begin(self, *seed: object) -> None:
        """Draw what is planted for one launch; ``seed`` is the run's, and then the launch."""
        noise = self.emulation.noise
        run, *launch = seed

        def draw(deviation: float, *parts: object) -> float:
            return math.exp(random.Random("/".join(map(str, parts))).gauss(0, deviation)) if deviation else 1.0  # noqa: S311

        slow = self.emulation.slow_ranks.get(self.index, 1.0)
        self._factor = slow * draw(noise.device, run, "device", self.index)
        self._launch_factor = draw(noise.launch, run, "launch", *launch)
        self._samples = random.Random("/".join(map(str, (*seed, "sample", self.index))))  # noqa: S311
        self.busy_s = 0.0

    def share_host(self, busy: int) -> None:
        """Say that the first ``busy`` ranks are at work, each on its device."""
        emulation = self.emulation
        first = emulation.host_of(self.index) * emulation.devices_per_host
        self.neighbours = max(0, min(busy, first + emulation.devices_per_host) - first - 1)

    def await_start(self, start_s: float) -> None:
        """Begin a sample: the host waits until its clock shows ``start_s``. Draws the sample's noise and stalls."""
        self.host_s = max(self.host_s, start_s) + self.emulation.late_ranks.get(self.index, 0.0)
        if deviation := self.emulation.noise.sample:
            self._sample_factor = math.exp(self._samples.gauss(0, deviation))
        if stalls := self.emulation.stalls.share:
            self._stalled_s = self.emulation.stalls.seconds if self._samples.random() < stalls else 0.0

    def work(self, seconds: float) -> None:
        """Let the host work for this long."""
        self.host_s += seconds

    def launch(self, seconds: float) -> None:
        """Launch an operation that takes ``seconds`` on a device where nothing is planted."""
        self.enqueue()
        start_s = self.ready_s()
        factor = self._speed(start_s)
        self.done_s = start_s + seconds * factor
        self.busy_s += seconds * factor
        self._queue.append(self.done_s)

    def ready_s(self) -> float:
        """When the current stream could begin with what is launched now."""
        return max(self.done_s, self.host_s)

    def enqueue(self) -> None:
        """Take the host's time for a launch, for which it waits where the queue is full."""
        self.host_s += self.emulation.launch_s + self._stalled_s
        self._stalled_s = 0.0
        while self._queue and self._queue[0] <= self.host_s:
            self._queue.popleft()
        if len(self._queue) >= self.emulation.queue_depth:
            self.host_s = self._queue.popleft()

    def _speed(self, at_s: float) -> float:
        """How many times longer than on a device where nothing is planted an operation takes that begins now."""
        factor = self._factor * self._launch_factor * self._sample_factor
        factor *= 1 + self.emulation.contention * self.neighbours
        throttle = self.emulation.throttled_ranks.get(self.index)
        slower = throttle.factor if throttle and self.busy_s >= throttle.after_s else 1.0
        if not self.readings or self.readings[-1][1] != slower:
            self.readings.append((at_s, slower))
        return factor * slower

    def wait_for(self, finish_s: float) -> None:
        """Let what is launched from now on wait for something that is done at ``finish_s``."""
        self.done_s = max(self.done_s, finish_s)

    def synchronize(self) -> None:
        """Let the host wait for all work, including communication that nothing else waits for."""
        while self.pending:
            self.pending.popleft()()
        self.host_s = max(self.host_s, self.done_s)
        self._queue.clear()

    def stream(self) -> None:
        """None: there is one stream that programs can launch on."""

    def mark(self) -> float:
        """When the device comes to this place."""
        self.host_s += self.emulation.mark_s
        self.done_s = self.ready_s()
        return self.done_s

    def new_mark(self) -> float:
        """When the device comes to this place."""
        return self.mark()

    def reached(self, mark: float) -> bool:
        """Whether the device is there by now."""
        return mark <= self.host_s

    def between(self, start: float, end: float) -> float:
        """Seconds from mark to mark."""
        return end - start

    def least(self) -> float:
        """Host time between two marks."""
        return self.emulation.mark_s

    def hold(self, seconds: float) -> float:
        """Set a mark and launch a pause of just so long behind it."""
        mark = self.mark()
        self.done_s += seconds
        return mark

    def fork(self, streams: Iterable[Any]) -> None:
        """Do nothing: there is one stream."""

    def join(self, streams: Iterable[Any]) -> None:
        """Do nothing: there is one stream."""

    def flush(self) -> None:
        """Do nothing: full and empty caches cost the same."""

    def hold_memory(self, tensor: Tensor) -> None:
        """Count a tensor's memory as this device's, for as long as it lives. Raises torch.OutOfMemoryError."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 - what tells one storage from another
        if key in self._storages or not size:
            return
        if size > self.free_bytes:
            raise OutOfMemoryError(
                f"emulated device out of memory: tried to allocate {size / 2**30:.3g} GiB, "
                f"of {self.memory_bytes / 2**30:.3g} GiB {self.free_bytes / 2**30:.3g} GiB are free"
            )
        self._storages[key] = size
        self.allocated_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.allocated_bytes)
        weakref.finalize(storage, self._let_go, key)

    def _let_go(self, key: int) -> None:
        self.allocated_bytes -= self._storages.pop(key, 0)


_here: list[EmulatedDevice] = []


def use(device: EmulatedDevice) -> EmulatedDevice:
    """Make it this process's device."""
    _here[:] = [device]
    return device


def current() -> EmulatedDevice | None:
    """This process's emulated device; None where it has none."""
    return _here[0] if _here else None
