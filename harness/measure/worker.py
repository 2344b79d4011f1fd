"""The worker: what every rank does during one launch. The same under every launcher."""

import datetime as dt
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.common.startup import refuse_without_asserts
from harness.device import fingerprint
from harness.device.emulated.device import EmulatedDevice
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
    if isinstance(world.device, EmulatedDevice):
        world.device.begin(order.plan.seed, order.launch)
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
    environment, hosts = _environments(order, world, [rank.host for rank in ranks])
    emit(
        LaunchRecord(
            launch=order.launch,
            attempt=order.attempt,
            launcher=order.plan.side_of(order.launch).launcher,
            started=started.isoformat(timespec="microseconds"),
            fingerprint=fingerprint.of_hosts(environment["hash"] if environment else order.fingerprint, hosts),
            lead_s=round(world.lead_s, 9),
            ranks=tuple(ranks),
            groups=tuple(world.setups),
            variables=fingerprint.variables(),
            hosts=hosts,
            environment=environment,
        )
    )


def _environments(
    order: Order, world: World, hosts: Sequence[str]
) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]]]:
    """What rank 0's host is, where the run was not started there; and what the others have otherwise, by host."""
    if {*hosts} == {order.host} or order.plan.emulation:  # whose hosts are this one
        return None, {}
    leader = hosts.index(hosts[world.rank])
    local = range(hosts.count(hosts[world.rank]))
    kind = world.device.torch.type
    mine = fingerprint.describe([f"{kind}:{index}" for index in local]) if leader == world.rank else {}
    environments = world.control.gather(mine, dict[str, Any])
    alike = [fingerprint.of_host(environment) if environment else {} for environment in environments]
    others = {
        host: fingerprint.differences(alike[0], alike[rank]) for rank, host in enumerate(hosts) if environments[rank]
    }
    del others[hosts[0]]
    return environments[0] if hosts[0] != order.host else None, others
