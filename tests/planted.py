"""Runs of a simulated machine with one planted cause: journals whose truth is known, for what a report says of it.

A step is simulated as ranks that work, wait for the last of them and exchange messages; the report's own code has no
part in it. Devices differ by nature; a rank's samples, its launches and whole launches are noisy.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.device.telemetry.cpu_load import CpuTime, warnings_of
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Case, Plan, rounds
from harness.journal.records import (
    CellRecord,
    CollectiveKind,
    CollectiveTimes,
    EndRecord,
    LaunchRecord,
    QueuedSamples,
    Rank,
    RankFacts,
    Samples,
    Traffic,
)
from harness.journal.run_directory import RunDir
from reports.schema.diagnostics import Cause, CauseRow
from tests import factories

Array = npt.NDArray[np.float64]

WORK_S, TRANSFER_S, HIDDEN_S = 20e-3, 0.4e-3, 2e-3
"""Of a healthy step on several devices: each rank's work, and its exposed and hidden communication."""
STEP_S = WORK_S + TRANSFER_S
PROBES_S = {"null": 2e-6, "spin": 5e-3, "gemm": 4e-3}
ROUNDS, VISIT, WATCHED, LAUNCHES = 8, 2, 5, 6
MHZ = 1700.0
HEAT = 0x40
"""NVML's bit for a clock that heat holds back."""
SAMPLE_NOISE, RANK_NOISE, LAUNCH_NOISE = 0.01, 0.002, 0.004
"""Standard deviations of logarithms: of each sample, of a rank in a launch, and of a launch."""


@dataclass
class Step:
    """What one case does in one launch: [rank, sample] in seconds of a step; the last samples are the watched ones."""

    role: str
    """``gang``, ``copies``, ``alone``, or a probe's name."""
    work_s: Array
    """Outside messages."""
    transfer_s: Array
    late_s: Array
    """By how much a rank starts after the others."""
    idle_s: Array
    """Of the work, while the rank's thread sleeps."""
    delay_s: Array
    """Of the work, while others have the rank's core."""
    mhz: Array
    held_back: npt.NDArray[np.int64]
    shares: Array
    """Each rank's part of the declared work."""
    hidden_s: float = HIDDEN_S
    kind: str = "all_reduce"
    messages: int = 8
    bytes: Array = field(default_factory=lambda: np.zeros(0))
    """Of all messages of each rank."""
    clocks_s: tuple[float, float] | None = None
    """The host's for launching, and the device's own, where steps can be launched ahead."""
    host_reads: int = 0
    retries: int = 0

    @property
    def scale(self) -> float:
        """How much more there is to do than in a step of the gang."""
        return {"gang": 1.0, "copies": len(self.work_s), "alone": 1.0}.get(self.role, 0.0)


