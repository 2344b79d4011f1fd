"""The world: all ranks of one launch, and the gangs that can be made of them."""

import datetime as dt
import os
import socket
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch.distributed as dist

from harness.common.errors import UsageError
from harness.device import gloo_threads, nvml
from harness.device.cuda import CudaDevice
from harness.device.device import AnyDevice, borrowed, claim
from harness.device.emulated.device import EmulatedDevice
from harness.device.kinds import kind_of
from harness.device.telemetry.planted_readings import PlantedReadings
from harness.device.timing import StartLine, now
from harness.gang import Gang, seeded
from harness.journal.plan import Case, Plan
from harness.journal.records import GroupSetup, Rank
from harness.work import counting
from harness.work.planted_cost import planted_cost
from harness.world import process_groups
from harness.world.aligned_start import EXCHANGES, HostClock, Offset, clock_identity, estimate, leaders
from harness.world.connections import Connection, hang_up, opened
from harness.world.control import ControlPlane
from harness.world.process_groups import over_host, over_nccl
from harness.world.shared_memory_max import PATIENCE_S, SharedMemoryMax
from harness.world.telemetry_session import Read, gauged
from harness.world.watchdog import AlarmWatchdog, Watchdog

UNLIMITED = dt.timedelta(days=1)
CONNECT = dt.timedelta(minutes=1)
"""For ranks that have met already to connect to each other."""
SIDE = dt.timedelta(minutes=30)
READINGS = 30
"""Exchanges in an estimate of a clock's offset that is repeated."""
LEAD_S = 50e-6, 2e-3
"""The shortest and the longest lead: a start is agreed three times as far ahead as agreeing on it usually takes."""


@dataclass(frozen=True)
class Limits:
    """How long ranks wait for each other before they give each other up.

    Where the run's parent watches over them it alone ends waits, since it sees all ranks: how long one idles is for
    others' cases to decide, and a run that was frozen as a whole has only lost time. Elsewhere these limits are all
    there is, and the side channel outlives the hang of a collective that it has to report.
    """

    rendezvous: dt.timedelta = UNLIMITED
    """To meet: processes start, and PyTorch is imported from a disk that others use too."""
    collective: dt.timedelta = UNLIMITED
    """Limit of a collective of a case."""
    side: dt.timedelta = UNLIMITED
    """Beside the case, in an agreement or at a start."""

    @classmethod
    def without_a_parent(cls, deadline_s: float) -> Self:
        """Those of ranks that nobody watches; ``deadline_s`` is the longest time without a sign of life."""
        return cls(CONNECT, dt.timedelta(seconds=2 * deadline_s), max(SIDE, dt.timedelta(seconds=3 * deadline_s)))


def _own(value_s: float, among: int) -> float:
    """The agreement of one rank with itself."""
    assert among == 1
    return value_s


