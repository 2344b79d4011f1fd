"""A maximum in memory that the ranks of one host share: the latest of their instants, within microseconds.

gloo would take a hundred times longer, and its thread would need the very core on which a rank spins to its start.
"""

import math
import mmap
import os
import secrets
import select
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from harness.common.errors import CollectiveError
from harness.world.control import ControlPlane

LINE = 64
"""Bytes of a cache line: no two ranks write to the same one."""
NEVER = 1 << 60
"""Nanoseconds that stand for infinity."""
PATIENCE_S = 0.1
"""A rank that has waited for longer looks only once a millisecond, and whether the others still live.

Where no time of this machine is measured, there is none: what spins takes the cores from those that work.
"""


class SharedMemoryMax:
    """Memory that all ranks map: for each size of gang, each rank has a line with two words, written in turn.

    A word holds nanoseconds and, in its two low bits, the turn it belongs to, so that one aligned store tells both. A
    rank is at most one turn ahead of another, who may still be reading the word before: hence two words.
    """

    def __init__(
        self, memory: mmap.mmap, rank: int, pids: Sequence[int], timeout_s: float, patience_s: float = PATIENCE_S
    ) -> None:
        """``pids`` are the ranks' processes, in rank order. Raises OSError where one cannot be watched."""
        self._words = memoryview(memory).cast("q")
        self._rank = rank
        self._size = len(pids)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._deaths = select.poll()
        for pid in pids:
            self._deaths.register(os.pidfd_open(pid))  # becomes readable when the process ends
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
            if waited_s > self._patience_s and self._deaths.poll(1):
                raise CollectiveError("another rank has ended")
            word = self._words[place]
        return word >> 2

    @classmethod
    def shared(cls, control: ControlPlane, timeout_s: float, patience_s: float = PATIENCE_S) -> Self | None:
        """One object for all ranks; None on all of them if they cannot share memory. Every rank calls this."""
        length = control.size**2 * LINE
        descriptor = (
            os.memfd_create("rankbench") if control.rank == 0 else None
        )  # memory without a name to leave behind
        ranks = control.gather((os.getpid(), descriptor, secrets.token_hex(LINE // 2)), tuple[int, int | None, str])
        pids = [pid for pid, _, _ in ranks]
        _, handle, text = ranks[0]
        token = text.encode()
        if descriptor is not None:
            os.write(descriptor, bytes(length) + token)
        control.settle(None)  # the token is written
        try:
            memory = _opened(Path(f"/proc/{pids[0]}/fd/{handle}"), length, token)
            shared_max = cls(memory, control.rank, pids, timeout_s, patience_s)
        except OSError:
            shared_max = None
        apart = control.greatest([float(shared_max is None)])[0]
        if descriptor is not None:
            os.close(descriptor)
        return None if apart else shared_max


def _opened(path: Path, length: int, token: bytes) -> mmap.mmap:
    """The memory behind another process's file descriptor. Raises OSError where it is not on this host, or not ours."""
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) != length + len(token):
            raise FileNotFoundError(path)
        memory = mmap.mmap(file.fileno(), length + len(token))
    if memory[length:] != token:
        raise FileNotFoundError(path)
    return memory


def _nanoseconds(value_s: float) -> int:
    return NEVER if math.isinf(value_s) else round(value_s * 1e9)
