"""Launches by an external torchrun: each invocation adds one launch to the run directory."""

import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console

from harness.common.errors import CollectiveError, FullError, GangLostError, RankbenchError, UsageError
from harness.common.signals import die, handle, name_of
from harness.common.startup import ranks_around
from harness.common.text import first_line, harmless
from harness.device.timing import now
from harness.journal.plan import Plan, Record
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import CellRecord, EndRecord, LaunchRecord, RankOutcome, Status
from harness.journal.run_directory import SCRATCH, RunDir
from harness.measure import worker
from harness.plugins import source_digest
from harness.world import world
from harness.world.control import StopRequest
from launch.processes.meeting import Meeting, Refusal
from launch.processes.network import own_address, stay_within_this_host, tell_gloo
from launch.processes.scratch import scratch
from launch.progress import Progress
from launch.supervision.profiling import Profiling
from launch.supervision.run_state import Ledger, Todo, fingerprints, note_hosts, opened
from launch.supervision.stop_signals import Interrupt


@dataclass(frozen=True)
class Resume:
    """The way in which a run is to be resumed."""

    retry_failed: bool = False
    """Whether cells that failed are missing, too."""


class ExternalJournal:
    """One launch in the run directory."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        run: RunDir,
        plan: Plan,
        console: Console,
        stop_request: StopRequest,
        hosts: Sequence[str] = (),
        resume: Resume | None = None,
    ) -> None:
        """``stop_request`` is asked for where the journal takes no more; ``hosts`` are the ranks'."""
        self._hosts = hosts
        self._resume = resume
        self._stop_request = stop_request
        self._run = run
        self._plan = plan
        self._console = console
        self._ledger = Ledger(plan)
        self._failed = False
        self.full: FullError | None = None
        """Why nothing more is written down: it is for the end, for until then the ranks have to agree."""
        self._done: set[tuple[int, str]] = set()
        self._visiting: tuple[int, str] | None = None

    def open(self) -> Order | RankbenchError | None:
        """Create or extend the run directory; the launch to measure, or the refusal that all ranks raise.

        None where a run is to be resumed of which nothing is missing.
        """
        try:
            return self._open()
        except RankbenchError as error:
            return error
        except OSError as error:
            remedy = "make it so, or choose another"
            return UsageError("run directory", "be writable", f"{self._run.root} ({error.strerror})", remedy)

    def _open(self) -> Order | None:
        if not self._run.exists():
            self._run.create(self._plan)
        elif (planned := self._run.plan()).identity != self._plan.identity:
            if names := source_digest.changed(planned.comparisons, self._plan.comparisons):
                fault = f"{self._run.root} has launches of other code of {names[0]}"
                raise UsageError("run directory", fault, None, "choose another folder")
            fault = f"{self._run.root} has launches with other options"
            raise UsageError("run directory", fault, None, "repeat their options, or choose another folder")
        self._journal = opened(self._run, self._console)
        ledger = self._ledger
        for entry in self._run.entries():
            ledger.note(entry)
            if isinstance(entry, LaunchRecord):
                self._refuse_placement(entry)
        lacking = self._lacking() if self._resume else [max(ledger.attempts, default=-1) + 1]
        if not lacking:
            self._journal.close()
            return None
        launch, *others = lacking
        self._progress = Progress(self._plan, self._console)
        self._progress.warn(int(os.environ.get("LOCAL_WORLD_SIZE", "1")) * self._plan.threads)
        if others:
            more = f"{len(others)} more {'launch lacks' if len(others) == 1 else 'launches lack'} cells"
            self._progress.say(f"launch {launch} is at hand, {more}: give the same command again for each", "yellow")
        self._start_s = now()
        return Order(
            plan=self._plan,
            launch=launch,
            attempt=ledger.attempts.get(launch, 0),
            todo=ledger.missing(launch) if self._resume else self._promising(ledger, launch),
            budget_s=self._plan.launch_budget_s,
            fingerprint=fingerprints(self._run, self._plan)[self._plan.sides[0].name],
            scratch=str(self._run.root.resolve() / SCRATCH),
        )

    @property
    def failed(self) -> bool:
        """Whether a cell of this launch is not ok; where the run is resumed, any of its cells."""
        return self._failed or (self._resume is not None and not self._ledger.complete)

    def _lacking(self) -> list[int]:
        """The launches of the run with missing cells."""
        if self._resume and self._resume.retry_failed:
            self._ledger.forgive()
        launches = range(max([self._plan.launches, *(launch + 1 for launch in self._ledger.begun)]))
        return [launch for launch in launches if self._ledger.missing(launch)]

    def _refuse_placement(self, record: LaunchRecord) -> None:
        """Raise UsageError if an earlier launch had its ranks on another number of hosts."""
        before, here = (_placement([rank.host for rank in record.ranks]), _placement(self._hosts))
        if before != here:
            launches = f"{self._run.root} has launches with {_numbers(before)} ranks per host"
            fault = f"{launches}, but this one has {_numbers(here)}"
            raise UsageError("run directory", fault, None, "choose another folder")

    def _promising(self, ledger: Ledger, launch: int) -> Todo:
        """The planned cases; those that have failed too often are skipped."""
        todo: Todo = {}
        for index, comparison in enumerate(self._plan.comparisons):
            verdicts = [(case, ledger.hopeless(launch, index, case.key)) for case in comparison.cases]
            for case, why in verdicts:
                if why:
                    self._cell(launch, index, case.key, "skipped", why)
            if cases := tuple(case for case, why in verdicts if not why):
                todo[index] = cases
        return todo

    def profiling(self) -> Order | None:
        """The cases to trace: each once, in the first launch that has measured it."""
        self._progress.profiling()
        if self.full:
            return None
        self.profiles = Profiling(self._run, self._plan, self._journal, self._progress.watch)
        return self.profiles.order(str(self._run.root.resolve() / SCRATCH))

    def record(self, record: Record) -> None:
        """Write the ranks' records to the journal, as long as it takes them."""
        if self.full:
            return
        if isinstance(record, VisitNote):
            self._visiting = record.comparison, record.case
        else:
            try:
                record = self._journal.append(record)
            except FullError as error:
                self.full, self._failed, self._stop_request.asked = error, True, True
                return
            self._ledger.note(record)
            note_hosts(self._run, self._plan, record)
        if isinstance(record, CellRecord):
            self._done.add((record.comparison, record.case))
            self._failed |= record.status != "ok" and not record.by_design
        self._progress.watch(record)

    def write_lost(self, order: Order, error: Exception, lost: Sequence[int] = ()) -> None:
        """Give every case of a lost launch a cell: the one that was visited died, and the others were not reached.

        ``lost`` are the ranks that are gone, where that is known. One that has no part in a case does not end it.
        """
        who = [f"rank {rank} ({self._hosts[rank]})" for rank in lost]
        words = f"{', '.join(who[:8])} was lost: {first_line(error)}" if who else first_line(error)
        if self._visiting and self._visiting not in self._done:
            size = next(c.world_size for c in order.todo[self._visiting[0]] if c.key == self._visiting[1])
            part = [rank for rank in lost if rank < size]
            if part or not lost:
                outcomes = tuple(
                    RankOutcome(rank=rank, outcome=f"{name} was lost") for rank, name in zip(lost, who, strict=True)
                )
                self._cell(order.launch, *self._visiting, "died", words, next(iter(part), None), outcomes)
        self.skip_rest(order, f"{', '.join(who[:8]) or 'a rank or a node'} was lost before")

    def skip_rest(self, order: Order, why: str) -> None:
        """Write a cell with this reason for every case that has none."""
        for index, cases in order.todo.items():
            for case in cases:
                if (index, case.key) not in self._done:
                    self._cell(order.launch, index, case.key, "skipped", why)

    def _cell(  # noqa: PLR0913, PLR0917 - the record's own fields
        self,
        launch: int,
        comparison: int,
        case: str,
        status: Status,
        message: str,
        rank: int | None = None,
        outcomes: tuple[RankOutcome, ...] = (),
    ) -> None:
        cell = CellRecord(
            launch=launch,
            comparison=comparison,
            case=case,
            status=status,
            message=message,
            rank=rank,
            outcomes=outcomes,
        )
        self.record(cell)

    def close(self, launch: int) -> None:
        """The launch is over."""
        self.record(EndRecord(launch=launch, wall_s=round(now() - self._start_s, 3)))
        self._journal.close()


