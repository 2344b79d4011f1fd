"""The ranks of one launch on this host, as the parent of a run hears of them."""

import json
import signal
from contextlib import suppress
from dataclasses import dataclass, field

from harness.journal.plan import Record
from harness.journal.records import RankOutcome, last
from launch.launcher import RECORD, Ending
from launch.local.channel import Event, Peer


@dataclass
class Gang:
    """The ranks of one launch, as the parent hears of them."""

    size: int
    ranks: dict[Peer, int] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)
    stopped: bool = False
    """Whether the ranks have been asked to end."""
    left: list[int] = field(default_factory=list)
    """Ranks that have closed their connection, in that order."""
    well: set[int] = field(default_factory=set)
    """Ranks that have reported a regular end."""
    words: dict[int, str] = field(default_factory=dict)
    """Last messages of ranks that failed and could still send one."""
    exits: dict[int, int | None] = field(default_factory=dict)
    """Exit codes of ranks that have ended, in that order; minus the signal, where one killed it; None if unknown."""
    trouble: str | None = None
    """Why the launching process could not start the ranks, or that it has ended."""

    def take(self, event: Event) -> Record | None:
        """Note an event of a process; return a record for the journal or the progress, if it is one."""
        peer, kind, line = event
        if kind == "closed":
            if peer in self.ranks:
                self.left.append(self.ranks[peer])
            return None
        message = json.loads(line)
        match message["type"]:
            case "hello":
                self.ranks[peer] = message["rank"]
                self.pids[message["rank"]] = message["pid"]
            case "bye":
                self.well.add(self.ranks[peer])
            case "words":
                self.words[self.ranks[peer]] = message["words"]
            case "exit":
                self.exits[message["rank"]] = message["code"]
            case "trouble":
                self.trouble = message["words"]
            case _:
                return RECORD.validate_python(message)
        return None

    def request_stop(self) -> None:
        """Ask the ranks, once, to end after the sample at hand."""
        if not self.stopped:
            self.stopped = True
            for peer in self.ranks:
                with suppress(OSError):  # it has ended
                    peer.send({"type": "halt"})

    @property
    def over(self) -> bool:
        """Whether all processes have been collected."""
        return len(self.exits) == self.size

    @property
    def unwell(self) -> bool:
        """Whether a rank has failed, so that the others cannot go on for long."""
        return bool(self.words or self.trouble) or not self.well.issuperset([*self.left, *self.exits])

    @property
    def done(self) -> bool:
        """Whether every rank has reported a regular end."""
        return len(self.well) == self.size

    def ending(self) -> Ending | None:
        """How it ended.

        The first to die is one that left without a word: words often tell of another's end. One that was asked to go,
        or that left when the launching process did, comes last: that was somebody else's doing.
        """
        if self.done:  # one that says bye and then does not go, or fails to, has measured all the same
            return None
        silent = [rank for rank in [*self.left, *self.exits] if rank not in self.well and rank not in self.words]
        for rank in silent:
            if not self._terminated(rank) and (rank in self.exits or not self.trouble):
                return Ending("died", self._outcome(rank), rank)
        if self.words:
            rank, words = next(iter(self.words.items()))
            return Ending("died", words.strip().splitlines()[-1], rank)
        if silent and not self.trouble:
            return Ending("died", self._outcome(silent[0]), silent[0])
        return Ending("died", self.trouble or "no rank has come up")

    def outcomes(self) -> tuple[RankOutcome, ...]:
        """The outcome of each rank that has connected, or ended before."""
        ranks = sorted({*self.pids, *self.exits})
        return tuple(RankOutcome(rank=rank, outcome=self._account(rank), words=self._words(rank)) for rank in ranks)

    def _words(self, rank: int) -> str | None:
        return last(self.words.get(rank, ""))

    def _account(self, rank: int) -> str:
        if rank in self.well:
            return f"rank {rank} ended well"
        if rank in self.words:
            return f"rank {rank} failed"
        gone = rank in self.left or rank in self.exits
        return self._outcome(rank) if gone else f"rank {rank} was up"

    def _outcome(self, rank: int) -> str:
        code = self.exits.get(rank)
        return f"rank {rank} {'left without a word' if code is None else how_it_ended(code)}"

    def _terminated(self, rank: int) -> bool:
        """Whether a rank was asked to end, as the end of a run asks all processes, or ended with its fork server."""
        return rank in self.exits and self.exits[rank] in (-signal.SIGTERM, None)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of real time, most of which have no name
        return f"signal {number}"


def how_it_ended(code: int) -> str:
    """An exit code in words; it is minus the signal if a signal killed the process."""
    return f"left with exit code {code}" if code >= 0 else f"was killed by {_signal(-code)}"
