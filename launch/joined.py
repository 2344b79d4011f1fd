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

from harness import worker, world
from harness.errors import (
    CollectiveError,
    FullError,
    GangLostError,
    JournalError,
    RankbenchError,
    UsageError,
    first_line,
)
from harness.harmless import harmless
from harness.messages import Order
from harness.plan import Plan, Record
from harness.rundir import RunDir
from harness.signals import die, handle, name_of
from harness.startup import ranks_around
from launch.interrupt import Interrupt
from launch.network import own_address, stay_within_this_host, tell_gloo
from launch.scratch import scratch
from launch.scribe import Scribe

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
        here.agreement.halt = interrupt = Interrupt()
        here.replaced = False
        scribe = Scribe(run, plan, console, here.agreement.halt) if here.rank == 0 else None
        order = here.agreement.gather(_reply(scribe) if scribe else None, Order | Refusal | None)[0]
        if isinstance(order, Refusal):
            raise order.error
        _heed(interrupt)
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


def _reply(scribe: Scribe) -> Order | Refusal:
    reply = scribe.open()
    return reply if isinstance(reply, Order) else Refusal.of(reply)


def _heed(halt: Interrupt) -> None:
    """Take a first signal for a request, and one that comes later for the end."""
    first_s = math.inf

    def hear(number: signal.Signals) -> None:
        nonlocal first_s
        now_s = time.monotonic()
        first_s = min(first_s, now_s)
        if now_s > first_s + ONE_S:
            die(number)
        halt.asked, halt.signal = True, halt.signal or name_of(number)

    handle(hear)


def _profile(here: world.World, scribe: Scribe | None) -> None:
    order = here.agreement.gather(scribe.profiling() if scribe else None, Order | None)[0]
    if order is not None:
        worker.run(order, here, scribe.profiles.hear if scribe else _ignore)


def _ignore(record: Record) -> None:
    del record
