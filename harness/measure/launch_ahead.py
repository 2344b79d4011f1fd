"""The device's own time: a device is held for a moment, so that launching steps opens no gaps between them.

A GPU that is faster than its host waits for each launch. Times are therefore taken twice: as launched, which is what a
user waits for and what cases are compared by; and, in a sample a visit, the device's own. Before that one a pause is
launched, and while it lasts the host launches all steps. Two things limit that. A step that waits for the device itself
cannot be launched ahead, and has no such time. And a GPU takes about a thousand launches ahead, no more.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.device.device import Device
from harness.device.timing import Now, RankSample
from harness.journal.measurement_warnings import Kind, MeasurementWarning, percent, percent_beyond

HOLD_S = 0.050
"""For how long a device is held to measure how much can be launched meanwhile."""
MOST = 512
"""Steps that are tried; more in a sample would only make it longer."""
SPARE = 1.25, 50e-6
"""A head start is this many times the launch time, plus this many seconds."""
SAMPLES = 1
"""Samples of the device's own time in a visit."""
LATE = 0.05
"""A cell is flagged where launching outlasted the head start in more than this share of a rank's samples."""


@dataclass(frozen=True)
class QueueDepth:
    """How many steps of a case a host can launch ahead of its device."""

    steps: float = math.inf
    """Steps launched before the device was released: 0 if a step waits for the device."""
    launch_s: float = 0.0
    """Seconds of the host for launching one of them."""


def room(step: Callable[[], Any], steps: int, device: Device, clock: Now) -> QueueDepth:
    """Do ``steps`` steps, all of them however it goes, and see how many could be launched while the device was held."""
    device.synchronize()
    device.hold(HOLD_S)
    let_go = device.mark()
    start_s = last_s = clock()
    ahead = 0
    for _ in range(steps):
        step()
        if not device.reached(let_go):
            ahead += 1
            last_s = clock()
    device.synchronize()
    return QueueDepth(ahead, (last_s - start_s) / ahead if ahead else math.inf)


def tightest(rooms: Sequence[QueueDepth]) -> QueueDepth:
    """The queue depth that suits every rank of a case, or every case."""
    return QueueDepth(min(depth.steps for depth in rooms), max(depth.launch_s for depth in rooms))


def head_start_s(inner: int, room: QueueDepth) -> float:
    """For how long to hold the device before a sample of ``inner`` steps."""
    times, more_s = SPARE
    return times * inner * room.launch_s + more_s


def warnings_of(laps: Sequence[Sequence[RankSample]]) -> list[MeasurementWarning]:
    """A warning for each rank that often was still launching when its device was released. ``laps[rank][sample]``."""
    shares = [sum(lap.late for lap in mine) / len(mine) if mine else 0.0 for mine in laps]
    return [
        MeasurementWarning(
            kind=Kind.LAUNCH_GAPS,
            fact=f"rank {rank} was still launching when its device was let go in "
            f"{percent_beyond(share, LATE)} of the samples of the device's own time (limit {percent(LATE)})",
            rank=rank,
        )
        for rank, share in enumerate(shares)
        if share > LATE
    ]
