"""The scribe: rank 0 of somebody's torchrun, which keeps the run directory."""

from __future__ import annotations

from rich.console import Console

from harness.clocks import now
from harness.errors import UsageError
from harness.files import SCRATCH
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

    def __init__(self, run: RunDir, plan: Plan, console: Console) -> None:
        self._run = run
        self._plan = plan
        self._console = console
        self.failed = False
        self._done: set[tuple[int, str]] = set()
        self._visiting: tuple[int, str] | None = None

    def open(self) -> tuple[Order | None, tuple[str, str, object, str] | None]:
        """Create or extend the run directory; the launch to measure, or the refusal that all ranks raise."""
        try:
            return self._open(), None
        except UsageError as error:
            return None, error.told

    def _open(self) -> Order:
        if not self._run.exists():
            self._run.create(self._plan)
        elif self._run.plan().identity != self._plan.identity:
            raise UsageError("--out", "hold no other plan", self._run.root, "choose another folder")
        self._journal = opened(self._run, self._console)
        ledger = Ledger(self._plan)
        for entry in self._run.entries():
            ledger.note(entry)
        launch = max(ledger.attempts, default=-1) + 1
        self._progress = Progress(self._plan, self._console)
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
        self.profiles = Profiling(self._run, self._plan, self._journal, self._progress.watch)
        return self.profiles.order(str(self._run.root.resolve() / SCRATCH))

    def record(self, record: Record) -> None:
        """Write down what the ranks tell."""
        if isinstance(record, VisitNote):
            self._visiting = record.comparison, record.case
        else:
            self._journal.append(record)
        if isinstance(record, CellRecord):
            self._done.add((record.comparison, record.case))
            self.failed |= record.status != "ok"
        self._progress.watch(record)

    def mourn(self, order: Order, error: Exception) -> None:
        """Give every case of a lost launch a cell: the one that was visited died, and the others were not reached."""
        if self._visiting and self._visiting not in self._done:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._cell(order.launch, *self._visiting, "died", reason)
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
        self._journal.append(EndRecord(launch=launch, wall_s=round(now() - self._start_s, 3)))
        self._journal.close()
