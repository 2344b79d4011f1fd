"""The supervisor: owns the journal of a run, and launches gangs until no planned cell is missing."""

import time
from collections.abc import Iterable, Mapping
from itertools import count

from harness.journal.log import Journal
from harness.journal.plan import Plan, Precision, Record
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import BeginRecord, CellRecord, EndRecord, Entry, LaunchRecord
from launch.launcher import Ending, Hear, Launcher
from launch.processes.scratch import clear
from launch.supervision.run_state import Ledger, Todo
from launch.supervision.stop_signals import Interrupt

OVERSHOOT = 1.5
"""A budget that the user set may be exceeded by half; the rest of the launches is then skipped."""
FUTILE = 2
"""A launch is given up after this many gangs in a row without a single cell."""


class Supervisor:
    """Measures the missing cells of a plan."""

    def __init__(  # noqa: PLR0913
        self,
        plan: Plan,
        journal: Journal,
        so_far: Iterable[Entry],
        watch: Hear,
        *,
        fingerprints: Mapping[str, str],
        scratch: str,
        retry_failed: bool = False,
        interrupt: Interrupt | None = None,
    ) -> None:
        """``watch`` is told every record and note, for the progress; scenarios' files go to the folder ``scratch``.

        ``fingerprints`` has the hash of each side's environment. ``retry_failed``: what failed is measured again.
        ``interrupt`` tells when to end early.
        """
        self.ledger = Ledger(plan)
        for entry in so_far:
            self.ledger.note(entry)
        if retry_failed:
            self.ledger.forgive()
        self._plan = plan
        self._journal = journal
        self._fingerprints = fingerprints
        self._scratch = scratch
        self._interrupt = interrupt or Interrupt()
        self._watch = watch
        self._visiting: VisitNote | None = None
        self._fruitful = False
        self._told: set[tuple[int, str]] = set()
        """Cells of this launch that gangs have sent: a skipped one is not given to the next gang."""
        self._overhead_s = 0.0
        """Time that the last gang's processes took to start and to end, besides measuring."""
        self._ready_s = self._last_s = time.monotonic()

    def run(self, launchers: Mapping[str, Launcher]) -> bool:
        """Launch, by each side's launcher, until nothing is missing or the budget is spent.

        Returns whether every planned cell is ok.
        """
        begun_s = time.monotonic()
        end_s = begun_s + self._plan.budget_s
        pending = [launch for launch in range(self._plan.launches) if self.ledger.missing(launch)]
        for done, launch in enumerate(pending):
            start_s = time.monotonic()
            left_s = end_s - start_s
            if self._plan.strict and left_s < (1 - OVERSHOOT) * self._plan.budget_s:
                self._skip(launch, start_s - begun_s)
                continue
            launcher = launchers[self._plan.side_of(launch).name]
            waited_s = launcher.waited_s
            self._finish(launch, launcher, start_s + left_s / (len(pending) - done))
            end_s += launcher.waited_s - waited_s
        if self._plan.precision:
            self._refine(launchers, self._plan.precision, begun_s)
        return self.ledger.complete

    def _refine(self, launchers: Mapping[str, Launcher], wanted: Precision, begun_s: float) -> None:
        """Add blocks of launches, one of each side, until intervals are narrow enough or the time is up."""
        sides, longest_s = len(self._plan.sides), self._plan.launch_budget_s * len(self._plan.sides)
        for first in count(self._plan.launches, sides):
            block_s = time.monotonic()
            begun = any(launch in self.ledger.begun for launch in range(first, first + sides))
            if not self._plan.holds(first + sides - 1):
                return
            if not begun and (
                self.ledger.widths.within(wanted.fraction) or block_s - begun_s + longest_s > wanted.limit_s
            ):
                return
            for launch in range(first, first + sides):
                launcher = launchers[self._plan.side_of(launch).name]
                if not self._finish(launch, launcher, time.monotonic() + self._plan.launch_budget_s):
                    return
            longest_s = max(longest_s, time.monotonic() - block_s)

    def _finish(self, launch: int, launcher: Launcher, end_s: float) -> bool:
        """Start gangs for one launch until each of its cases has a cell. Returns False if there were no devices."""
        futile = 0
        self._told = set()
        self._give_up(launch)
        while todo := self.ledger.missing(launch, self._told):
            start_s = time.monotonic()
            order = Order(
                plan=self._plan,
                launch=launch,
                attempt=self.ledger.attempts.get(launch, 0),
                todo=todo,
                budget_s=max(0.0, end_s - start_s - self._overhead_s),
                fingerprint=self._fingerprints[self._plan.side_of(launch).name],
                scratch=self._scratch,
            )
            self._fruitful = False
            self._visiting = None
            self._ready_s = self._last_s = start_s
            if ending := launcher.launch(order, self._hear):
                if ending.status == "skipped" and self._interrupt.asked:
                    raise KeyboardInterrupt(self._interrupt.signal)
                if ending.status == "skipped":
                    self._write_off(launch, todo, ending)
                    return False
                if not (self._interrupt.asked and ending.status == "died"):  # a scheduler may signal the ranks, too
                    self._write_lost(launch, ending)
                clear(self._scratch)
            end_of_gang_s = time.monotonic()
            self._interrupt.heeded = False
            self._overhead_s = self._ready_s - start_s + end_of_gang_s - self._last_s
            self._record(EndRecord(launch=launch, wall_s=round(end_of_gang_s - start_s, 3)))
            if self._interrupt.asked:
                raise KeyboardInterrupt(self._interrupt.signal)
            futile = 0 if self._fruitful else futile + 1
            if futile == FUTILE:
                ending = ending or Ending("error", "the gang ended well but reported nothing")
                self._write_off(launch, todo, ending)
        return True

    def _give_up(self, launch: int) -> None:
        """Write cells for the cases that have failed too often."""
        for index, cases in self.ledger.missing(launch).items():
            for case in cases:
                if why := self.ledger.hopeless(launch, index, case.key):
                    self._write_off(launch, {index: (case,)}, Ending("skipped", why))

    def _hear(self, record: Record) -> None:
        self._last_s = time.monotonic()
        if isinstance(record, LaunchRecord):
            self._ready_s = self._last_s
            self._interrupt.heeded = True
        if isinstance(record, VisitNote):
            self._visiting = record
            self._watch(record)
        else:
            self._record(record)

    def _record(self, record: Record) -> None:
        record = self._journal.append(record)
        self.ledger.note(record)
        if isinstance(record, CellRecord):
            self._fruitful = True
            self._told.add((record.comparison, record.case))
        self._watch(record)

    def _write_lost(self, launch: int, ending: Ending) -> None:
        """Write the cell of the case that a lost gang was visiting; the next gang measures the others."""
        if self._visiting and (launch, self._visiting.comparison, self._visiting.case) not in self.ledger.cells:
            self._cell(launch, self._visiting.comparison, self._visiting.case, ending)

    def _write_off(self, launch: int, todo: Todo, ending: Ending) -> None:
        for index, cases in todo.items():
            for case in cases:
                self._record(BeginRecord(launch=launch, comparison=index, case=case.key))
                self._cell(launch, index, case.key, ending)

    def _skip(self, launch: int, spent_s: float) -> None:
        remedy = "--resume goes on with as much again; else raise --budget, or measure less"
        spent = Ending("skipped", f"the budget of {self._plan.budget_s:g} s was spent after {spent_s:.0f} s: {remedy}")
        self._write_off(launch, self.ledger.missing(launch), spent)

    def _cell(self, launch: int, comparison: int, case: str, ending: Ending) -> None:
        self._record(
            CellRecord(
                launch=launch,
                comparison=comparison,
                case=case,
                status=ending.status,
                rank=ending.rank,
                message=ending.message,
                outcomes=ending.outcomes,
            )
        )