@dataclass(frozen=True)
class Machine:
    """So many devices, and what is planted in them."""

    ranks: int
    cause: str = "healthy"
    size: float = 0.0
    """By which part of itself the cause lengthens a step."""
    variation: float = 0.01
    """Standard deviation of the logarithms of the devices' paces."""
    seed: int = 0

    @cached_property
    def victim(self) -> int:
        """The rank that a cause befalls."""
        return int(self._rng(0).integers(self.ranks))

    @cached_property
    def pace(self) -> Array:
        """Each device's own."""
        return np.exp(self.variation * self._rng(1).standard_normal(self.ranks))

    @property
    def accelerator(self) -> bool:
        """Whether its devices have clocks of their own that can be asked for."""
        return self.cause in ACCELERATED or (self.cause == "healthy" and self.seed % 2 == 1)

    def _rng(self, purpose: int) -> np.random.Generator:
        causes = ["healthy", *CAUSES]
        return np.random.default_rng(
            [self.seed, purpose, self.ranks, causes.index(self.cause), round(1000 * self.size)]
        )

    def build(self, root: Path) -> RunDir:
        """Write a whole run below ``root``."""
        plan = factories.plan_of(self._like)
        run, rng = RunDir(root), self._rng(2)
        run.create(plan)
        records = (record for launch in range(LAUNCHES) for record in self._launch(plan, launch, rng))
        factories.write_texts(run, (record.model_dump_json(by_alias=True) for record in records))
        run.environment_path.write_text(json.dumps(factories.environment_of(plan)), encoding="utf-8")
        return run

    @property
    def _like(self) -> factories.Synthetic:
        device = "cuda" if self.accelerator else "cpu"
        return factories.Synthetic(
            scenario="train",
            variant_field=None,
            variants=("whole",),
            world_sizes=(1, self.ranks),
            devices=tuple(f"{device}:{rank}" for rank in range(self.ranks)),
            launches=LAUNCHES,
            command=f"rankbench run train --devices {device}:{self.ranks}",
            exercises=(),
        )

    def right(self, row: CauseRow | None) -> bool:
        """Whether a report's row names what is planted, and whom it befalls."""
        if self.cause not in CAUSES or row is None:
            return self.cause not in CAUSES and row is None
        planted = CAUSES[self.cause]
        if self.ranks == 2:  # one of two has more to do, or the work rises: both are the same
            planted = TWO.get(self.cause, planted)
        return (row.cause, row.ranks) == (planted.name, planted.ranks(self))

    def host(self, rank: int) -> str:
        """Where a rank is: eight share a host."""
        return f"node-{rank // 8}"

    def _launch(self, plan: Plan, launch: int, rng: np.random.Generator) -> list[LaunchRecord | CellRecord | EndRecord]:
        ranks = tuple(
            Rank(
                rank=rank,
                host=self.host(rank),
                pid=100 + rank,
                device=name,
                device_name="Simulated",
                cpus=(rank,),
                threads=1,
            )
            for rank, name in enumerate(plan.devices)
        )
        head = LaunchRecord(
            launch=launch,
            launcher="torchrun",
            started=f"2026-01-02T03:{launch:02d}:00Z",
            fingerprint="f00d",
            lead_s=0.002,
            ranks=ranks,
        )
        cases = plan.comparisons[0].cases
        order = [place for each in islice(rounds(len(cases), self.seed, launch, 0), ROUNDS) for place in each]
        visits = [[at for at, each in enumerate(order) if each == place] for place in range(len(cases))]
        bias = float(np.exp(LAUNCH_NOISE * rng.standard_normal()))
        cells = [self._cell(case, launch, own, bias, rng) for case, own in zip(cases, visits, strict=True)]
        return [head, *cells, EndRecord(launch=launch, wall_s=30.0)]

    def _cell(self, case: Case, launch: int, visits: list[int], bias: float, rng: np.random.Generator) -> CellRecord:
        step = self._step(case, bias, rng)
        if self.cause in CAUSES:
            CAUSES[self.cause].plant(self, step, rng)
        timed = ROUNDS * VISIT
        late, arrival = step.late_s, step.late_s + step.work_s
        end = (arrival.max(axis=0) if step.role == "gang" else arrival) + step.transfer_s
        position = np.repeat(visits, VISIT)
        start = 1.0 + 2.0 * position + np.tile(np.arange(VISIT), ROUNDS) + late[:, :timed]
        took = (end - late)[:, :timed]
        facts, warnings = self._facts(step, took)
        return CellRecord(
            launch=launch,
            comparison=0,
            case=case.key,
            status="ok",
            samples=Samples(
                round=tuple(np.repeat(np.arange(ROUNDS), VISIT).tolist()),
                position=tuple(position.tolist()),
                start_s=start.tolist(),
                end_s=(start + took + (1e-5 if self.accelerator else 0.0)).tolist(),
                device_s=took.tolist() if self.accelerator else None,
                clock_mhz=step.mhz[:, :timed].tolist() if self.accelerator else None,
                held_back=step.held_back[:, :timed].tolist() if self.accelerator else None,
            ),
            queued=self._queued(step, rng),
            facts=facts,
            waits=self._waits(step, arrival, timed) if step.role == "gang" else None,
            warnings=warnings,
        )

    def _step(self, case: Case, bias: float, rng: np.random.Generator) -> Step:
        """A healthy one."""
        role = case.scenario if case.probe else "copies" if case.packed else "gang" if case.world_size > 1 else "alone"
        shape = case.world_size, ROUNDS * VISIT + WATCHED
        work_s = {"gang": WORK_S, **PROBES_S}.get(role, WORK_S * self.ranks)
        noise = bias * np.exp(
            SAMPLE_NOISE * rng.standard_normal(shape) + RANK_NOISE * rng.standard_normal((case.world_size, 1))
        )
        none, gang = np.zeros(shape), role == "gang"
        step = Step(
            role=role,
            work_s=work_s * self.pace[: case.world_size, None] * noise,
            transfer_s=none + TRANSFER_S * bias * np.exp(0.03 * rng.standard_normal(shape[1])) * gang,
            late_s=5e-6 * rng.random(shape),
            idle_s=none.copy(),
            delay_s=none.copy(),
            mhz=MHZ + 3.0 * rng.standard_normal(shape),
            held_back=np.zeros(shape, dtype=np.int64),
            shares=np.full(case.world_size, 1 / case.gang_size),
            bytes=np.full(case.world_size, 8.0 * 2**20 * gang),
        )
        if self.accelerator and role in ("gang", "alone"):
            step.clocks_s = 0.3 * WORK_S, float(step.work_s.max(axis=0).mean() + step.transfer_s.mean())
        return step

    def _facts(self, step: Step, took: Array) -> tuple[tuple[RankFacts, ...], tuple[MeasurementWarning, ...]]:
        timed = took.shape[1]
        wall_s = took.max(axis=0).sum()
        idle_s = took.sum(axis=1) - step.work_s[:, :timed].sum(axis=1) + step.idle_s[:, :timed].sum(axis=1)
        delay_s = step.delay_s[:, :timed].sum(axis=1)
        main_s = np.full(len(took), wall_s) if self.accelerator else took.sum(axis=1) - idle_s - delay_s
        flops = 4e9 * step.shares * (step.role in ("gang", "copies", "alone", "gemm"))
        counted = [
            Traffic(
                kind=step.kind,
                group_size=len(took),
                count=step.messages,
                bytes_in=int(each),
                bytes_out=int(each),
                bytes=int(each),
            )
            for each in step.bytes
        ]
        facts = tuple(
            RankFacts(
                flops=flops[rank],
                bytes=0.0,
                items=100 * step.shares[rank],
                counted_flops=flops[rank],
                host_reads=step.host_reads,
                traffic_bytes=int(step.bytes[rank]),
                messages=(counted[rank],) if step.bytes[rank] else (),
                alloc_retries=step.retries,
                first_s=3 * float(took[rank, 0]),
                wall_s=wall_s,
                cpu_s=main_s[rank] + 1e-4,
                main_s=main_s[rank],
                delay_s=delay_s[rank],
                busy_s=main_s[rank] + delay_s[rank],
                messages_s=0.0,
            )
            for rank in range(len(took))
        )
        retries = [MeasurementWarning(kind=Kind.ALLOCATOR_RETRIES, fact=f"{step.retries} times", rank=0)]
        return facts, (*warnings_of([CpuTime.of(fact) for fact in facts]), *(retries if step.retries else ()))

    def _queued(self, step: Step, rng: np.random.Generator) -> QueuedSamples | None:
        if step.clocks_s is None:
            return None
        host, device = (
            each * np.exp(SAMPLE_NOISE * rng.standard_normal((len(step.work_s), ROUNDS))) for each in step.clocks_s
        )
        return QueuedSamples(inner=1, head_start_s=0.01, enqueue_s=host.tolist(), device_s=device.tolist())

    def _waits(self, step: Step, arrival: Array, timed: int) -> CollectiveTimes:
        work, transfer = step.work_s[:, timed:], step.transfer_s[:, timed:]
        wait = (arrival.max(axis=0) - arrival)[:, timed:]
        exposed = (wait + transfer).mean(axis=1)
        kind = CollectiveKind(
            kind=step.kind,
            group_size=len(work),
            count=(float(step.messages),) * len(work),
            under_way_s=(exposed + step.hidden_s).tolist(),
            exposed_s=exposed.tolist(),
        )
        return CollectiveTimes(
            collectives=(float(step.messages),) * WATCHED,
            work_s=work.tolist(),
            wait_s=wait.tolist(),
            transfer_s=transfer.tolist(),
            hidden_s=np.full(work.shape, step.hidden_s).tolist(),
            bytes=step.bytes.tolist(),
            kinds=(kind,),
        )


