"""Rows of history.json: several runs of one fingerprint, and each case through all of them."""

from typing import Literal

from pydantic import ConfigDict, Field

from harness.journal.plan import Record, Value
from reports.reading.run import Spread, State

SCHEMA = 1
Direction = Literal["faster", "slower", "together", "unknown"]


class HistoryRun(Record):
    """One of the runs, the oldest first."""

    name: str
    """Its directory's."""
    started: str | None
    version: str
    commit: str | None
    """Of the code that it was started from."""
    launches: int
    counts: dict[str, int]
    """Planned cells, and how many ended in each state."""


class HistoryPoint(Record):
    """One case in one run."""

    run: int
    """Among the runs."""
    status: State
    seconds: float
    """Time of one step."""
    low_s: float | None
    high_s: float | None
    launches: int


class HistorySeries(Record):
    """One case through all runs that have a time of it."""

    key: str
    scenario: str
    params: dict[str, Value]
    variant_field: str | None
    variant: str | None
    world_size: int
    launcher: str
    ranks_per_host: Spread
    points: tuple[HistoryPoint, ...]
    """Oldest first."""
    change: float | None
    """The last run's time over that of the one before it; None where the last run has none, or no other has one."""
    direction: Direction
    """Whether their intervals lie apart, and to which side; unknown without intervals. It is no verdict."""


class History(Record):
    """history.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    headline: str
    fingerprint: str
    regime: dict[str, str]
    device_names: tuple[str, ...]
    runs: tuple[HistoryRun, ...]
    series: tuple[HistorySeries, ...]
    """By scenario and parameters, variant by variant."""

    def to_json(self) -> str:
        """The text of history.json."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
