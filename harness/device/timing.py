"""Clocks: the host's monotonic clock, the device's marks, and the start line between ranks."""

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness.common.errors import CollectiveError
from harness.device.device import Device

SPIN_S = 50e-6
"""The last part of a delay window is spun through without giving the core away."""

Now = Callable[[], float]
"""A monotonic clock in seconds."""


def now() -> float:
    """CLOCK_MONOTONIC in seconds: one for all processes of a host."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class RankSample(NamedTuple):
    """One sample on one rank. A tuple is created in half the time of a frozen dataclass."""

    start_s: float
    """Host clock at the start mark; if the device was held, the clock when it was released."""
    end_s: float
    """Host clock after the device had done everything up to the end mark."""
    device_s: float | None
    """Seconds between the device's own marks, where it has them."""
    enqueue_s: float | None = None
    """Seconds of the host for launching everything up to the end mark, where a device has marks of its own."""
    late: bool = False
    """Whether a held device was released before everything was launched: it may have waited for a launch."""

    @property
    def seconds(self) -> float:
        """The device's own time where it has one, else the host's."""
        return self.end_s - self.start_s if self.device_s is None else self.device_s


class Timer:
    """Times steps as they are launched, between ``start`` and ``stop``; synchronises once, at the end.

    The device begins with the first launch and waits for each that comes late: what a user waits for.
    """

    def __init__(self, device: Device, clock: Now = now, *, streams: Sequence[Any] = ()) -> None:
        """``streams`` are those that steps use beside the current one.

        They begin after the start mark, and the end mark waits for them.
        """
        self._device = device
        self._now = clock
        self._streams = streams

    def start(self) -> None:
        """Set the start mark. The device must be idle."""
        self._start_s = self._now()
        self._mark = self._device.mark()
        if self._streams:
            self._device.fork(self._streams)

    def stop(self) -> RankSample:
        """Set the end mark, wait for the device, and read the clocks."""
        device = self._device
        if self._streams:
            device.join(self._streams)
        mark = device.mark()
        if mark is None:
            device.synchronize()
            return RankSample(self._start_s, self._now(), None)
        launched_s = self._now()
        device.synchronize()
        end_s = self._now()
        return RankSample(self._start_s, end_s, device.between(self._mark, mark), launched_s - self._start_s)


class QueueTimer(Timer):
    """Times the device alone: it is held until all steps are launched, so that it waits for no launch."""

    def __init__(self, device: Device, clock: Now = now, *, head_start_s: float, streams: Sequence[Any] = ()) -> None:
        """``head_start_s`` is for how long the device is held; ``streams`` as above."""
        super().__init__(device, clock, streams=streams)
        self._head_start_s = head_start_s

    def start(self) -> None:
        """Hold the device, and set the start mark behind that. The device must be idle."""
        self._held_s = self._now()
        self._held = self._device.hold(self._head_start_s)
        super().start()

    def stop(self) -> RankSample:
        """Set the end mark, wait for the device, and read the clocks."""
        sample = super().stop()
        start_s = self._held_s + (self._device.between(self._held, self._mark) or 0.0)
        late = self._start_s + (sample.enqueue_s or 0.0) > start_s
        return sample._replace(start_s=start_s, late=late)


class StartLine:
    """A delay window: ranks agree on an instant a little ahead and spin to it.

    Leaving a barrier is not a start: ranks leave it 20 to 100 µs apart, and a spin to one
    instant of one clock starts them within a microsecond.
    """

    def __init__(
        self,
        latest: Callable[[float], float],
        lead_s: float,
        clock: Now = now,
        wait: Callable[[float], None] | None = None,
    ) -> None:
        """``latest`` gives every rank the greatest of the values that the ranks pass to it.

        ``wait`` returns when the clock shows an instant; without it this process spins.
        """
        self._wait = wait or self._spin
        self._latest = latest
        self._lead_s = lead_s
        self._now = clock

    def cross(self) -> None:
        """Return on every rank at the same instant. Raises CollectiveError where a rank gave up."""
        self._wait(self._agree(self._now()) + self._lead_s)

    def finish(self) -> None:
        """The last line of a visit: learn whether every rank got here. Raises CollectiveError."""
        self._agree(0.0)

    def _spin(self, start_s: float) -> None:
        while self._now() < start_s - SPIN_S:
            os.sched_yield()  # this process's own gloo thread may still have to tell a peer, from this very core
        while self._now() < start_s:
            pass

    def give_up(self) -> None:
        """Tell the others, who stand at their next line, that this rank will not start again."""
        self._latest(math.inf)

    def _agree(self, mine: float) -> float:
        latest = self._latest(mine)
        if math.isinf(latest):
            raise CollectiveError("another rank gave up")
        return latest
