"""A launch by the ranks of somebody's torchrun: each invocation is one more launch of the run directory."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import nullcontext
from types import FrameType

from rich.console import Console

from harness import worker, world
from harness.errors import CollectiveError, GangLostError, first_line
from harness.halt import Halt
from harness.harmless import harmless
from harness.messages import Order
from harness.plan import Plan, Record
from harness.rundir import RunDir
from launch.network import own_address, tell_gloo
from launch.scratch import scratch
from launch.scribe import Scribe

ONE_S = 10.0
"""Signals within so long are one: a terminal sends its to every rank and to torchrun, which passes it on."""
SPOILED = "a case before it failed on a GPU, which ends the processes; start them again, or use --resume"


def ranks_around() -> tuple[int, int] | None:
    """How many ranks somebody's torchrun started, and how many of them on this host; None outside of one."""
    here = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    return (int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])) if here else None


def joined(run: RunDir, plan: Plan, console: Console) -> bool:
    """As a rank of somebody's torchrun: add one launch to the run directory. Returns whether its cells are ok.

    That is the first rank's of each host to tell: torchrun ends all others there once one has failed, and rank 0 has a
    report to write. For the same reason SIGTERM and SIGINT, which torchrun passes on, are requests while it measures:
    to end after what is at hand, and report. Raises KeyboardInterrupt where that was done.
    """
    first = os.environ["LOCAL_RANK"] == "0"
    try:
        return _joined(run, plan, console) or not first
    except (GangLostError, CollectiveError, RuntimeError) as error:  # the last ones: before or after the launch
        print(f"rankbench: rank {os.environ['RANK']}: {harmless(first_line(error))}", file=sys.stderr)  # noqa: T201
        return not first


def _joined(run: RunDir, plan: Plan, console: Console) -> bool:
    size, local_size = ranks_around() or (1, 1)
    name = None
    if size > local_size:  # the plan's devices are those of several hosts, in rank order
        tell_gloo(own_address(os.environ["MASTER_ADDR"]))
        name = f"{plan.devices[0].partition(':')[0]}:{os.environ['LOCAL_RANK']}"
    with world.joined(plan, name) as here:
        here.replaced = False
        scribe = Scribe(run, plan, console, here.agreement.halt) if here.rank == 0 else None
        order = here.agreement.gather(scribe.open() if scribe else None)[0]
        if not isinstance(order, Order):
            raise order
        _heed(here.agreement.halt)
        try:
            with scratch(run.root) if os.environ["LOCAL_RANK"] == "0" else nullcontext():
                fit = worker.run(order, here, scribe.record if scribe else _ignore)
                if scribe and not fit:
                    scribe.skip_rest(order, SPOILED)
                if fit and plan.profile:
                    _profile(here, scribe)
        except (RuntimeError, CollectiveError) as error:  # the side channel itself: a rank or a node is gone
            if scribe:
                scribe.mourn(order, error)
            raise GangLostError(
                first_line(error)
            ) from error  # out of the world, without a farewell to those who are gone
        finally:
            if scribe:
                scribe.close(order.launch)
        failed = here.agreement.greatest([float(scribe.failed) if scribe else 0.0])[0]
    if scribe and scribe.full:
        raise scribe.full
    if here.agreement.halted and os.environ["LOCAL_RANK"] == "0":
        raise KeyboardInterrupt
    return not failed


def _heed(halt: Halt) -> None:
    """Take a first signal for a request, and one that comes later for the end; no fork of this process does so."""
    first_s = math.inf

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal first_s
        del frame
        now_s = time.monotonic()
        first_s = min(first_s, now_s)
        if now_s > first_s + ONE_S:
            restore()
            os.kill(os.getpid(), number)
        halt.asked = True

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, before)

    def let_go() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)

    def forget() -> None:
        restore()
        let_go()

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    os.register_at_fork(before=hold, after_in_parent=let_go, after_in_child=forget)  # what comes meanwhile is kept


def _profile(here: world.World, scribe: Scribe | None) -> None:
    order = here.agreement.gather(scribe.profiling() if scribe else None)[0]
    if order is not None:
        worker.run(order, here, scribe.profiles.hear if scribe else _ignore)


def _ignore(record: Record) -> None:
    del record
