"""The interface of launchers, and the outcome of one gang of ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from pydantic import TypeAdapter

from harness.journal.plan import Record
from harness.journal.protocol import Order, RankNote, ScriptNote, TraceNote, VisitNote, WarmNote
from harness.journal.records import Entry, RankOutcome, Status

Hear = Callable[[Record], None]
"""Receives each record of a launch when it arrives."""

RECORD: TypeAdapter[Record] = TypeAdapter(Entry | VisitNote | TraceNote | RankNote | WarmNote | ScriptNote)


def record_of(line: str | bytes) -> Record:
    """Parse one line of a rank's as a record or note. Raises pydantic.ValidationError."""
    return RECORD.validate_json(line)


@dataclass(frozen=True)
class Ending:
    """A launch that did not end well: who failed first, and how. Skipped: there were no devices to launch it on."""

    status: Status
    message: str
    rank: int | None = None
    outcomes: tuple[RankOutcome, ...] = ()
    """The outcome of each rank, including the one that failed first."""


class Launcher(Protocol):
    """Runs gangs of processes, one after the other."""

    @property
    def waited_s(self) -> float:
        """Seconds of waiting for devices that others used: they do not count against the run's budget."""
        return 0.0

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order and pass its records to ``hear``. Returns None when every rank ended well."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None:
        """End all processes."""
