"""What was watched of a case's messages: each rank's work and waiting, and what that says of balance and overlap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.journal.records import MEASURED, CollectiveKind, CollectiveTimes, RankFacts, Traffic
from reports.reading.run import CaseId
from reports.schema.cases import MessageRow
from reports.statistics.measured import Measured

Array = npt.NDArray[np.float64]
Basis = Literal["collectives", "times", "nothing"]


@dataclass(frozen=True)
class Watch:
    """One case's watched samples in one launch; arrays are [rank, sample], seconds of one step."""

    work_s: Array
    wait_s: Array
    transfer_s: Array
    hidden_s: Array | None
    """None in older journals."""
    collectives: float
    """In a step, median over samples."""
    bytes: tuple[float, ...] | None
    """Of a step's watched messages, on each rank; None where the journal does not have them."""
    kinds: tuple[CollectiveKind, ...]

    @classmethod
    def of(cls, waits: CollectiveTimes) -> Watch:
        """What the journal has."""
        work, wait, transfer = (np.array(values) for values in (waits.work_s, waits.wait_s, waits.transfer_s))
        hidden = None if waits.hidden_s is None else np.array(waits.hidden_s)
        return cls(work, wait, transfer, hidden, float(np.median(waits.collectives)), waits.bytes, waits.kinds)

    @property
    def step_s(self) -> float:
        """A step of the slowest rank, median over samples."""
        return float(np.median((self.work_s + self.wait_s + self.transfer_s).max(axis=0)))

    @property
    def exposed_s(self) -> float:
        """By how much the slowest rank's step exceeds the busiest rank's work, median over samples."""
        steps_s = (self.work_s + self.wait_s + self.transfer_s).max(axis=0)
        return float(np.median(steps_s - self.work_s.max(axis=0)))

    @property
    def mean_work_s(self) -> float:
        """The mean over ranks of their own work, median over samples."""
        return float(np.median(self.work_s.mean(axis=0)))

    @property
    def most_work_s(self) -> float:
        """The busiest rank's own work, median over samples."""
        return float(np.median(self.work_s.max(axis=0)))


def watches(measured: Measured, key: CaseId) -> dict[int, Watch]:
    """What was watched of a case, by launch; empty where its gang did no collective, or none could be watched."""
    if not measured.evidence.has_times(key):
        return {}
    cells = (cell for cell in measured.evidence.by_case[key] if cell.record and cell.state in MEASURED)
    times = {cell.launch: cell.record.waits for cell in cells if cell.record}
    return {launch: Watch.of(waits) for launch, waits in times.items() if waits and any(waits.collectives)}


def basis(measured: Measured, key: CaseId, watched: Mapping[int, Watch]) -> Basis:
    """What separates a case's work from its waiting.

    Messages that were counted and not watched make ranks wait unseen: then nothing separates the two.
    """
    counted = [fact.traffic_bytes for fact in measured.facts(key)]
    if watched:
        return "collectives" if all(_all_seen(watch, counted) for watch in watched.values()) else "nothing"
    return "nothing" if any(counted) else "times"


def _all_seen(watch: Watch, counted: Sequence[int]) -> bool:
    """Whether the watched messages are all that the step was counted to send, on every rank and to the byte."""
    if watch.bytes is None or len(watch.bytes) != len(counted):
        return False
    return all(abs(seen - sent) < 1 for seen, sent in zip(watch.bytes, counted, strict=True))


def by_launch(watched: Mapping[int, Watch], value: Callable[[Watch], float]) -> pd.Series[float]:
    """A value of each launch."""
    index = pd.Index(list(watched), name="launch", dtype=int)
    return pd.Series([value(watch) for watch in watched.values()], index=index, dtype=float)


def per_rank(watched: Mapping[int, Watch], part: Callable[[Watch], Array]) -> tuple[float, ...]:
    """Each rank's seconds in a step: median over launches of the median over samples."""
    medians = np.array([np.median(part(watch), axis=1) for watch in watched.values()])
    return tuple(float(value) for value in np.median(medians, axis=0))


def message_rows(measured: Measured, key: CaseId) -> tuple[MessageRow, ...]:
    """A step's messages by kind and size of group: what the rank that carries most of them sends, and how long."""
    launches = [cell for cell in measured.evidence.by_case[key] if cell.record and cell.state in MEASURED]
    facts = next((cell.record.facts for cell in launches if cell.record and cell.record.facts), ())
    watched = watches(measured, key)
    return tuple(_message_row(message, watched) for message in _most(facts))


def _most(facts: Sequence[RankFacts]) -> list[Traffic]:
    """Of each kind and size of group the traffic of the rank that carries most."""
    most: dict[tuple[str, int], Traffic] = {}
    for message in (message for fact in facts for message in fact.messages):
        key = message.kind, message.group_size
        if key not in most or message.bytes > most[key].bytes:
            most[key] = message
    return [most[key] for key in sorted(most)]


def _message_row(traffic: Traffic, watched: Mapping[int, Watch]) -> MessageRow:
    kinds = [
        kind
        for watch in watched.values()
        for kind in watch.kinds
        if (kind.kind, kind.group_size) == (traffic.kind, traffic.group_size)
    ]
    return MessageRow(
        **traffic.model_dump(exclude={"bytes"}),
        under_way_s=float(np.median([np.median(kind.under_way_s) for kind in kinds])) if kinds else None,
        exposed_s=float(np.median([np.median(kind.exposed_s) for kind in kinds])) if kinds else None,
    )
