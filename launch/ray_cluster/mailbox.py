"""The mailbox of a gang of actors: what its ranks tell waits there until the driver fetches it, in order.

Ray neither keeps the order of calls to an asynchronous actor, nor that of large arguments: each rank numbers its lines.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from typing import NamedTuple


class Line(NamedTuple):
    """One record, as a rank sent it."""

    rank: int
    text: str


class Lines:
    """Lines of several ranks: each rank's in the order of their numbers, whatever the order in which they arrive."""

    def __init__(self) -> None:
        self._early: dict[int, dict[int, str]] = defaultdict(dict)
        """Lines that wait for an earlier one, by rank and number."""
        self._next: dict[int, int] = defaultdict(int)
        self._ready: deque[Line] = deque()
        self._acknowledged = 0

    def put(self, rank: int, number: int, text: str) -> None:
        """Take the line ``number`` of a rank, which counts its lines from 0."""
        if number < self._next[rank]:
            return  # it is there already
        early = self._early[rank]
        early[number] = text
        while (line := early.pop(self._next[rank], None)) is not None:
            self._append(rank, line)

    def skip_gaps(self) -> None:
        """Do not wait for missing lines any more: the lines after them are ready, too."""
        for rank, early in self._early.items():
            for number in sorted(early):
                self._next[rank] = number
                self._append(rank, early.pop(number))

    def _append(self, rank: int, text: str) -> None:
        self._ready.append(Line(rank, text))
        self._next[rank] += 1

    def after(self, seen: int) -> list[Line]:
        """The lines that are ready, after the first ``seen`` of all: those are acknowledged by this, and dropped."""
        while self._acknowledged < seen:
            self._ready.popleft()
            self._acknowledged += 1
        return list(self._ready)


class Mailbox:
    """Holds the lines of ranks until the driver fetches them: nothing is lost while the driver cannot be reached."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._stopped = False
        self._arrived = asyncio.Event()

    async def request_stop(self) -> None:
        """Ask each rank to stop when it sends its next line."""
        self._stopped = True

    async def put(self, rank: int, number: int, text: str) -> bool:
        """Keep the line ``number`` of a rank; returns whether to stop."""
        self._lines.put(rank, number, text)
        self._arrived.set()
        return self._stopped

    async def skip_gaps(self) -> None:
        """Do not wait for missing lines any more: their rank is gone."""
        self._lines.skip_gaps()

    async def take(self, seen: int, timeout_s: float) -> list[Line]:
        """The lines after the first ``seen``, which are dropped; waits for one, but not for longer than ``timeout_s``.

        Asked again with the same ``seen`` it gives the same lines again, and more.
        """
        if not self._lines.after(seen) and timeout_s:
            self._arrived.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
        return self._lines.after(seen)