ONE_S = 10.0
"""Signals within so long are one: a terminal sends its to every rank and to torchrun, which passes it on."""
SPOILED = "a case before it failed on a GPU, which ends the processes; start them again, or use --resume"


def joined(run: RunDir, plan: Plan, console: Console, met: Meeting, resume: Resume | None = None) -> bool:
    """As a rank of somebody's torchrun: add one launch to the run directory. Returns whether its cells are ok.

    Ranks have ``met``. To ``resume`` is to measure what is missing of the first launch that lacks any of its cells; the
    run is then asked for as a whole.

    That is the first rank's of each host to tell: torchrun ends all others there once one has failed, and rank 0 has a
    report to write. For the same reason signals, which torchrun passes on, are requests while it measures: to end after
    what is at hand, and report. Raises KeyboardInterrupt where that was done.
    """
    first = os.environ["LOCAL_RANK"] == "0"
    try:
        return _joined(run, plan, console, met, resume) or not first
    except (GangLostError, CollectiveError, RuntimeError) as error:  # the last ones: before or after the launch
        print(f"rankbench: rank {os.environ['RANK']}: {harmless(first_line(error))}", file=sys.stderr)  # noqa: T201
        return not first


def _joined(run: RunDir, plan: Plan, console: Console, met: Meeting, resume: Resume | None) -> bool:
    journal_writer = None
    with ExitStack() as stack:
        with met.connecting():
            here = stack.enter_context(world.joined(plan, _own_device(plan), store=met.store))
        here.control.stop_request = interrupt = Interrupt()
        here.replaced = False
        if here.rank == 0:
            journal_writer = ExternalJournal(run, plan, console, interrupt, met.hosts, resume)
        order = here.control.gather(_reply(journal_writer) if journal_writer else None, Order | Refusal | None)[0]
        if isinstance(order, Refusal):
            raise order.error
        if order is not None:
            _heed(interrupt)
            try:
                _carry_out(order, here, run, met, journal_writer)
            finally:
                if journal_writer:
                    journal_writer.close(order.launch)
        failed = here.control.greatest([float(journal_writer.failed) if journal_writer else 0.0])[0]
    if journal_writer and journal_writer.full:
        raise journal_writer.full
    if here.control.stopped and os.environ["LOCAL_RANK"] == "0":
        raise KeyboardInterrupt(interrupt.signal)
    return not failed


