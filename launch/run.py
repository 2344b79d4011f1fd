"""A whole run, from a plan to a journal: by gangs of its own, or as the ranks of somebody's torchrun."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, nullcontext
from typing import Any

from rich.console import Console

from harness import environment, worker, world
from harness.clocks import now
from harness.errors import CollectiveError, GangLostError, UsageError
from harness.halt import Halt
from harness.journal import CellRecord, EndRecord
from harness.lines import Journal
from harness.messages import Order, VisitNote
from harness.plan import Plan, Record, Side
from harness.rundir import RunDir, write_whole
from launch.gangs import Launcher
from launch.inline import Inline
from launch.interrupt import Interrupt, heard
from launch.ledger import Ledger
from launch.network import own_address, tell_gloo
from launch.profiling import Profiling
from launch.progress import Progress
from launch.scratch import scratch
from launch.supervisor import Supervisor
from launch.torchrun import Torchrun


def own(run: RunDir, plan: Plan, console: Console, *, retry_failed: bool = False) -> bool:
    """Measure what is missing of a run that is on disk, with processes of its own; ``retry_failed``: and what failed.

    Returns whether all cells are ok.
    """
    with opened(run, console) as journal, Progress(plan, console) as progress:
        progress.waiting()
        with ExitStack() as stack:
            interrupt = Interrupt()
            launchers = {side.name: stack.enter_context(_launcher(side, run, plan, interrupt)) for side in plan.sides}
            folder = stack.enter_context(scratch(run.root))
            supervisor = Supervisor(
                plan,
                journal,
                run.entries(),
                progress.watch,
                fingerprints=fingerprints(run, plan),
                scratch=folder,
                retry_failed=retry_failed,
                interrupt=interrupt,
            )
            with heard(interrupt, progress.say):
                well = supervisor.run(launchers)
            if plan.profile:
                progress.profiling()
                Profiling(run, plan, journal, progress.watch).run(launchers[plan.sides[0].name], folder)
            return well


def opened(run: RunDir, console: Console) -> Journal:
    """The journal of a run; says so where its last line was torn. Raises UsageError and JournalError as it does."""
    journal = Journal(run.journal_path)
    if journal.torn_bytes:
        told = f"{journal.path} ended within a line: its {journal.torn_bytes} bytes are kept in {journal.torn_path}"
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return journal


def _launcher(side: Side, run: RunDir, plan: Plan, halt: Halt) -> Launcher:
    if side.launcher == "inline":
        return Inline(halt)
    if side.launcher == "torchrun":
        return Torchrun(run.root / "logs", side.python or sys.executable, side.variables, halt)
    from launch.actors import Actors

    return Actors(plan.ray_address, plan.placement, halt)


def fingerprints(run: RunDir, plan: Plan) -> dict[str, str]:
    """Write environment.json: the first side's, and what the others have otherwise. Returns each side's hash."""
    first, *others = ((side.name, _described(side, plan)) for side in plan.sides)
    told = first[1] | (
        {"sides": {name: environment.differences(first[1], its) for name, its in others}} if others else {}
    )
    write_whole(run.environment_path, json.dumps(told, indent=1) + "\n")
    return {name: str(its["hash"]) for name, its in (first, *others)}


def _described(side: Side, plan: Plan) -> dict[str, Any]:
    own = side.python or side.variables
    return environment.described_by(side, plan.devices) if own else environment.describe(plan.devices)


def ranks_around() -> tuple[int, int] | None:
    """How many ranks somebody's torchrun started, and how many of them on this host; None outside of one."""
    here = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    return (int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])) if here else None


def joined(run: RunDir, plan: Plan, console: Console) -> bool:
    """As a rank of somebody's torchrun: add one launch to the run directory. Returns whether its cells are ok."""
    try:
        return _joined(run, plan, console)
    except GangLostError:
        return False


def _joined(run: RunDir, plan: Plan, console: Console) -> bool:
    size, local_size = ranks_around() or (1, 1)
    name = None
    if size > local_size:  # the plan's devices are those of several hosts, in rank order
        tell_gloo(own_address(os.environ["MASTER_ADDR"]))
        name = f"{plan.devices[0].partition(':')[0]}:{os.environ['LOCAL_RANK']}"
    with world.joined(plan, name) as here:
        scribe = _Scribe(run, plan, console) if here.rank == 0 else None
        order, refusal = here.agreement.gather(scribe.open() if scribe else (None, None))[0]
        if order is None:
            raise UsageError(*refusal)
        try:
            with scratch(run.root) if os.environ["LOCAL_RANK"] == "0" else nullcontext():
                fit = worker.run(order, here, scribe.record if scribe else _ignore)
                if fit and plan.profile:
                    _profile(here, scribe)
        except (RuntimeError, CollectiveError) as error:  # the side channel itself: a rank or a node is gone
            if scribe is None:
                raise
            scribe.mourn(order, error)
            raise GangLostError(str(error)) from error  # out of the world, without a farewell to those who are gone
        finally:
            if scribe:
                scribe.close(order.launch)
        well = here.agreement.greatest([float(scribe.failed) if scribe else 0.0])[0]
    return not well


def _profile(here: world.World, scribe: _Scribe | None) -> None:
    order = here.agreement.gather(scribe.profiling() if scribe else None)[0]
    if order is not None:
        worker.run(order, here, scribe.profiles.hear if scribe else _ignore)


def _ignore(record: Record) -> None:
    del record


class _Scribe:
    """Rank 0 of somebody's torchrun: it keeps the run directory."""

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
            todo={index: comparison.cases for index, comparison in enumerate(self._plan.comparisons)},
            budget_s=self._plan.launch_budget_s,
            fingerprint=fingerprints(self._run, self._plan)[self._plan.sides[0].name],
            scratch=str(self._run.root.resolve() / "scratch"),
        )

    def profiling(self) -> Order | None:
        """What is to be traced beside: each case once, in the first launch that has measured it."""
        self._progress.profiling()
        self.profiles = Profiling(self._run, self._plan, self._journal, self._progress.watch)
        return self.profiles.order(str(self._run.root.resolve() / "scratch"))

    def record(self, record: Record) -> None:
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
        reason = str(error).strip().splitlines()[0]
        for index, cases in order.todo.items():
            for case in cases:
                if (index, case.key) in self._done:
                    continue
                visited = self._visiting is not None and (index, case.key) == self._visiting
                message = reason if visited else "a rank or a node was lost before"
                self.record(
                    CellRecord(
                        launch=order.launch,
                        comparison=index,
                        case=case.key,
                        status="died" if visited else "skipped",
                        message=message,
                    )
                )

    def close(self, launch: int) -> None:
        self._journal.append(EndRecord(launch=launch, wall_s=round(now() - self._start_s, 3)))
        self._journal.close()
