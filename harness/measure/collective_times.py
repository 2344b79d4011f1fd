"""Waits: where the time of a few samples that do not count goes, around the collectives of a gang.

A collective equalises its ranks: all leave it late where one came late, so times alone cannot tell who that was. Here
each rank notes when its device comes to a collective and when it leaves: by marks on the device's stream, where it has
any, so that nothing waits that does not wait in a timed sample. All instants are of the start line's clock, so that
arrivals can be compared.
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


@dataclass(frozen=True)
class _Instant:
    """A place in the work of a rank: the host's clock there, and the device's mark, where it has marks."""

    host_s: float
    mark: Any


class _Observer:
    """Stands in for what carries a gang's messages, and marks the beginning and the end of each of its calls."""

    def __init__(self, device: Device, clock: Now) -> None:
        self._device = device
        self._clock = clock
        self._spans: list[tuple[_Instant, _Instant, int]] = []
        device.synchronize()
        self._origin = self._instant()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        collective = getattr(dist, name)

        def marked(*args: Any, **kwargs: Any) -> Any:
            came = self._instant()
            answer = collective(*args, **kwargs)
            self._spans.append((came, self._instant(), message_bytes(args)))
            return answer

        return marked

    def calls(self) -> list[Call]:
        """All of them, in order. Waits for the device."""
        self._device.synchronize()
        return [Call(self._seconds(came), self._seconds(left), size) for came, left, size in self._spans]

    def _instant(self) -> _Instant:
        return _Instant(self._clock(), self._device.new_mark())

    def _seconds(self, instant: _Instant) -> float:
        """The clock when the device was there, which is not before the host was."""
        since_s = self._device.between(self._origin.mark, instant.mark)
        return instant.host_s if since_s is None else max(instant.host_s, self._origin.host_s + since_s)


@contextmanager
def watched(device: Device, clock: Now) -> Iterator[list[Call]]:
    """The collectives that gangs of this process do meanwhile: the list is filled when the block is left."""
    calls: list[Call] = []
    gang.carrier = observer = _Observer(device, clock)
    try:
        yield calls
        calls += observer.calls()
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
