"""What became of each planned case over all launches: packed copies and probes too, for they can fail as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reports import failures, units
from reports.document import Planned, Summary
from reports.evidence import WORST_FIRST, State


@dataclass(frozen=True)
class Fate:
    """A planned case and its cells, a launch each."""

    comparison: int
    key: str
    cells: Sequence[Planned]

    @cached_property
    def status(self) -> State:
        """The worst of all launches."""
        return min((cell.status for cell in self.cells), key=WORST_FIRST.index)

    @property
    def told(self) -> str:
        """In how many launches that happened, and what the first failing rank said."""
        bad = [cell for cell in self.cells if cell.status == self.status]
        who = f"rank {bad[0].rank}: " if bad[0].rank is not None else ""
        message = f" ({who}{failures.quoted(bad[0].message)})" if bad[0].message else ""
        return f"{self.status} in {len(bad)} of {units.count(len(self.cells), 'launch', 'launches')}{message}"


def fates(summary: Summary) -> tuple[Fate, ...]:
    """Every planned case once, in the order of the plan."""
    found: dict[tuple[int, str], list[Planned]] = {}
    for cell in summary.strip:
        found.setdefault((cell.comparison, cell.case), []).append(cell)
    return tuple(Fate(comparison, key, cells) for (comparison, key), cells in found.items())
