"""The state of a run's journal, and the cells that are missing."""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich.console import Console

from harness.common.errors import JournalError
from harness.device import fingerprint
from harness.journal.log import Journal
from harness.journal.plan import Case, Plan, Record, Side
from harness.journal.records import MEASURED, CellRecord, LaunchRecord, Status
from harness.journal.run_directory import RunDir, write_whole
from harness.planning.stopping_rule import StoppingRule

Todo = dict[int, tuple[Case, ...]]
"""Cases to measure, by the index of their comparison."""

HOPELESS = 2
"""A case that has failed in this many launches is not tried again: each failure may cost a deadline."""


@dataclass
class Ledger:
    """The state of a run's journal."""

    plan: Plan
    cells: dict[tuple[int, int, str], Status] = field(default_factory=dict)
    """The status of each cell, by launch, comparison and case."""
    by_design: set[tuple[int, int, str]] = field(default_factory=set)
    """Cells that the scenario itself skips."""
    failures: dict[tuple[str, int, str], dict[int, Status]] = field(default_factory=dict)
    """How a case failed, by launch; by the launches' side, comparison and case."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Gangs that have been up, by launch."""

    @cached_property
    def widths(self) -> StoppingRule:
        """Interval widths of the cases that the run is about."""
        return StoppingRule(self.plan)

    @cached_property
    def _shown(self) -> set[tuple[int, str]]:
        every = ((index, case) for index, comparison in enumerate(self.plan.comparisons) for case in comparison.cases)
        return {(index, case.key) for index, case in every if not (case.packed or case.probe)}

    def note(self, entry: Record) -> None:
        """Note one record. Raises JournalError for a launch that the plan cannot have."""
        if isinstance(entry, CellRecord | LaunchRecord) and not self.plan.holds(entry.launch):
            raise JournalError(f"launch {entry.launch} in the journal is beyond any that the plan may have")
        if isinstance(entry, CellRecord):
            self.cells[entry.launch, entry.comparison, entry.case] = entry.status
            if entry.by_design:
                self.by_design.add((entry.launch, entry.comparison, entry.case))
            failed = self._failed(entry.launch, entry.comparison, entry.case)
            failed.pop(entry.launch, None)
            if entry.status not in (*MEASURED, "skipped"):
                failed[entry.launch] = entry.status
            if (shown := (entry.comparison, entry.case)) in self._shown:
                self.widths.add(shown, entry)
        elif isinstance(entry, LaunchRecord):
            self.attempts[entry.launch] = self.attempts.get(entry.launch, 0) + 1

    def _failed(self, launch: int, comparison: int, case: str) -> dict[int, Status]:
        return self.failures.setdefault((self.plan.side_of(launch).name, comparison, case), {})

    def forgive(self) -> None:
        """Treat failed cells as missing, so that they are measured again."""
        self.failures.clear()
        self.cells = {cell: status for cell, status in self.cells.items() if status in (*MEASURED, "skipped")}

    def hopeless(self, launch: int, comparison: int, case: str) -> str | None:
        """Why a case is not tried in a launch: it has failed in several before. None if it is tried."""
        failed = self._failed(launch, comparison, case)
        if len(failed) < HOPELESS:
            return None
        failures = ", ".join(f"{status} in launch {number}" for number, status in sorted(failed.items()))
        return f"not tried again after it ended as {failures}; --retry-failed does"

    def missing(self, launch: int, but: Collection[tuple[int, str]] = ()) -> Todo:
        """The cases of a launch without a cell, or skipped though not hopeless; without those in ``but``."""
        todo: dict[int, list[Case]] = {}
        for number, index, case in self.plan.cells(launch + 1):
            if number != launch or (index, case.key) in but:
                continue
            status = self.cells.get((launch, index, case.key))
            if (launch, index, case.key) in self.by_design:
                continue
            if status is None or (status == "skipped" and not self.hopeless(launch, index, case.key)):
                todo.setdefault(index, []).append(case)
        return {index: tuple(cases) for index, cases in todo.items()}

    @property
    def begun(self) -> set[int]:
        """Launches with any record."""
        return {*self.attempts, *(launch for launch, _, _ in self.cells)}

    @property
    def complete(self) -> bool:
        """Whether every planned cell is ok or skipped by design, and of each launch that was added."""
        launches = max([self.plan.launches, *(launch + 1 for launch in self.begun)])
        cells = self.plan.cells(launches)
        return all(
            self.cells.get((launch, index, case.key)) in MEASURED or (launch, index, case.key) in self.by_design
            for launch, index, case in cells
        )


def opened(run: RunDir, console: Console) -> Journal:
    """The journal of a run; says so where its last line was torn, or where no lock keeps other runs out of it.

    Raises UsageError and JournalError as it does.
    """
    journal = Journal(run.journal_path)
    if journal.unlocked:
        text = f"{run.root} cannot be locked ({journal.unlocked}): let no other run write there meanwhile"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if journal.torn_bytes:
        text = f"{journal.path} ended within a line: its {journal.torn_bytes} bytes are kept in {journal.torn_path}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return journal


def fingerprints(run: RunDir, plan: Plan) -> dict[str, str]:
    """Write environment.json: the first side's, and what the others have otherwise. Returns each side's hash."""
    first, *others = ((side.name, _described(side, plan)) for side in plan.sides)
    described = first[1] | (
        {"sides": {name: fingerprint.differences(first[1], description) for name, description in others}}
        if others
        else {}
    )
    write_whole(run.environment_path, json.dumps(described, indent=1) + "\n")
    return {name: str(description["hash"]) for name, description in (first, *others)}


def note_hosts(run: RunDir, plan: Plan, record: Record) -> None:
    """Have environment.json say what a gang's hosts are, where they are others than the one that it was written on."""
    if not isinstance(record, LaunchRecord) or plan.side_of(record.launch) != plan.sides[0]:
        return
    if record.hosts or record.environment:
        hosts = {host: differing or "alike" for host, differing in record.hosts.items()}
        described = {name: fact for name, fact in (record.environment or {}).items() if name != "git"}
        with suppress(OSError, ValueError):  # the journal has it too
            environment = json.loads(run.environment_path.read_bytes())
            environment |= described | {"hosts": hosts, "hash": record.fingerprint}
            write_whole(run.environment_path, json.dumps(environment, indent=1) + "\n")


def _described(side: Side, plan: Plan) -> dict[str, Any]:
    differs = side.python or side.variables
    return (
        fingerprint.described_by(side, plan.devices, fingerprint.code_of(plan))
        if differs
        else fingerprint.describe(plan.devices)
    )
