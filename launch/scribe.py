"""The scribe: rank 0 of somebody's torchrun, which keeps the run directory."""

from __future__ import annotations

import os

from rich.console import Console

from harness import sources
from harness.clocks import now
from harness.errors import FullError, RankbenchError, UsageError, first_line
from harness.files import SCRATCH
from harness.halt import Halt
from harness.journal import CellRecord, EndRecord, Status
from harness.messages import Order, VisitNote
from harness.plan import Plan, Record
from harness.rundir import RunDir
from launch.files import fingerprints, opened
from launch.ledger import Ledger, Todo
from launch.profiling import Profiling
from launch.progress import Progress


class Scribe:
    """One launch in the run directory."""

    def __init__(self, run: RunDir, plan: Plan, console: Console, halt: Halt) -> None:
        """``halt`` is asked for where the journal takes no more."""
        self._halt = halt
        self._run = run
        self._plan = plan
        self._console = console
        self.failed = False
        self.full: FullError | None = None
        """Why nothing more is written down: it is for the end, for until then the ranks have to agree."""
        self._done: set[tuple[int, str]] = set()
        self._visiting: tuple[int, str] | None = None

    def open(self) -> Order | RankbenchError:
        """Create or extend the run directory; the launch to measure, or the refusal that all ranks raise."""
        try:
            return self._open()
        except RankbenchError as error:
            return error
        except OSError as error:
            remedy = "make it so, or choose another"
            return UsageError("--out", "be writable", f"{self._run.root} ({error.strerror})", remedy)

    def _open(self) -> Order:
        if not self._run.exists():
            self._run.create(self._plan)
        elif (planned := self._run.plan()).identity != self._plan.identity:
            if names := sources.changed(planned.comparisons, self._plan.comparisons):
                rule, value = "hold launches of the same code", f"{self._run.root}, where {names[0]} had another"
                raise UsageError("--out", rule, value, "choose another folder")
            raise UsageError("--out", "hold no other plan", self._run.root, "choose another folder")
        self._journal = opened(self._run, self._console)
        ledger = Ledger(self._plan)
        for entry in self._run.entries():
            ledger.note(entry)
        launch = max(ledger.attempts, default=-1) + 1
        self._progress = Progress(self._plan, self._console)
        self._progress.warn(int(os.environ.get("LOCAL_WORLD_SIZE", "1")) * self._plan.threads)
        self._start_s = now()
        return Order(
            plan=self._plan,
            launch=launch,
            attempt=0,
            todo=self._promising(ledger, launch),
            budget_s=self._plan.launch_budget_s,
            fingerprint=fingerprints(self._run, self._plan)[self._plan.sides[0].name],
            scratch=str(self._run.root.resolve() / SCRATCH),
        )

    def _promising(self, ledger: Ledger, launch: int) -> Todo:
        """The planned cases but for those that have failed too often, which are skipped."""
        todo: Todo = {}
        for index, comparison in enumerate(self._plan.comparisons):
            told = [(case, ledger.hopeless(launch, index, case.key)) for case in comparison.cases]
            for case, why in told:
                if why:
                    self._cell(launch, index, case.key, "skipped", why)
            if cases := tuple(case for case, why in told if not why):
                todo[index] = cases
        return todo

    def profiling(self) -> Order | None:
        """What is to be traced beside: each case once, in the first launch that has measured it."""
        self._progress.profiling()
        if self.full:
            return None
        self.profiles = Profiling(self._run, self._plan, self._journal, self._progress.watch)
        return self.profiles.order(str(self._run.root.resolve() / SCRATCH))

    def record(self, record: Record) -> None:
        """Write down what the ranks tell, for as long as it can be."""
        if self.full:
            return
        if isinstance(record, VisitNote):
            self._visiting = record.comparison, record.case
        else:
            try:
                record = self._journal.append(record)
            except FullError as error:
                self.full, self.failed, self._halt.asked = error, True, True
                return
        if isinstance(record, CellRecord):
            self._done.add((record.comparison, record.case))
            self.failed |= record.status != "ok"
        self._progress.watch(record)

    def mourn(self, order: Order, error: Exception) -> None:
        """Give every case of a lost launch a cell: the one that was visited died, and the others were not reached."""
        if self._visiting and self._visiting not in self._done:
            self._cell(order.launch, *self._visiting, "died", first_line(error))
        self.skip_rest(order, "a rank or a node was lost before")

    def skip_rest(self, order: Order, why: str) -> None:
        """Give every case that has no cell one that says why."""
        for index, cases in order.todo.items():
            for case in cases:
                if (index, case.key) not in self._done:
                    self._cell(order.launch, index, case.key, "skipped", why)

    def _cell(self, launch: int, comparison: int, case: str, status: Status, message: str) -> None:
        self.record(CellRecord(launch=launch, comparison=comparison, case=case, status=status, message=message))

    def close(self, launch: int) -> None:
        """The launch is over."""
        self.record(EndRecord(launch=launch, wall_s=round(now() - self._start_s, 3)))
        self._journal.close()