@dataclass
class World:
    """One rank's view of a launch."""

    rank: int
    size: int
    device: AnyDevice
    name: str
    """The device's name in the plan."""
    cpus: tuple[int, ...]
    threads: int
    control: ControlPlane = field(default_factory=ControlPlane)
    backend: str = "gloo"
    """Backend of the groups that carry tensors: NCCL between GPUs, emulated between emulated devices, else gloo."""
    sizes: tuple[int, ...] = ()
    """Gang sizes above one."""
    copies: Mapping[int, int] = field(default_factory=dict)
    """Number of gangs of a size that run side by side, if it is more than one."""
    latest: Callable[[float, int], float] = field(default=_own)
    """The latest of the instants that the first ranks, as many as the second argument says, pass to each other."""
    lead_s: float = 0.0005
    """How far ahead a start is set."""
    origin_s: float = 0.0
    """The host clock at which this launch's samples count from, alike on every rank."""
    clock: HostClock = field(default_factory=HostClock)
    """The clock of rank 0's host, as this rank reads it."""
    leaders: tuple[int, ...] = ()
    """For each rank the first rank of its host, where ranks are on several; else nothing."""
    gauge: Read | None = None
    """Returns the readings of this rank's GPU since the last call; None without telemetry."""
    shares: bool = False
    """Whether several ranks take turns on its cores, as they do on a CPU device that they share."""
    scratch: Path = Path("scratch")
    """The parent of the gangs' folders."""
    disks_apart: bool = False
    """Whether hosts see different folders there."""
    yields: bool = False
    """Whether gloo's event loops yield to the step on this rank's core."""
    groups: dict[int, dist.ProcessGroup] = field(default_factory=dict)
    connections: dict[int, list[Connection]] = field(default_factory=dict)
    """Connections of gloo's groups, by size."""
    replaced: bool = True
    """Whether a new gang takes over where these processes end before everything is measured."""
    timeout: dt.timedelta = UNLIMITED
    """Limit of a collective of a case."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    """Gets this rank's signs of life."""
    setups: list[GroupSetup] = field(default_factory=list)
    """Setup times of the groups, if known."""

    def wall_clock(self) -> float:
        """Clock of rank 0's host, which orders failures; on an emulated host this host's clock."""
        return now() if isinstance(self.device, EmulatedDevice) else self.clock()

    def gang(self, case: Case, *seed: object) -> Gang | None:
        """This rank's gang for a case; None where it has no part in it."""
        if self.rank >= case.world_size:
            return None
        torch_device = self.device.torch
        copy, rank = divmod(self.rank, case.gang_size)
        shared, of_rank = (seeded(torch_device, *seed, part) for part in ("shared", self.rank))
        folder = self.scratch / f"{zlib.crc32(case.key.encode()):08x}{f'-{copy}' if case.packed else ''}"
        apart = self.disks_apart and len(set(self.leaders[self.rank - rank :][: case.gang_size])) > 1
        return Gang(rank, case.gang_size, torch_device, of_rank, shared, folder, groups=self.groups, apart=apart)

    def line(self, case: Case) -> StartLine:
        """The start line of the ranks that are busy in a case."""
        wait = self.device.await_start if isinstance(self.device, EmulatedDevice) else None
        return StartLine(lambda value: self.latest(value, case.world_size), self.lead_s, self.clock, wait)

    @contextmanager
    def at_work(self, case: Case) -> Iterator[None]:
        """Whatever the block computes is a case's: on an emulated device it costs what is planted."""
        if not isinstance(self.device, EmulatedDevice):
            yield
            return
        self.device.share_host(case.world_size)
        with planted_cost(self.device):
            yield

    def release(self, size: int) -> None:
        """Give up this rank's group of ``size`` ranks, so that those who wait in it for this rank wait no longer.

        Over gloo this rank hangs up on its peers. NCCL's ranks can only be freed by all of them aborting together, and
        aborting waits for captured graphs: there the run's parent ends the processes.
        """
        if size > 1 and self.backend != "nccl" and (group := self.groups.pop(size, None)) is not None:
            hang_up(self.connections.pop(size, ()))
            process_groups.destroy(group)
        if isinstance(self.device, EmulatedDevice):
            self.device.pending.clear()  # messages that never end are no later case's to wait for

    def renew(self, *sizes: int) -> None:
        """Replace the groups of these sizes (all, if none is named): one that has failed is dead for all its ranks.

        The others stay as they are: device meshes and functional collectives find them by their names.
        """
        for size in sizes or self.sizes:
            self.release(size)
        for size in sizes or self.sizes:
            copies = self.copies.get(size, 1)
            gangs = [range(first, first + size) for first in range(0, size * copies, size)]
            if self.backend == "nccl":
                self.groups[size], setup = over_nccl(gangs, self.device, self.control, self.timeout)
                self.setups.append(setup)
            else:
                with opened() as self.connections[size]:
                    self.groups[size] = over_host(self.backend, gangs, self.timeout, self.rank)
                self.expect_answers(self.connections[size])
        self.yield_to_step()
        self.control.settle(None)  # a rank that fails at once hangs up on nobody who still connects

    def expect_answers(self, connections: Sequence[Connection]) -> None:
        """Have connections to other hosts fail soon after these are lost."""
        if self.leaders:
            for connection in connections:
                connection.expect_answers()

    def yield_to_step(self) -> None:
        """Put the event loops of groups that have been made since behind the step, where they share its core."""
        if self.yields:
            gloo_threads.to_background()

    def read_clocks(self, exchanges: int = READINGS) -> None:
        """Estimate by how much the hosts' clocks differ now. Every rank calls it; on one host it does nothing."""
        if self.leaders:
            mine = estimate(self.control.everybody, self.clock.read, self.leaders, exchanges)
            offsets = self.control.gather(mine, Offset)
            if leader := self.leaders[self.rank]:
                self.clock.add(offsets[leader])

    def look_at_disk(self, folder: Path) -> None:
        """Put gangs' folders into ``folder``, and see whether that is the same one on all hosts."""
        self.scratch = folder
        if self.leaders:
            token = folder / "shared"
            self.control.settle(None)  # every host has made it
            if self.rank == 0:
                token.touch()
            self.control.settle(None)  # it is there
            self.disks_apart = bool(self.control.greatest([float(not token.exists())])[0])
            if self.rank == 0:
                token.unlink(missing_ok=True)

    def settle_in(self) -> None:
        """Agree on the origin of time, and on a lead that lets no rank learn of a start too late."""
        took = []
        for _ in range(50):
            start_s = self.clock()
            self.latest(start_s, self.size)
            took.append(self.clock() - start_s)
        usual = sorted(took)[len(took) // 2]
        least, most = LEAD_S
        lead_s, origin_s = self.control.greatest([min(most, max(least, 3 * usual)), self.clock()])
        self.lead_s, self.origin_s = lead_s, origin_s

    def describe(self) -> Rank:
        """This rank's device and place."""
        least_s = self.device.least()
        offset = self.clock.offset(self.clock.read())
        return Rank(
            rank=self.rank,
            host=self._host,
            pid=os.getpid(),
            device=self.name,
            device_name=self.device.model,
            cpus=self.cpus,
            threads=self.threads,
            niceness=os.getpriority(os.PRIO_PROCESS, 0),
            clock_offset_s=round(offset.seconds, 9),
            clock_error_s=round(offset.error_s, 9),
            least_s=None if least_s is None else round(least_s, 9),
        )

    @property
    def _host(self) -> str:
        if isinstance(self.device, EmulatedDevice):
            return self.device.emulation.host_name(self.rank)
        return socket.gethostname()


def one_rank_each(boards: Sequence[str | None]) -> None:
    """Refuse two ranks on one GPU, on every rank alike; ``boards`` are the ranks' whole GPUs. Raises UsageError."""
    for rank, board in enumerate(boards):
        if board in boards[:rank]:
            fault = f"{boards.index(board)} and {rank} share GPU {board}"
            fault += ", but NCCL needs one GPU per rank, whatever its instances (MIG)"
            remedy = "let every rank see all GPUs, or name one twice in --devices with --share-device"
            raise UsageError("ranks", fault, None, remedy)


def _clock(device: AnyDevice) -> HostClock:
    """The clock of this rank's host."""
    return HostClock(device.now) if isinstance(device, EmulatedDevice) else HostClock()


@contextmanager
def _gauged(world: World, free: Collection[int]) -> Iterator[None]:
    """Have the ranks' GPUs read while the world stands; ``free`` are the CPUs that the host's processes may use."""
    device = world.device
    if isinstance(device, EmulatedDevice):
        world.gauge = lambda: PlantedReadings.of_device(device)
        yield
        return
    if not isinstance(device, CudaDevice):
        yield
        return
    with gauged(world.control, nvml.uuid(device.index), world.cpus, sorted(free)) as world.gauge:
        yield


@contextmanager
def alone(plan: Plan) -> Iterator[World]:
    """A world of one rank in this very process, whose CPUs and threads are given back afterwards."""
    counting.ready()
    with borrowed() as before:
        device, cpus = claim(plan.devices[0], plan.threads, emulation=plan.emulation)
        alarm = AlarmWatchdog(plan.deadline_s)
        world = World(0, 1, device, plan.devices[0], cpus, plan.threads, clock=_clock(device), watchdog=alarm)
        try:
            with _gauged(world, before), alarm.set():
                world.settle_in()
                yield world
        finally:
            if world.groups:  # of this rank alone, for a case that asked for one
                dist.destroy_process_group()


@contextmanager
def joined(
    plan: Plan,
    name: str | None = None,
    *,
    store: dist.Store | None = None,  # type: ignore[name-defined]
    supervised: bool = False,
) -> Iterator[World]:
    """The world that torchrun's environment variables describe; left again at the end.

    ``name`` is this rank's device on its host, where the plan's name is not: on a cluster of several. ``store`` is
    where the ranks meet, if not at the address in these variables. ``supervised``: a parent watches over the ranks and
    kills them, so that no wait has a limit; and who fails takes no leave of the others, which can take half a minute.
    """
    counting.ready()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    before = os.sched_getaffinity(0)
    mine = plan.devices[rank]
    shared = plan.devices[:rank].count(mine), plan.devices.count(mine)
    device, cpus = claim(name, plan.threads) if name else claim(mine, plan.threads, *shared, plan.emulation)
    limits = Limits() if supervised else Limits.without_a_parent(plan.deadline_s)
    with opened(int(os.environ.get("MASTER_PORT", "0"))) as by_default:
        dist.init_process_group("gloo", timeout=limits.rendezvous, store=store, rank=rank, world_size=size)
    takes_leave = not supervised
    try:
        sizes = tuple(size for size in plan.world_sizes if size > 1)
        with opened() as control_sockets:
            side = {count: dist.new_group(range(count), limits.side, "gloo") for count in {*sizes, size}}
        hang_up(by_default)  # a case that uses the default group fails at once, where it might wait for ever
        backend = "gloo" if plan.shared_device else kind_of(mine).backend
        control = ControlPlane(rank, size, side)
        if backend == "nccl":
            one_rank_each(control.gather(device.board if isinstance(device, CudaDevice) else None, str | None))
        world = World(
            rank,
            size,
            device,
            plan.devices[rank],
            cpus,
            plan.threads,
            control,
            backend,
            tuple(sorted({*sizes, *plan.copies})),
            plan.copies,
            control.latest,
            clock=_clock(device),
        )
        world.timeout = limits.collective
        shares_core = kind_of(mine).shares_core
        world.yields = plan.gloo_loop == "background" and shares_core
        world.shares = shares_core and shared[1] > 1
        patience_s = PATIENCE_S if kind_of(mine).clock_moves else 0.0
        if shared_max := SharedMemoryMax.shared(world.control, limits.side.total_seconds(), patience_s):
            world.latest = shared_max.latest
        else:
            identities = control.gather(clock_identity(), str)
            world.leaders = leaders(identities) if len(set(identities)) > 1 else ()
            world.expect_answers(control_sockets)
            world.read_clocks(EXCHANGES)
        world.renew()
        with _gauged(world, before):
            world.settle_in()
            yield world
            world.control.settle(None)  # nobody leaves while another still needs it
        takes_leave = True
    finally:
        if takes_leave:
            dist.destroy_process_group()
