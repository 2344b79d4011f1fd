"""Collective times: where the time of a few samples that do not count goes, around the messages between ranks.

A collective equalises its ranks: all leave it late where one came late, so times alone cannot tell who that was. What
``harness.measure.message_watcher`` sees on each rank tells it: when the rank came to each message, when the message was
done, and when the rank waited for it. All instants are of the start line's clock, so that arrivals can be compared.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from harness.device.timing import RankSample
from harness.journal.records import CollectiveKind, CollectiveTimes
from harness.measure.spans import Span, common, length, union


@dataclass(frozen=True)
class Call:
    """One message on one rank."""

    came_s: float
    """Clock when this rank had done everything before it."""
    left_s: float
    """Clock when the message was done, whether or not the rank waited for it."""
    bytes: int = 0
    """The message's, as the work audit counts them."""
    kind: str = "all_reduce"
    channel: str = "0"
    """Calls on one channel match in order, see ``Message``."""
    ranks: int = 0
    """Number of ranks that take part; 0 for all."""
    group_size: int = 0


@dataclass
class Seen:
    """Messages and waits of this rank, in order; filled in when the watcher has ended."""

    calls: list[Call] = field(default_factory=list)
    waits: list[Span] = field(default_factory=list)


@dataclass(frozen=True)
class Watched:
    """One sample on one rank, and its messages in order."""

    start_s: float
    end_s: float
    calls: tuple[Call, ...]
    waits: tuple[Span, ...] = ()
    """When the rank could not go on before a message was done."""

    @classmethod
    def of(cls, lap: RankSample, seen: Seen) -> Self:
        """A sample with the calls that begin in it: a call that no rank waits for may end later."""
        inside = (call for call in seen.calls if lap.start_s <= call.came_s <= lap.end_s)
        calls = tuple(replace(call, left_s=min(call.left_s, lap.end_s)) for call in inside)
        waits = tuple(span for span in seen.waits if lap.start_s <= span[0] and span[1] <= lap.end_s)
        return cls(lap.start_s, lap.end_s, calls, waits)

    def shifted(self, by_clock: Callable[[float], float]) -> Self:
        """The same by another clock; ``by_clock`` is what that showed at an instant of this one."""
        calls = tuple(replace(call, came_s=by_clock(call.came_s), left_s=by_clock(call.left_s)) for call in self.calls)
        waits = tuple((by_clock(begin), by_clock(end)) for begin, end in self.waits)
        return replace(self, start_s=by_clock(self.start_s), end_s=by_clock(self.end_s), calls=calls, waits=waits)


@dataclass(frozen=True)
class _Share:
    """The parts of one rank's time in one sample, in seconds."""

    work_s: float
    wait_s: float
    transfer_s: float
    hidden_s: float


def split(ranks: Sequence[Sequence[Watched]], inner: int) -> CollectiveTimes | None:
    """Each rank's work, waiting and transfer in one of the ``inner`` steps of each sample; ``ranks`` is [rank][sample].

    None where nothing was watched, or where a message cannot be matched with those of the ranks that take part.
    """
    samples = list(zip(*ranks, strict=True))
    latest = [last_s for each in samples if (last_s := _latest(each)) is not None]
    if not samples or len(latest) < len(samples):
        return None
    shares = [list(map(_share, each, last)) for each, last in zip(samples, latest, strict=True)]

    def part(name: str) -> tuple[tuple[float, ...], ...]:
        by_sample = [[round(getattr(mine, name) / inner, 9) for mine in sample] for sample in shares]
        return tuple(zip(*by_sample, strict=True))

    return CollectiveTimes(
        collectives=tuple(max(len(mine.calls) for mine in each) / inner for each in samples),
        work_s=part("work_s"),
        wait_s=part("wait_s"),
        transfer_s=part("transfer_s"),
        hidden_s=part("hidden_s"),
        bytes=tuple(sum(call.bytes for each in rank for call in each.calls) / inner / len(rank) for rank in ranks),
        kinds=tuple(_kinds(ranks, inner)),
    )


def _latest(each: Sequence[Watched]) -> list[list[float]] | None:
    """When the last rank came to each call of each rank in one sample; None if a call lacks its counterparts."""
    came: dict[tuple[str, int], list[float]] = {}
    keys = [_keys(mine.calls) for mine in each]
    for mine, named in zip(each, keys, strict=True):
        for call, key in zip(mine.calls, named, strict=True):
            came.setdefault(key, []).append(call.came_s)
    for mine, named in zip(each, keys, strict=True):
        for call, key in zip(mine.calls, named, strict=True):
            if call.channel and len(came[key]) != (call.ranks or len(each)):
                return None
    return [
        [max(came[key]) if call.channel else call.came_s for call, key in zip(mine.calls, named, strict=True)]
        for mine, named in zip(each, keys, strict=True)
    ]


def _keys(calls: Sequence[Call]) -> list[tuple[str, int]]:
    """A channel and a number on it for each call: calls of the same key on several ranks are one message."""
    numbers = Counter[str]()
    keys = []
    for call in calls:
        keys.append((call.channel, numbers[call.channel]))
        numbers[call.channel] += 1
    return keys


def _share(mine: Watched, latest: Sequence[float]) -> _Share:
    """One rank's time in one sample; ``latest`` is when the last rank came to each of its calls.

    A rank is kept while it waits for a message that is under way. Until the last rank has come it waits for that
    rank, unless it is let go before (the source of a broadcast may be); from then on it waits for the transfer.
    """
    called = list(zip(mine.calls, latest, strict=True))
    waiting = common(union(mine.waits), union((call.came_s, call.left_s) for call in mine.calls))
    early = union((call.came_s, min(last_s, call.left_s)) for call, last_s in called)
    moving = union((min(last_s, call.left_s), call.left_s) for call, last_s in called)
    kept_s, wait_s = length(waiting), length(common(waiting, early))
    hidden_s = length(moving) - length(common(moving, waiting))
    return _Share(mine.end_s - mine.start_s - kept_s, wait_s, kept_s - wait_s, hidden_s)


def _kinds(ranks: Sequence[Sequence[Watched]], inner: int) -> Iterator[CollectiveKind]:
    """Means over samples of the messages of each kind and group size in a step."""
    kinds = sorted({(call.kind, call.group_size) for rank in ranks for each in rank for call in each.calls})
    for kind, group_size in kinds:
        counts, under_way, exposed = [], [], []
        for rank in ranks:
            steps = inner * len(rank)
            of_kind = [
                [each for each in mine.calls if (each.kind, each.group_size) == (kind, group_size)] for mine in rank
            ]
            spans = [union((call.came_s, call.left_s) for call in calls) for calls in of_kind]
            waiting = [common(union(mine.waits), each) for mine, each in zip(rank, spans, strict=True)]
            counts.append(sum(map(len, of_kind)) / steps)
            under_way.append(round(math.fsum(map(length, spans)) / steps, 9))
            exposed.append(round(math.fsum(map(length, waiting)) / steps, 9))
        yield CollectiveKind(
            kind=kind,
            group_size=group_size,
            count=tuple(counts),
            under_way_s=tuple(under_way),
            exposed_s=tuple(exposed),
        )
