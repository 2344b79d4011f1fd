"""A slate that the ranks of one host share: the latest of the instants that they write on it, within microseconds.

gloo would take a hundred times longer, and its thread would need the very core on which a rank spins to its start.
"""

from __future__ import annotations

import math
import mmap
import os
import secrets
import time
from collections import defaultdict
from pathlib import Path
from typing import Self

from harness.agreement import Agreement
from harness.errors import CollectiveError

LINE = 64
"""Bytes of a cache line: no two ranks write to the same one."""
NEVER = 1 << 60
"""Nanoseconds that stand for infinity."""
PATIENCE_S = 1.0
"""A rank that has waited for longer looks only once a millisecond."""


class Slate:
    """Memory that all ranks map: for each size of gang, each rank has a line with two words, written in turn.

    A word holds nanoseconds and, in its two low bits, the turn it belongs to, so that one aligned store tells both. A
    rank is at most one turn ahead of another, who may still be reading the word before: hence two words.
    """

    def __init__(self, memory: mmap.mmap, rank: int, size: int, timeout_s: float) -> None:
        self._words = memoryview(memory).cast("q")
        self._rank = rank
        self._size = size
        self._timeout_s = timeout_s
        self._turns: defaultdict[int, int] = defaultdict(int)

    def latest(self, value_s: float, among: int) -> float:
        """The greatest of the values, in seconds of at least 0, that the first ``among`` ranks pass. Infinity passes.

        Raises CollectiveError where a rank does not come.
        """
        self._turns[among] += 1
        turn = self._turns[among] % 4
        self._words[self._place(among, self._rank, turn)] = _nanoseconds(value_s) << 2 | turn
        latest = max(self._await(self._place(among, rank, turn), turn) for rank in range(among))
        return math.inf if latest >= NEVER else latest * 1e-9

    def _place(self, among: int, rank: int, turn: int) -> int:
        return ((among - 1) * self._size + rank) * (LINE // 8) + turn % 2

    def _await(self, place: int, turn: int) -> int:
        word = self._words[place]
        start_s = time.monotonic()
        while word & 3 != turn:
            os.sched_yield()
            waited_s = time.monotonic() - start_s
            if waited_s > self._timeout_s:
                raise CollectiveError(f"another rank did not come to the start within {self._timeout_s:g} s")
            if waited_s > PATIENCE_S:
                time.sleep(0.001)
            word = self._words[place]
        return word >> 2

    @classmethod
    def shared(cls, agreement: Agreement, timeout_s: float) -> Self | None:
        """One slate for all ranks; None on all of them where they cannot share memory. Every rank calls this."""
        length = agreement.size**2 * LINE
        token = secrets.token_bytes(LINE)
        own = os.memfd_create("rankbench") if agreement.rank == 0 else None  # memory without a name to leave behind
        if own is not None:
            os.write(own, bytes(length) + token)
        path, wanted = agreement.gather((f"/proc/{os.getpid()}/fd/{own}", token))[0]
        memory = _opened(Path(path), length, wanted)
        apart = agreement.greatest([float(memory is None)])[0]
        if own is not None:
            os.close(own)
        return None if apart or memory is None else cls(memory, agreement.rank, agreement.size, timeout_s)


def _opened(path: Path, length: int, token: bytes) -> mmap.mmap | None:
    """The memory behind another process's file descriptor, if it is on this host and ours to open."""
    try:
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), length + len(token))
    except (OSError, ValueError):
        return None
    return memory if memory[length:] == token else None


def _nanoseconds(value_s: float) -> int:
    return NEVER if math.isinf(value_s) else round(value_s * 1e9)
