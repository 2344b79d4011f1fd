"""What a run directory holds, read once: the plan, who ran it, and the last word on every planned cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from harness import lines
from harness.errors import JournalError
from harness.journal import CellRecord, LaunchRecord, ProfileRecord, Status
from harness.plan import Case, Comparison, Plan, Side
from harness.rundir import RunDir
from reports.layouts import Layout, layouts
from reports.machine import environment
from reports.taken import Taken, parse

State = Status | Literal["missing"]
"""What became of a planned cell, as reports tell it: a status of the journal, or none was ever written."""

WORST_FIRST: tuple[State, ...] = ("wrong", "died", "hang", "oom", "error", "skipped", "missing", "ok")
"""Of several launches' states, the first of these stands for the case."""

CaseId = tuple[int, str]
"""Index of the comparison, and the case's key: a case of a run."""


@dataclass(frozen=True)
class Cell:
    """A planned case in one launch, and its last record, if it has any."""

    launch: int
    comparison: int
    case: Case
    record: CellRecord | None
    """Without its samples."""
    taken: Taken | None
    """Its samples, where it has any."""

    @property
    def state(self) -> State:
        """What became of it."""
        return "missing" if self.record is None else self.record.status


@dataclass(frozen=True)
class Evidence:
    """Everything that a report may be built from."""

    plan: Plan
    launched: dict[int, LaunchRecord]
    """The last gang of each launch."""
    records: dict[tuple[int, int, str], CellRecord]
    """By launch, comparison and case, without their samples: of several records the last one holds."""
    taken: dict[tuple[int, int, str], Taken]
    """Their samples."""
    environment: dict[str, Any] | None
    """What environment.json says."""
    side: Side
    """Whose launches are asked about; those of a run's other sides are left out, but for ``all_cells``."""
    all_gangs: tuple[LaunchRecord, ...]
    """Every gang that was up, of every side; of a renewed launch all."""
    wall_s: dict[int, float]
    """From the order to launch until its last process had ended, by launch; of a renewed one all gangs together."""
    profiles: dict[CaseId, ProfileRecord]
    """Of the cases that were traced, or should have been."""

    def of(self, side: Side) -> Evidence:
        """The same run, as another side saw it."""
        return replace(self, side=side)

    @cached_property
    def launches(self) -> int:
        """How many launches all sides together should have: the plan's, or more where more were added."""
        seen = [*self.launched, *(launch for launch, _, _ in self.records)]
        return max([self.plan.launches, *(launch + 1 for launch in seen)])

    @cached_property
    def gangs(self) -> dict[int, LaunchRecord]:
        """The last gang of each of the side's launches."""
        mine = (launch for launch in sorted(self.launched) if self.plan.side_of(launch) == self.side)
        return {launch: self.launched[launch] for launch in mine}

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """How the ranks of the side's gangs were spread over hosts, each way once; the first gang's first."""
        return layouts(gang for gang in self.all_gangs if self.plan.side_of(gang.launch) == self.side)

    @cached_property
    def all_cells(self) -> tuple[Cell, ...]:
        """Every planned cell of every side, launch by launch, in the order of the plan."""
        return tuple(
            Cell(launch, index, case, self.records.get((launch, index, key)), self.taken.get((launch, index, key)))
            for launch, index, case in self.plan.cells(self.launches)
            for key in (case.key,)
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Those of the side's launches."""
        mine = {launch for launch in range(self.launches) if self.plan.side_of(launch) == self.side}
        return tuple(cell for cell in self.all_cells if cell.launch in mine)

    @cached_property
    def by_case(self) -> dict[CaseId, list[Cell]]:
        """The cells of each case, a launch each."""
        found: dict[CaseId, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault((cell.comparison, cell.case.key), []).append(cell)
        return found

    def state(self, case: CaseId) -> State:
        """The worst state of a case over its launches."""
        return min((cell.state for cell in self.by_case[case]), key=WORST_FIRST.index)

    def has_times(self, case: CaseId) -> bool:
        """Whether a case may show times: never where any launch found its output wrong."""
        return self.state(case) != "wrong"

    def cases(self) -> Iterator[tuple[CaseId, Comparison, Case]]:
        """Every planned case once, with its comparison."""
        for index, comparison in enumerate(self.plan.comparisons):
            for case in comparison.cases:
                yield (index, case.key), comparison, case


def load(run: RunDir) -> Evidence:
    """Read a run directory. Raises UsageError or JournalError where it cannot be read as one."""
    gangs: list[LaunchRecord] = []
    records: dict[tuple[int, int, str], CellRecord] = {}
    samples: dict[tuple[int, int, str], Taken] = {}
    wall_s: dict[int, float] = {}
    profiles: dict[CaseId, ProfileRecord] = {}
    plan = run.plan()
    for entry, taken in lines.read_by(parse, run.journal_path):
        if entry.type != "profile" and not plan.holds(entry.launch):
            raise JournalError(f"{run.journal_path}: launch {entry.launch} is beyond any that the plan may have")
        if entry.type == "launch":
            gangs.append(entry)
        elif entry.type == "cell":
            place = entry.launch, entry.comparison, entry.case
            records[place] = entry
            samples.pop(place, None)
            if taken is not None and taken.count:
                samples[place] = taken
        elif entry.type == "end":
            wall_s[entry.launch] = wall_s.get(entry.launch, 0.0) + entry.wall_s
        elif entry.type == "profile":
            profiles[entry.comparison, entry.case] = entry
    launched = {gang.launch: gang for gang in gangs}
    told, first = environment(run), plan.sides[0]
    return Evidence(plan, launched, records, samples, told, first, tuple(gangs), wall_s, profiles)