Plant = Callable[[Machine, Step, np.random.Generator], None]
BUSY = ("gang", "copies")
OURS = (*BUSY, "alone")


def _of_work(machine: Machine) -> float:
    """The size as a part of the work, where it was one of the step."""
    return machine.size * STEP_S / WORK_S


def _together(step: Step) -> bool:
    return len(step.work_s) > 1


def contention(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """All devices share their memory's bandwidth; a large product lives in caches, mostly."""
    if step.role in BUSY:
        step.work_s *= 1 + _of_work(machine)
    elif step.role == "gemm" and _together(step):
        step.work_s *= 1 + _of_work(machine) / 5


def lower_clock(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """All devices run slower where all are busy."""
    if _together(step) and step.role != "null":
        step.work_s *= 1 + _of_work(machine)
        step.mhz /= 1 + _of_work(machine)


def heat(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """They are hot, and say so."""
    lower_clock(machine, step, rng)
    if _together(step) and step.role != "null":
        step.held_back |= HEAT


def foreign_load(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """Another process takes turns on a rank's core."""
    if machine.victim < len(step.work_s) and step.role in OURS:
        mean_s = machine.size * STEP_S * (machine.ranks if step.role == "alone" else step.scale)
        taken_s = rng.gamma(4.0, mean_s / 4.0, step.work_s.shape[1])
        step.work_s[machine.victim] += taken_s
        step.delay_s[machine.victim] += taken_s


def slow_device(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """A rank's device computes more slowly, whatever it computes."""
    if machine.victim < len(step.work_s) and step.role != "null":
        step.work_s[machine.victim] *= 1 + _of_work(machine)


def slow_clock(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """It does since its clock is lower."""
    slow_device(machine, step, rng)
    if machine.victim < len(step.work_s) and step.role != "null":
        step.mhz[machine.victim] /= 1 + _of_work(machine)


def page_faults(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """A rank's memory faults in each step."""
    if machine.victim < len(step.work_s) and step.role in OURS:
        step.work_s[machine.victim] *= 1 + rng.gamma(16.0, _of_work(machine) / 16.0, step.work_s.shape[1])


def far_memory(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """A rank's memory is on another node of the host: what lives in caches is as fast as ever."""
    if machine.victim < len(step.work_s) and step.role in OURS:
        step.work_s[machine.victim] *= 1 + _of_work(machine)


def collector(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """Python collects garbage now and then: in one of five steps on some rank."""
    if step.role in OURS:
        pauses = rng.random(step.work_s.shape) < 0.2 / machine.ranks
        step.work_s += pauses * machine.size * STEP_S / 0.2


def uneven_shards(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """One rank's declared share is larger than the others'."""
    if step.role == "gang":
        most = (1 + _of_work(machine)) / machine.ranks
        step.shares[:] = (1 - most) / (machine.ranks - 1)
        step.shares[machine.victim] = most
        step.work_s *= (step.shares * machine.ranks)[:, None]


def causal_mask(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """Later parts of a sequence attend to more of it: work that nobody declares rises with the rank."""
    if step.role == "gang":
        step.work_s *= 1 + _of_work(machine) * np.linspace(-1, 1, machine.ranks)[:, None]


def routing(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """Tokens, padded to a capacity, go to other experts in each step: another rank has more to do each time."""
    if step.role == "gang":
        step.kind, skew = "all_to_all", np.zeros_like(step.work_s)
        for sample in range(skew.shape[1]):
            most, least = rng.choice(machine.ranks, 2, replace=False)
            skew[most, sample], skew[least, sample] = _of_work(machine), -_of_work(machine)
        step.work_s *= 1 + skew


def late_start(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """A rank begins each step after the others."""
    if step.role == "gang":
        step.late_s[machine.victim] += machine.size * STEP_S


def slow_link(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """Neighbours exchange messages, two of them over a slow link."""
    if step.role == "gang":
        step.kind = "send"
        step.transfer_s[[machine.victim, (machine.victim + 1) % machine.ranks]] += machine.size * STEP_S


def slow_direction(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """They do, and what one of them receives is slow."""
    if step.role == "gang":
        step.kind = "send"
        step.transfer_s[machine.victim] += machine.size * STEP_S


def small_messages(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """Many small messages, each as long as its latency."""
    if step.role == "gang":
        step.messages, step.hidden_s = 200, 0.0
        step.bytes[:] = 200 * 4096.0
        step.transfer_s += machine.size * STEP_S


def large_bucket(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """All gradients in one message that goes when all work is done."""
    if step.role == "gang":
        step.messages, step.hidden_s = 1, 0.0
        step.bytes[:] = 64.0 * 2**20
        step.transfer_s += machine.size * STEP_S


def launching(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """The host takes longer to launch a step than the device to do it."""
    if step.role == "gang" and step.clocks_s is not None:
        step.clocks_s = (1 + machine.size) * float(machine.pace.max()) * STEP_S, step.clocks_s[1]
        step.work_s += machine.size * STEP_S


def host_reads(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """The host reads a number from the device, and the device waits for what comes next."""
    if step.role == "gang":
        step.host_reads, step.clocks_s = 3, None
        step.work_s += machine.size * STEP_S


def loader(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """All ranks wait for the one that loads."""
    if step.role == "gang":
        waited_s = rng.gamma(16.0, machine.size * STEP_S / 16.0, step.work_s.shape[1])
        step.work_s += waited_s
        step.idle_s += waited_s


def disk(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """Each reads from a disk that all share."""
    if step.role == "gang":
        waited_s = rng.gamma(64.0, machine.size * STEP_S / 64.0, step.work_s.shape)
        step.work_s += waited_s
        step.idle_s += waited_s


def full_memory(machine: Machine, step: Step, rng: np.random.Generator) -> None:
    """A device's memory is full in one of five steps, and is given back and asked for anew."""
    if step.role == "gang":
        full = rng.random(step.work_s.shape[1]) < 0.2
        step.work_s[machine.victim] += full * machine.size * STEP_S / 0.2
        step.retries, step.clocks_s = int(full[: ROUNDS * VISIT].sum()), None


def first_slot(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """The first sample of a visit finds the caches full of others' data."""
    if step.role == "gang":
        step.work_s[:, : ROUNDS * VISIT : VISIT] *= 1 + _of_work(machine)


def warm_up(machine: Machine, step: Step, _: np.random.Generator) -> None:
    """The first quarter of a launch is slower."""
    if step.role == "gang":
        step.work_s[:, : ROUNDS * VISIT // 4] *= 1 + _of_work(machine)


Befallen = Callable[[Machine], tuple[int, ...]]


def every(_: Machine) -> tuple[int, ...]:
    """No rank in particular."""
    return ()


def victim(machine: Machine) -> tuple[int, ...]:
    """One."""
    return (machine.victim,)


def last(machine: Machine) -> tuple[int, ...]:
    """The last one."""
    return (machine.ranks - 1,)


def neighbours(machine: Machine) -> tuple[int, ...]:
    """The victim and the next."""
    return tuple(sorted((machine.victim, (machine.victim + 1) % machine.ranks)))


@dataclass(frozen=True)
class Planted:
    """A cause, and what a report that is right says of it."""

    plant: Plant
    name: Cause
    ranks: Befallen = every


CAUSES: Mapping[str, Planted] = {
    "memory contention": Planted(contention, "contention"),
    "lower clock of all": Planted(lower_clock, "lower clock"),
    "heat": Planted(heat, "throttled"),
    "foreign load": Planted(foreign_load, "foreign load", victim),
    "slow device": Planted(slow_device, "slow rank", victim),
    "slow device by its clock": Planted(slow_clock, "lower clock", victim),
    "page faults of a rank": Planted(page_faults, "slow memory", victim),
    "NUMA: a rank's memory is far": Planted(far_memory, "slow memory", victim),
    "garbage collection": Planted(collector, "pauses"),
    "uneven shards": Planted(uneven_shards, "uneven shares", victim),
    "causal imbalance": Planted(causal_mask, "rising work"),
    "router skew": Planted(routing, "turns"),
    "late start": Planted(late_start, "late start", victim),
    "slow link": Planted(slow_link, "slow link", neighbours),
    "slow direction of a NIC": Planted(slow_direction, "slow receiving", victim),
    "latency-bound messages": Planted(small_messages, "small messages"),
    "bucket too large": Planted(large_bucket, "one message"),
    "launch-bound host": Planted(launching, "launching"),
    "host reads": Planted(host_reads, "host reads"),
    "loader": Planted(loader, "input"),
    "disk": Planted(disk, "input"),
    "allocator retries": Planted(full_memory, "full memory"),
    "first slot": Planted(first_slot, "first slot"),
    "warm-up": Planted(warm_up, "warm-up"),
}
"""What can be planted, as it is called."""
TWO = {"causal imbalance": Planted(causal_mask, "undeclared work", last)}
"""The same, where there are two ranks only."""
ACCELERATED = (
    "lower clock of all",
    "heat",
    "slow device by its clock",
    "launch-bound host",
    "host reads",
    "allocator retries",
)
"""Causes of devices with clocks of their own."""