def _carry_out(
    order: Order, here: world.World, run: RunDir, met: Meeting, journal_writer: ExternalJournal | None
) -> None:
    """Measure, and trace what is to be traced. Raises GangLostError once a rank or a host is gone."""
    try:
        with scratch(run.root) if os.environ["LOCAL_RANK"] == "0" else nullcontext():
            fit = worker.run(order, here, journal_writer.record if journal_writer else _ignore)
            if journal_writer and not fit:
                journal_writer.skip_rest(order, SPOILED)
            if fit and order.plan.profile:
                _profile(here, journal_writer)
    except (RuntimeError, CollectiveError) as error:  # the side channel itself
        lost = met.roll_call()
        if journal_writer:
            journal_writer.write_lost(order, error, lost)
        who = f"rank{'s' * (len(lost) > 1)} {_numbers(lost)} cannot be reached: " if lost else ""
        raise GangLostError(f"{who}{first_line(error)}") from error  # no farewell to those who are gone


def _placement(hosts: Sequence[str]) -> list[int]:
    """Number of ranks on each host, in rank order."""
    return [len(list(ranks)) for _, ranks in groupby(hosts)]


def _numbers(placement: Sequence[int]) -> str:
    return ", ".join(map(str, placement))


def _own_device(plan: Plan) -> str | None:
    """Have messages go where they have to; this rank's device on its host, where the plan's are those of several."""
    ranks = ranks_around()
    if ranks and ranks.size > ranks.local_size:  # in rank order
        tell_gloo(own_address(os.environ["MASTER_ADDR"]))
        return f"{plan.devices[0].partition(':')[0]}:{ranks.local_rank}"
    stay_within_this_host()
    return None


def _reply(journal_writer: ExternalJournal) -> Order | Refusal | None:
    reply = journal_writer.open()
    return Refusal.of(reply) if isinstance(reply, RankbenchError) else reply


def _heed(stop_request: Interrupt) -> None:
    """Treat the first signal as a stop request, and a later one as the end."""
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
