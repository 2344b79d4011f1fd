"""Waits: where the time of a few samples that do not count goes, around the collectives of a gang.

A collective equalises its ranks: all leave it late where one came late, so times alone cannot tell who that was. Here
each rank notes when it comes to a collective, its device idle, and when it leaves. All read the start line's clock, so
that arrivals can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch.distributed as dist

from harness import gang
from harness.device.device import Device
from harness.device.timing import Now, RankSample
from harness.journal.records import CollectiveTimes
from harness.work.counting import message_bytes


@dataclass(frozen=True)
class Call:
    """One collective on one rank."""

    came_s: float
    """Clock when this rank had done everything before it."""
    left_s: float
    """Clock when its device had done it."""
    bytes: int = 0
    """Of its message, as the ledger counts them."""


@dataclass(frozen=True)
class Watched:
    """One sample on one rank, and the collectives in it, in order."""

    start_s: float
    end_s: float
    calls: tuple[Call, ...]

    @classmethod
    def of(cls, lap: RankSample, calls: Sequence[Call]) -> Watched:
        """A sample, and those of the calls that lie in it."""
        inside = tuple(call for call in calls if lap.start_s <= call.came_s and call.left_s <= lap.end_s)
        return cls(lap.start_s, lap.end_s, inside)

    def shifted(self, by_clock: Callable[[float], float]) -> Self:
        """The same by another clock; ``by_clock`` is what that showed at an instant of this one."""
        calls = tuple(Call(by_clock(call.came_s), by_clock(call.left_s), call.bytes) for call in self.calls)
        return replace(self, start_s=by_clock(self.start_s), end_s=by_clock(self.end_s), calls=calls)


class _Observer:
    """Stands in for what carries a gang's messages, and notes each of its calls."""

    def __init__(self, device: Device, clock: Now, calls: list[Call]) -> None:
        self._device = device
        self._clock = clock
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        collective = getattr(dist, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            self._device.synchronize()
            came_s = self._clock()
            told = collective(*args, **kwargs)
            self._device.synchronize()
            self._calls.append(Call(came_s, self._clock(), message_bytes(args)))
            return told

        return noted


@contextmanager
def watched(device: Device, clock: Now) -> Iterator[list[Call]]:
    """The collectives that gangs of this process do meanwhile. They wait for the device: nothing may be timed here."""
    calls: list[Call] = []
    gang.carrier = _Observer(device, clock, calls)
    try:
        yield calls
    finally:
        gang.carrier = dist


def split(ranks: Sequence[Sequence[Watched]], inner: int) -> CollectiveTimes | None:
    """Each rank's work, waiting and transfer in one of the ``inner`` steps of each sample; ``ranks`` is [rank][sample].

    None where nothing was watched, or where ranks did not do as many collectives: then these cannot be matched.
    """
    samples = list(zip(*ranks, strict=True))
    counts = [{len(mine.calls) for mine in each} for each in samples]
    if not samples or any(len(found) > 1 for found in counts):
        return None
    shares = [_shares(each) for each in samples]

    def part(place: int) -> tuple[tuple[float, ...], ...]:
        by_sample = [[round(mine[place] / inner, 9) for mine in each] for each in shares]
        return tuple(zip(*by_sample, strict=True))

    collectives = tuple(found.pop() / inner for found in counts)
    sent = tuple(sum(call.bytes for each in rank for call in each.calls) / inner / len(rank) for rank in ranks)
    return CollectiveTimes(collectives=collectives, work_s=part(0), wait_s=part(1), transfer_s=part(2), bytes=sent)


def _shares(each: Sequence[Watched]) -> list[tuple[float, float, float]]:
    """Each rank's seconds of work, waiting and transfer in one sample.

    A rank waits until the last one has come, unless it is let go before (the source of a broadcast may be).
    """
    last_s = [max(call.came_s for call in calls) for calls in zip(*(mine.calls for mine in each), strict=True)]
    told = []
    for mine in each:
        inside_s = math.fsum(call.left_s - call.came_s for call in mine.calls)
        begun = zip(mine.calls, last_s, strict=True)
        wait_s = math.fsum(min(latest_s, call.left_s) - call.came_s for call, latest_s in begun)
        told.append((mine.end_s - mine.start_s - inside_s, wait_s, inside_s - wait_s))
    return told
