"""A launch by the ranks of somebody's torchrun: each invocation is one more launch of the run directory."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import nullcontext
from typing import Self

from rich.console import Console

from harness.common.errors import CollectiveError, FullError, GangLostError, JournalError, RankbenchError, UsageError
from harness.common.signals import die, handle, name_of
from harness.common.startup import ranks_around
from harness.common.text import first_line, harmless
from harness.device.timing import now
from harness.journal.plan import Plan, Record
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import CellRecord, EndRecord, Status
from harness.journal.run_directory import SCRATCH, RunDir
from harness.measure import worker
from harness.plugins import source_digest
from harness.world import world
from harness.world.control import StopRequest
from launch.processes.network import own_address, stay_within_this_host, tell_gloo
from launch.processes.scratch import scratch
from launch.progress import Progress
from launch.supervision.profiling import Profiling
from launch.supervision.run_state import Ledger, Todo, fingerprints, opened
from launch.supervision.stop_signals import Interrupt


class ExternalJournal:
    """One launch in the run directory."""

    def __init__(self, run: RunDir, plan: Plan, console: Console, stop_request: StopRequest) -> None:
        """``stop_request`` is asked for where the journal takes no more."""
        self._stop_request = stop_request
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
            if names := source_digest.changed(planned.comparisons, self._plan.comparisons):
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
                self.full, self.failed, self._stop_request.asked = error, True, True
                return
        if isinstance(record, CellRecord):
            self._done.add((record.comparison, record.case))
            self.failed |= record.status != "ok"
        self._progress.watch(record)

    def write_lost(self, order: Order, error: Exception) -> None:
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


ONE_S = 10.0
"""Signals within so long are one: a terminal sends its to every rank and to torchrun, which passes it on."""
SPOILED = "a case before it failed on a GPU, which ends the processes; start them again, or use --resume"


class Refusal(Record):
    """Why rank 0 has no order for the others, who raise the same error."""

    kind: str
    """The name of its class."""
    words: tuple[str, ...]

    @classmethod
    def of(cls, error: RankbenchError) -> Self:
        """What an error says, part by part."""
        parts = error.told if isinstance(error, UsageError) else (error,)
        return cls(kind=type(error).__name__, words=tuple(map(str, parts)))

    @property
    def error(self) -> RankbenchError:
        """The error again, of its kind where whoever catches it tells that from others."""
        if self.kind == "UsageError":
            return UsageError(*self.words)
        kinds = {kind.__name__: kind for kind in (JournalError, FullError)}
        return kinds.get(self.kind, RankbenchError)(*self.words)


def joined(run: RunDir, plan: Plan, console: Console) -> bool:
    """As a rank of somebody's torchrun: add one launch to the run directory. Returns whether its cells are ok.

    That is the first rank's of each host to tell: torchrun ends all others there once one has failed, and rank 0 has a
    report to write. For the same reason signals, which torchrun passes on, are requests while it measures: to end after
    what is at hand, and report. Raises KeyboardInterrupt where that was done.
    """
    first = os.environ["LOCAL_RANK"] == "0"
    try:
        return _joined(run, plan, console) or not first
    except (GangLostError, CollectiveError, RuntimeError) as error:  # the last ones: before or after the launch
        print(f"rankbench: rank {os.environ['RANK']}: {harmless(first_line(error))}", file=sys.stderr)  # noqa: T201
        return not first


def _joined(run: RunDir, plan: Plan, console: Console) -> bool:
    with world.joined(plan, _own_device(plan)) as here:
        here.control.stop_request = interrupt = Interrupt()
        here.replaced = False
        journal_writer = ExternalJournal(run, plan, console, here.control.stop_request) if here.rank == 0 else None
        order = here.control.gather(_reply(journal_writer) if journal_writer else None, Order | Refusal | None)[0]
        if isinstance(order, Refusal):
            raise order.error
        _heed(interrupt)
        try:
            with scratch(run.root) if os.environ["LOCAL_RANK"] == "0" else nullcontext():
                fit = worker.run(order, here, journal_writer.record if journal_writer else _ignore)
                if journal_writer and not fit:
                    journal_writer.skip_rest(order, SPOILED)
                if fit and plan.profile:
                    _profile(here, journal_writer)
        except (RuntimeError, CollectiveError) as error:  # the side channel itself: a rank or a node is gone
            if journal_writer:
                journal_writer.write_lost(order, error)
            raise GangLostError(
                first_line(error)
            ) from error  # out of the world, without a farewell to those who are gone
        finally:
            if journal_writer:
                journal_writer.close(order.launch)
        failed = here.control.greatest([float(journal_writer.failed) if journal_writer else 0.0])[0]
    if journal_writer and journal_writer.full:
        raise journal_writer.full
    if here.control.stopped and os.environ["LOCAL_RANK"] == "0":
        raise KeyboardInterrupt(interrupt.signal)
    return not failed


def _own_device(plan: Plan) -> str | None:
    """Have messages go where they have to; this rank's device on its host, where the plan's are those of several."""
    ranks = ranks_around()
    if ranks and ranks.size > ranks.local_size:  # in rank order
        tell_gloo(own_address(os.environ["MASTER_ADDR"]))
        return f"{plan.devices[0].partition(':')[0]}:{ranks.local_rank}"
    stay_within_this_host()
    return None


def _reply(journal_writer: ExternalJournal) -> Order | Refusal:
    reply = journal_writer.open()
    return reply if isinstance(reply, Order) else Refusal.of(reply)


def _heed(stop_request: Interrupt) -> None:
    """Take a first signal for a request, and one that comes later for the end."""
    first_s = math.inf

    def hear(number: signal.Signals) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        first_s = min(first_s, now_s)
        if now_s > first_s + ONE_S:
            die(number)
        stop_request.asked, stop_request.signal = True, stop_request.signal or name_of(number)

    handle(hear)


def _profile(here: world.World, journal_writer: ExternalJournal | None) -> None:
    order = here.control.gather(journal_writer.profiling() if journal_writer else None, Order | None)[0]
    if order is not None:
        worker.run(order, here, journal_writer.profiles.hear if journal_writer else _ignore)


def _ignore(record: Record) -> None:
    del record
