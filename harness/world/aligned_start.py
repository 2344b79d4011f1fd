"""The clock of rank 0's host, as another host knows it.

The first rank of each host asks rank 0 for its time, again and again. Of all the exchanges the quickest tells most:
rank 0 read its clock somewhere between question and answer, so half of the time between them bounds the error
(Cristian, 1989). Clocks drift apart, by some 50 microseconds a second and more where one is being corrected: offsets
are estimated before and after a comparison and every few seconds in between, and interpolated.
"""

import os
import socket
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from harness.device.timing import Now, RankSample, now

EXCHANGES = 100
BASELINE_S = 1.0
"""Two estimates closer in time than this say nothing about the drift of the clocks."""


@dataclass(frozen=True)
class Offset:
    """Offset from this host's clock to rank 0's, and its error bound, in seconds."""

    seconds: float = 0.0
    error_s: float = 0.0
    at_s: float = 0.0
    """This host's clock when it was so."""


class HostClock:
    """Rank 0's host clock, read on this host: where it is another one, by its own clock and estimated offsets."""

    def __init__(self, read: Now = now) -> None:
        """``read`` is this host's own clock."""
        self.read = read
        self._offsets: list[Offset] = []
        self._last = Offset()
        self._rate = 0.0

    def __call__(self) -> float:
        """Now, by the newest estimate and the drift so far."""
        here_s = self.read()
        return here_s + self._last.seconds + self._rate * (here_s - self._last.at_s)

    def add(self, offset: Offset) -> None:
        """A new estimate."""
        self._offsets.append(offset)
        first, self._last = self._offsets[0], offset
        if (apart_s := offset.at_s - first.at_s) >= BASELINE_S:
            self._rate = (offset.seconds - first.seconds) / apart_s

    def offset(self, at_s: float) -> Offset:
        """The offset when this host's own clock showed ``at_s``, between the estimates before and after.

        Whatever the clocks did in between, as long as they drifted in one direction: the error is that of an estimate,
        and what the two differ by.
        """
        if not self._offsets:
            return Offset(at_s=at_s)
        place = bisect(self._offsets, at_s, key=lambda offset: offset.at_s)
        before, after = self._offsets[max(0, place - 1)], self._offsets[min(place, len(self._offsets) - 1)]
        apart_s = after.at_s - before.at_s
        share = (at_s - before.at_s) / apart_s if apart_s else 0.0
        seconds = before.seconds + share * (after.seconds - before.seconds)
        return Offset(seconds, max(before.error_s, after.error_s) + abs(after.seconds - before.seconds), at_s)

    def shifted(self, at_s: float) -> float:
        """An instant of this host's own clock, by rank 0's."""
        return at_s + self.offset(at_s).seconds if self._offsets else at_s

    def sample(self, sample: RankSample) -> RankSample:
        """A sample that was timed by this host's own clock, by rank 0's."""
        if not self._offsets:
            return sample
        return sample._replace(start_s=self.shifted(sample.start_s), end_s=self.shifted(sample.end_s))


def clock_identity() -> str:
    """Identity of the processes that read one monotonic clock: a host's, in a time namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/time").readlink())
    except OSError:
        boot = namespace = ""
    return f"{socket.gethostname()} {boot} {namespace} {'' if boot else os.getpid()}".strip()


def leaders(identities: Sequence[str]) -> tuple[int, ...]:
    """For each rank the first that reads the same clock; ``identities`` are the ranks' :func:`clock_identity`."""
    return tuple(identities.index(identity) for identity in identities)


def estimate(
    group: dist.ProcessGroup, clock: Now, leaders: Sequence[int] | None = None, exchanges: int = EXCHANGES
) -> Offset:
    """This rank's offset from rank 0 of ``group`` (gloo). Every rank calls it; rank 0 answers the others in turn.

    Only those ask that are the first of their host, as ``leaders`` says; the others have no offset afterwards.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    asking = sorted(set(leaders or range(size)) - {0})
    if rank:
        return _ask(group, clock, exchanges) if rank in asking else Offset()
    message = torch.zeros(1, dtype=torch.float64)
    for other in asking:
        for _ in range(exchanges):
            dist.recv(message, group=group, group_src=other)
            message[0] = clock()
            dist.send(message, group=group, group_dst=other)
    return Offset()


def _ask(group: dist.ProcessGroup, clock: Now, exchanges: int) -> Offset:
    message = torch.zeros(1, dtype=torch.float64)
    best = Offset(error_s=float("inf"))
    for _ in range(exchanges):
        asked_s = clock()
        dist.send(message, group=group, group_dst=0)
        dist.recv(message, group=group, group_src=0)
        answered_s = clock()
        error_s = (answered_s - asked_s) / 2
        if error_s < best.error_s:
            middle_s = (asked_s + answered_s) / 2
            best = Offset(message.item() - middle_s, error_s, middle_s)
    return best
