"""What a launcher is, and what the parent of a run knows of one gang of ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from pydantic import TypeAdapter

from harness.journal.plan import Record
from harness.journal.protocol import Order, RankNote, ScriptNote, TraceNote, VisitNote, WarmNote
from harness.journal.records import Entry, RankOutcome, Status

Hear = Callable[[Record], None]
"""Gets each record of a launch as it comes."""

RECORD: TypeAdapter[Record] = TypeAdapter(Entry | VisitNote | TraceNote | RankNote | WarmNote | ScriptNote)


def record_of(line: str | bytes) -> Record:
    """One line of a rank's as the record or note that it is. Raises pydantic.ValidationError."""
    return RECORD.validate_json(line)


@dataclass(frozen=True)
class Ending:
    """A launch that did not end well: who failed first, and how. Skipped: there were no devices to launch it on."""

    status: Status
    message: str
    rank: int | None = None
    outcomes: tuple[RankOutcome, ...] = ()
    """What became of each rank, the one that failed first among them."""


class Launcher(Protocol):
    """Runs gangs of processes, one after the other."""

    @property
    def waited_s(self) -> float:
        """Seconds in which it has waited for devices that others used: they are not on the run's budget."""
        return 0.0

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order and pass its records to ``hear``. Returns None when every rank ended well."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None:
        """Leave no process behind."""
