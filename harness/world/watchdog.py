"""The watchdog: a thread of every rank that reports when the rank has not moved for as long as the deadline allows.

A heartbeat is one assignment between two samples, so that it costs nothing. The watchdog wakes up about twice a
deadline. It then reports that the rank moves; or, once the deadline has passed, that the rank waits for others or is
where it was, with its stack. For a few seconds it then looks each second whether that goes on: on a machine that was
suspended as a whole it does not.
"""

import math
import os
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import FrameType

from harness.common.errors import HangError
from harness.device.timing import now
from harness.journal.plan import Record
from harness.journal.protocol import Emit, RankNote, State
from harness.journal.records import LONGEST
from harness.world import flight_recorder
from harness.world.control import Failure

WAITING = {"shared_memory_max.py", "control.py", "world.py", "process_groups.py"}
"""Modules whose collectives are no part of a case: they wait for the other ranks of the launch."""
COLLECTIVES = "torch/distributed/"
BACKWARD = "torch/autograd/graph.py"
"""The file of a backward pass that does not end: DistributedDataParallel calls its collectives there."""
HARNESS = Path(__file__).parents[1]
"""Frames of files below this folder are the harness's."""
INSTALLED, STANDARD = "site-packages", sysconfig.get_path("stdlib") + os.sep
"""Folders of installed packages, and of Python's own modules."""
ON_BEHALF = {
    HARNESS / "gang.py", HARNESS / "measure" / "message_watcher.py", HARNESS / "work" / "communication.py",
}  # fmt: skip
"""These carry out collectives for a case."""
LOOK_S, LOOKS = 1.0, 5
"""How often to see whether a rank moves again, and how many times: longer than its complaint waits to be judged."""


class Watchdog:
    """Watches the thread that posted it. One that was never posted notes signs of life, and that is all."""

    def __init__(self) -> None:
        self._beat_s = now()
        self._tell: Emit = _nobody
        self._reported: RankNote | None = None
        """A failure, until it is settled."""

    def beat(self) -> None:
        """Give a sign of life."""
        self._beat_s = now()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last sign of life."""
        return now() - self._beat_s

    @contextmanager
    def minding(self) -> Iterator[None]:
        """A scenario's own code runs in the block: it begins with a sign of life."""
        self.beat()
        yield

    @contextmanager
    def posted(self, rank: int, deadline_s: float, tell: Emit) -> Iterator[None]:
        """Watch the calling thread while the block lasts; ``tell`` of it at least once in ``deadline_s`` seconds."""
        relieved, who = threading.Event(), threading.get_ident()
        self._tell = tell
        self.beat()
        threading.Thread(target=self._stand, args=(relieved, who, rank, deadline_s, tell), daemon=True).start()
        try:
            yield
        finally:
            relieved.set()

    def report(self, failure: Failure, error: BaseException) -> None:
        """Tell at once how a case failed, for the rank's peers may never be able to agree on that."""
        stack = "".join(traceback.format_exception(error))[-LONGEST:]
        self._reported = RankNote(
            rank=failure.rank,
            state="failed",
            at=failure.message,
            status=failure.status,
            when_s=failure.when_s,
            stack=stack,
        )
        self._tell(self._reported)

    def settled(self) -> None:
        """Tell that what was reported has been agreed on, and that these processes go on."""
        if self._reported is not None:
            self._tell(RankNote(rank=self._reported.rank, state="settled", when_s=self._reported.when_s))
            self._reported = None

    def _stand(self, relieved: threading.Event, who: int, rank: int, deadline_s: float, tell: Emit) -> None:
        seen_s = self._beat_s
        until_s, told_s = seen_s + deadline_s / 2, -math.inf
        while not relieved.wait(max(0.0, until_s - now())):
            moved, seen_s = self._beat_s > seen_s, self._beat_s
            late = now() - seen_s >= deadline_s
            if late and now() - told_s >= deadline_s:
                told_s = now()
                frame = sys._current_frames()[who]  # noqa: SLF001 - public but for its name
                tell(seen(rank, frame, flight_recorder.pending(now() - seen_s)))
            elif moved:
                told_s = -math.inf
                tell(RankNote(rank=rank, state="moves"))
            if late:
                until_s = min(told_s + deadline_s, now() + LOOK_S if now() - told_s < LOOKS * LOOK_S else math.inf)
            else:
                until_s = seen_s + deadline_s / (2 if moved else 1)


def _nobody(record: Record) -> None:
    del record


def seen(rank: int, frame: FrameType, pending: tuple[str, ...] = ()) -> RankNote:
    """What a rank does that does not move; ``frame`` is the innermost of its stack, ``pending`` its collectives."""
    stack = traceback.extract_stack(frame)
    text = "".join(traceback.format_list(stack))[-LONGEST:]
    at = min(_of_the_case(stack) or stack[-1:], key=lambda frame: _distance(frame.filename))
    where = f"{at.name} ({Path(at.filename).name}:{at.lineno})"
    return RankNote(rank=rank, state=_state(stack, pending), at=where, stack=text, pending=pending)


def _state(stack: traceback.StackSummary, pending: tuple[str, ...]) -> State:
    """What a rank does, by the frames that the harness has called: launchers are below it, and have collectives too.

    NCCL's collectives return before they are done: a rank waits for one wherever it next waits for its GPU.
    """
    in_backward = bool(stack) and stack[-1].filename.endswith(BACKWARD)
    state: State = "collective" if in_backward or any(call.startswith("nccl:") for call in pending) else "stuck"
    for call in reversed(stack):
        path = Path(call.filename)
        if COLLECTIVES in call.filename:
            state = "collective"
        elif _ours(call.filename):
            return "waits" if path.parent == Path(__file__).parent and path.name in WAITING else state
    return state


def _of_the_case(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """The frames that the harness has called, the innermost first."""
    return list(takewhile(lambda frame: not _ours(frame.filename), reversed(stack)))


def _ours(filename: str) -> bool:
    path = Path(filename)
    return HARNESS in path.parents and path not in ON_BEHALF


def _distance(filename: str) -> int:
    """A file's distance from the user's code: 0 for their own, 1 for an installed package, 2 for PyTorch or Python."""
    parts = Path(filename).parts
    if COLLECTIVES in filename or filename.startswith("<") or HARNESS in Path(filename).parents:
        return 2
    if INSTALLED in parts:
        return 1 + (parts[parts.index(INSTALLED) + 1] == "torch")
    return 2 * filename.startswith(STANDARD)


class AlarmWatchdog(Watchdog):
    """Watches the main thread of a process that has no parent: what does not move is interrupted, and fails."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__()
        self._deadline_s = deadline_s

    def beat(self) -> None:
        """Give a sign of life: the alarm is set anew, and rings again where it is not heeded."""
        signal.setitimer(signal.ITIMER_REAL, self._deadline_s, self._deadline_s)

    @contextmanager
    def minding(self) -> Iterator[None]:
        """Only in the block the alarm rings: what the harness does beside may wait for a slow disk."""
        self.beat()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def set(self) -> Iterator[None]:
        """Interrupt the main thread by a HangError while the block lasts, once it has given its first sign of life."""
        before = signal.signal(signal.SIGALRM, self._ring)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        del number
        where = "" if frame is None else f": in {seen(0, frame).at}"
        raise HangError(f"gave no sign of life for {self._deadline_s:g} s{where}")
