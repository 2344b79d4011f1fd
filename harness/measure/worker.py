"""The worker: what every rank does during one launch. The same under every launcher."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.common.startup import refuse_without_asserts
from harness.device import fingerprint
from harness.device.timing import now
from harness.journal.plan import Record
from harness.journal.protocol import Emit, Order
from harness.journal.records import LaunchRecord, Rank
from harness.measure.comparison import ComparisonRunner
from harness.measure.lockstep import SpoiledError
from harness.measure.profiler import Tracer
from harness.world.control import StopRequestedError
from harness.world.world import World


def run(order: Order, world: World, emit: Emit) -> bool:
    """Measure or trace what ``order`` says, as one rank of ``world``. Rank 0 emits the records.

    Returns whether these processes are fit for more: the same on every rank.
    """
    refuse_without_asserts()  # a Ray cluster's processes need not be started as this run was
    world.look_at_disk(Path(order.scratch))
    gc.collect()
    gc.freeze()  # what was imported stays: later collections need not look at it
    tell = emit if world.rank == 0 else _say_nothing
    try:
        if order.profile:
            Tracer(order, world, tell).trace()
        else:
            _measure(order, world, tell)
    except SpoiledError:
        return False
    except StopRequestedError:
        pass
    return True


def _measure(order: Order, world: World, emit: Emit) -> None:
    _announce(order, world, emit)
    end_s = now() + order.budget_s
    for done, (index, cases) in enumerate(order.todo.items()):
        if world.control.stopped:
            return
        share_s = (end_s - now()) / (len(order.todo) - done)
        ComparisonRunner(order, world, emit, index, cases).measure(share_s)


def _say_nothing(record: Record) -> None:
    del record


def _announce(order: Order, world: World, emit: Emit) -> None:
    """Tell that the gang is up, and who its ranks are."""
    ranks = world.control.gather(world.describe(), Rank)
    ago_s = world.clock() - world.origin_s
    started = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago_s)
    hosts = _hosts(order, world, [rank.host for rank in ranks])
    emit(
        LaunchRecord(
            launch=order.launch,
            attempt=order.attempt,
            launcher=order.plan.side_of(order.launch).launcher,
            started=started.isoformat(timespec="microseconds"),
            fingerprint=fingerprint.of_hosts(order.fingerprint, hosts),
            lead_s=round(world.lead_s, 9),
            ranks=tuple(ranks),
            groups=tuple(world.setups),
            variables=fingerprint.variables(),
            hosts=hosts,
        )
    )


def _hosts(order: Order, world: World, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What other hosts have otherwise than rank 0's, by host; nothing where all ranks are on one."""
    if not world.leaders:
        return {}
    mine = fingerprint.of_host(order.plan.devices[0]) if world.leaders[world.rank] == world.rank else {}
    told = world.control.gather(mine, dict[str, Any])
    return {names[rank]: fingerprint.differences(told[0], told[rank]) for rank in sorted({*world.leaders} - {0})}
