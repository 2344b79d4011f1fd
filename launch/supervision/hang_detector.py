"""The hang detector: which ranks of a gang still move; and if one does not, which is the one that hangs.

All ranks give heartbeats at the same points of a case, so their watchdogs report at about the same time where each
is. A rank that waits for others outside the case has finished it; a rank in a collective waits for those that are not.
"""

import math
import time
from collections.abc import Callable

from harness.journal.plan import Record
from harness.journal.protocol import RankNote
from harness.journal.records import RankOutcome, last
from launch.launcher import Ending

SETUP_S = 300.0
"""A gang must be up within this time: it imports Python and PyTorch, from a shared disk, and makes groups."""
SLACK_S = 3.0
"""How much later than the deadline a watchdog may report, and how long a complaint waits for those of others, or to
be withdrawn: a machine that stood still for a while has moved again by then."""
SETTLE_S = 10.0
"""A rank that reports a failure has by then agreed with the others and gone on or left, or it never will."""
GAP_S = 2.0
"""If the parent has not looked for this long, it was stopped itself, and its ranks maybe too."""
BLAME_ORDER = {"stuck": 1, "collective": 2, "waits": 3}
"""Order of blame: the first state that a rank has is the one that hangs; silence comes before all of these."""


class HangDetector:
    """One gang, as its watchdogs report it."""

    def __init__(self, size: int, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._deadline_s = deadline_s
        self._clock = clock
        self._start_s = self._looked_s = clock()
        self._resumed_s = -math.inf
        self._heard_s: dict[int, float] = {}
        self._notes: dict[int, RankNote] = {}
        self._alarm_s = math.inf
        self._failures: dict[tuple[int, float], tuple[RankNote, float]] = {}
        """Notes of failures that have not been settled, by rank and instant; and until when they may be."""
        self._up = False

    def hear(self, record: Record) -> None:
        """Note a report of a rank. With the first record of rank 0 all ranks are up."""
        if isinstance(record, RankNote):
            self._take(record)
        elif self._up:
            self._moved(0)
        else:
            self._up = True
            self._heard_s = dict.fromkeys(range(self._size), self._clock())

    def look(self) -> None:
        """Note that the parent itself runs; to be called about twice a second.

        After a gap nobody is judged before a whole deadline has passed again: where a run was frozen with all of its
        processes, its ranks have not moved for as long, and nothing hangs.
        """
        now_s = self._clock()
        if now_s - self._looked_s > GAP_S:
            self._resumed_s = now_s
        self._looked_s = now_s

    def dismiss(self, rank: int) -> None:
        """Note that a rank has ended: it sends no more reports."""
        self._heard_s.pop(rank, None)
        self._notes.pop(rank, None)

    def _take(self, note: RankNote) -> None:
        if note.state == "moves":
            self._moved(note.rank)
            return
        if note.state == "failed":
            wait_s = math.inf if note.status == "wrong" else SETTLE_S  # its peers may be at long checks of their own
            self._failures[note.rank, note.when_s] = note, self._clock() + wait_s
            return
        if note.state == "settled":
            self._failures.pop((note.rank, note.when_s), None)
            return
        self._heard_s[note.rank] = self._clock()
        self._notes[note.rank] = note
        if note.state != "waits" or self._all_stand:
            self._alarm_s = min(self._alarm_s, self._clock())

    def _moved(self, rank: int) -> None:
        self._heard_s[rank] = self._clock()
        self._notes.pop(rank, None)
        if all(note.state == "waits" for note in self._notes.values()):
            self._alarm_s = math.inf

    @property
    def _all_stand(self) -> bool:
        return self._up and self._notes.keys() >= self._heard_s.keys()

    @property
    def until_s(self) -> float:
        """When to ask :meth:`verdict` at the latest, unless a report comes before."""
        if not self._up:
            return max(self._start_s, self._resumed_s) + SETUP_S
        silence_s = min(self._heard_s.values(), default=math.inf) + self._deadline_s + SLACK_S
        due_s = min(silence_s, self._alarm_s + SLACK_S, *(until_s for _, until_s in self._failures.values()))
        return max(due_s, self._resumed_s + self._deadline_s + SLACK_S)

    @property
    def _failed(self) -> RankNote | None:
        """The first failure that is not settled."""
        notes = (note for note, _ in self._failures.values())
        return min(notes, key=lambda note: note.when_s, default=None)

    @property
    def silent(self) -> list[int]:
        """Ranks whose reports are overdue."""
        complained = self._alarm_s < math.inf
        until_s = self._clock() - self._deadline_s - SLACK_S + 1e-3  # clocks round
        quiet = (rank for rank in sorted(self._heard_s) if rank not in self._notes)
        return [rank for rank in quiet if complained or self._heard_s[rank] <= until_s]

    def verdict(self) -> Ending:
        """The ending by a rank that hangs, or by one whose failure the others do not hear of."""
        if failed := self._failed:
            return Ending("error" if failed.status == "skipped" else failed.status, failed.at, failed.rank)
        if not self._up:
            return Ending("hang", f"the ranks were not ready within {SETUP_S:g} s")
        scores = dict.fromkeys(self.silent, 0) | {rank: BLAME_ORDER[note.state] for rank, note in self._notes.items()}
        rank = min(sorted(scores), key=lambda peer: scores[peer], default=None)
        silence = f"no sign of life for {self._deadline_s:g} s"
        if rank is None or scores[rank] == BLAME_ORDER["waits"]:
            return Ending("hang", f"{silence}: the ranks wait for each other")
        return Ending("hang", f"{silence} from {self.outcome(rank)}", rank)

    def outcome(self, rank: int) -> str:
        """The state of a rank, in words."""
        note = self._notes.get(rank)
        if self._failed and rank == self._failed.rank:
            return f"rank {rank}, which has failed"
        if note is None:
            return f"rank {rank}, which {'does not even answer' if rank in self.silent else 'was up'}"
        if note.state == "waits":
            return f"rank {rank}, which waits for the others"
        return f"rank {rank}, in {'a collective of ' * (note.state == 'collective')}{note.at}"

    def outcomes(self) -> tuple[RankOutcome, ...]:
        """The state of every rank, with stacks and with collectives in flight."""
        notes = self._notes | ({self._failed.rank: self._failed} if self._failed else {})
        words = {rank: last(note.stack + _flight(note)) for rank, note in notes.items()}
        return tuple(
            RankOutcome(rank=rank, outcome=self.outcome(rank), words=words.get(rank)) for rank in sorted(self._heard_s)
        )


def _flight(note: RankNote) -> str:
    """A rank's collectives in its flight recorder, one per line."""
    return "".join(f"in flight: {message}\n" for message in note.pending)
