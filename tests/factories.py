"""Synthetic run directories with known true times: every report test starts from one of these."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.journal.log import sealed, texts
from harness.journal.measurement_warnings import MeasurementWarning
from harness.journal.plan import Case, Comparison, Exercise, Plan, Side, Value
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
)
from harness.journal.run_directory import RunDir

ROOFS = ("gemm_tf32", "gemm_bf16", "gemm_fp16", "copy", "upload", "download")
FLOPS = 4.0e9
"""Declared by all ranks of a synthetic case together, in one step."""


def work_time(case: Case) -> float:
    """The default truth, seconds of one step on every rank: 100 ms shared out, 3 % contention, 2 ms to communicate."""
    if case.probe:
        busy = 1.02 if case.world_size > 1 else 1.0
        alone = {"null": 2e-6, "spin": 5e-3, "gemm": 4e-3} | dict.fromkeys(ROOFS, 1e-3)
        return alone[case.scenario] * (busy if case.scenario == "gemm" else 1.0)
    whole = 0.1 * (1.5 if case.variant in ("each", "pieces") else 1.0)
    if case.packed:
        return whole * 1.03 / case.gang_size
    if case.world_size == 1:
        return whole
    return whole * 1.03 / case.world_size + 2e-3


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """What a synthetic run is like."""

    scenario: str = "split"
    scaling: str = "strong"
    variants: tuple[str, ...] = ("whole", "pieces")
    variant_field: str | None = "how"
    sizes: tuple[int, ...] = (1024,)
    """Values of the axis ``size``: a comparison each."""
    world_sizes: tuple[int, ...] = (1, 2)
    launches: int = 6
    done: int | None = None
    """Launches that really took place; None: all."""
    rounds: int = 6
    visits: int = 2
    """Samples a visit."""
    inner: int = 2
    seed: int = 7
    niceness: int = 0
    """Of each rank."""
    launch_noise: float = 0.004
    noise: float = 0.01
    truth: Callable[[Case], float] = work_time
    """True seconds of one step."""
    slow_ranks: Mapping[int, float] = field(default_factory=dict)
    """Factor on a rank's own time."""
    outcomes: Mapping[tuple[int, str], tuple[str, int | None, str]] = field(default_factory=dict)
    """Status, rank and message by launch and key, for cells that are not ok; ``missing`` writes no record."""
    by_design: bool = False
    """Whether those of them that are skipped are so by design."""
    warnings: Mapping[tuple[int, str], tuple[MeasurementWarning, ...]] = field(default_factory=dict)
    probes: bool = True
    roofs: bool = False
    """A GPU's, on one device."""
    packed: bool = True
    device_events: bool = False
    devices: tuple[str, ...] | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    """More fields of the scenario."""
    share: Callable[[Case, int], float] = lambda case, _: 1 / case.gang_size
    """Part of the whole work that a rank declares."""
    moved: float = 0.0
    """Bytes that all ranks of a case declare together."""
    drift: float = 0.0
    """Relative change of the time over a launch."""
    course: Callable[[int, int], float] = lambda *_: 1.0
    """Factor on a sample: its place among so many of a launch."""
    clock: Callable[[int, int], tuple[float, int]] | None = None
    """MHz of every device's clock during a sample, and NVML's reasons for it."""
    mhz: Callable[[Case, str], float] | None = None
    """MHz of every device's clock in all samples of a case, on a side."""
    late: float = 0.0
    """Seconds by which the last rank starts after the first."""
    first: float = 1.0
    """Factor on a launch's first sample."""
    least: float | None = None
    """Seconds between two marks of the device with nothing in between."""
    overhang: float = 1e-4
    """Seconds from the device's end of a sample to the host's, where there are device events."""
    exercises: tuple[Exercise, ...] = (Exercise(number="5.6.4", task="Two products.", answer="It is {whole.speedup}."),)
    found: Callable[[Case, int], Mapping[str, Value]] = lambda *_: {}
    """What every rank's check establishes about a case in a launch."""
    counted: Callable[[Case, int, int], Mapping[str, int | None]] = lambda *_: {}
    """More of a rank's facts: of a case, in a launch, on a rank."""
    host_ranks: int | None = None
    """How many ranks of the most each host has, where every host is measured by itself."""
    host: Callable[[int, int], str] = lambda *_: "node"
    """Where a rank is, by launch and rank."""
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What other hosts have otherwise than rank 0's."""
    wall_s: float = 12.5
    """Of a whole launch."""
    watched: Callable[[Case], tuple[Sequence[float], float] | None] = lambda _: None
    """Of a gang whose one collective was watched: each rank's true work and the transfer, in seconds of a step."""
    own_clocks: Callable[[Case], tuple[float, float] | None] = lambda _: None
    """True seconds of a step of a case by the host's clock, for launching it, and by the device's own."""
    unwatched: float = 0.0
    """Bytes of each rank's messages in a step that were counted, and not watched."""
    hidden_s: float = 0.0
    """Seconds of a watched step in which a message is under way while a rank works."""
    title: str = "A layer whose columns are split over the devices."
    command: str = "rankbench run split --devices cpu:2"
    sides: tuple[Side, ...] = (Side(name="torchrun"),)
    """They take turns, launch by launch."""
    pace: Mapping[str, float] = field(default_factory=dict)
    """Factor on all times of a side, by its name."""


def build(root: Path, like: Synthetic | None = None, *others: Synthetic, **changes: Any) -> RunDir:
    """Write a whole run directory and return it; ``others`` are more scenarios of the same run."""
    told = like or Synthetic(**changes)
    plan = plan_of(told, *others)
    run = RunDir(root)
    run.create(plan)
    noise = random.Random(told.seed)
    write_texts(
        run,
        (
            record.model_dump_json(by_alias=True)
            for launch in range(told.launches if told.done is None else told.done)
            for record in _launch((told, *others), plan, launch, noise)
        ),
    )
    run.environment_path.write_text(json.dumps(environment_of(plan), indent=1), encoding="utf-8")
    return run


def write_texts(run: RunDir, told: Iterable[str]) -> None:
    """Write the journal anew, of its records' texts."""
    run.journal_path.write_bytes(b"".join(sealed(text.encode()) for text in told))


def texts_of(run: RunDir) -> list[str]:
    """The text of each record of the journal, without its checksum."""
    with run.journal_path.open("rb") as file:
        return [text.decode() for _, text in texts(file, run.journal_path)]


def edit(run: RunDir, change: Callable[[str], str]) -> None:
    """Change the text of each record of the journal."""
    write_texts(run, map(change, texts_of(run)))


def environment_of(plan: Plan) -> dict[str, Any]:
    """What environment.json says: of a host that has the plan's devices and no more."""
    devices = sorted(set(plan.devices))
    host = {"name": "node", "cpu": "Synthetic 3000", "cores": len(devices) * plan.threads, "gpus": 0}
    return {
        "host": host | ({"gpus": len(devices)} if devices[0].startswith("cuda") else {}),
        "devices": [{"name": name, "model": "Synthetic 3000"} for name in devices],
        "software": {"python": "3.11.2", "torch": "2.11.0"},
        "git": None,
    }


def plan_of(told: Synthetic, *others: Synthetic) -> Plan:
    """The plan of a synthetic run; where there are several scenarios, the first says how it is run."""
    return Plan(
        version="0.1.0",
        command=told.command,
        sides=told.sides,
        devices=told.devices or tuple(f"cpu:{rank}" for rank in range(max(told.world_sizes))),
        world_sizes=told.world_sizes,
        launches=told.launches,
        seed=told.seed,
        budget_s=60.0,
        regime={"alignment": "delay window", "cache": "hot", "mode": "eager", "threads": "1"},
        comparisons=tuple(_comparison(each, size) for each in (told, *others) for size in each.sizes),
    )


def _comparison(told: Synthetic, size: int) -> Comparison:
    shared: dict[str, Value] = {"size": size, **told.params}
    cases: list[Case] = []
    for world_size in told.world_sizes:
        for variant in told.variants if told.variant_field else (None,):
            params = {**shared, told.variant_field: variant} if told.variant_field and variant else shared
            one = Case(
                scenario=told.scenario,
                reference="scenarios.chapter.products.split:Split",
                params=params,
                variant=variant,
                world_size=world_size,
            )
            cases.append(one)
            if told.packed and world_size > 1:
                cases.append(Case(**(one.model_dump() | {"packed": True})))
            if told.host_ranks and world_size == max(told.world_sizes):
                cases.append(Case(**(one.model_dump() | {"packed": True, "copy_size": told.host_ranks})))
        if told.probes:
            cases += [
                Case(
                    scenario=name,
                    reference=f"harness.plugins.floor_and_ceiling:{name.title()}",
                    params={},
                    world_size=world_size,
                    packed=world_size > 1 and name != "null",
                    probe=True,
                )
                for name in ("null", "spin", "gemm")
            ]
    if told.roofs:
        cases += [
            Case(scenario=name, reference="harness.plugins.roofline:Product", params={}, world_size=1, probe=True)
            for name in ROOFS
        ]
    return Comparison(
        scenario=told.scenario,
        title=told.title,
        exercises=told.exercises,
        scaling=told.scaling,
        variant_field=told.variant_field,
        baseline=told.variants[0] if told.variant_field else None,
        params=shared,
        cases=tuple(cases),
    )


def _launch(every: Sequence[Synthetic], plan: Plan, launch: int, noise: random.Random) -> Sequence[Any]:
    ranks = tuple(
        Rank(
            rank=rank,
            host=every[0].host(launch, rank),
            pid=100 + rank,
            device=device,
            device_name="Synthetic 3000",
            cpus=(rank,),
            threads=1,
            niceness=every[0].niceness,
            least_s=every[0].least,
        )
        for rank, device in enumerate(plan.devices)
    )
    started = f"2026-01-02T03:{launch:02d}:00Z"
    head = LaunchRecord(
        launch=launch,
        launcher=plan.side_of(launch).launcher,
        started=started,
        fingerprint="f00dfeed",
        lead_s=0.002,
        ranks=ranks,
        hosts={name: dict(its) for name, its in every[0].hosts.items()},
        variables={"OMP_NUM_THREADS": "1"} | ({"RAY_JOB": "<7>"} if plan.side_of(launch).launcher == "ray" else {}),
    )
    bias = every[0].pace.get(plan.side_of(launch).name, 1.0) * (1 + noise.gauss(0, every[0].launch_noise)) - 1
    owners = [told for told in every for _ in told.sizes]
    cells = [
        _cell(told, launch, index, case, (noise, bias), plan.side_of(launch).name)
        for index, (told, comparison) in enumerate(zip(owners, plan.comparisons, strict=True))
        for case in comparison.cases
    ]
    return [head, *(cell for cell in cells if cell is not None), EndRecord(launch=launch, wall_s=every[0].wall_s)]


def _cell(
    told: Synthetic, launch: int, index: int, case: Case, luck: tuple[random.Random, float], side: str
) -> CellRecord | None:
    status, rank, message = told.outcomes.get((launch, case.key), ("ok", None, None))
    if status == "missing":
        return None
    samples, facts = _samples(told, case, *luck, side), _facts(told, case, launch)
    kept = (
        {
            "samples": samples,
            "facts": facts,
            "waits": _waits(told, case, launch, *luck),
            "queued": _queued(told, case, *luck),
        }
        if status in ("ok", "wrong")
        else {}
    )
    return CellRecord(
        launch=launch,
        comparison=index,
        case=case.key,
        status=status,
        rank=rank,
        message=message,
        by_design=told.by_design and status == "skipped",
        unit="product",
        inner=told.inner,
        warnings=told.warnings.get((launch, case.key), ()),
        **kept,
    )


def _facts(told: Synthetic, case: Case, launch: int) -> tuple[RankFacts, ...]:
    product = 1.2 * FLOPS * 0.04
    whole = {"gemm": product, "null": 0.0, "spin": 0.0, "copy": 0.0, "upload": 0.0, "download": 0.0}.get(
        case.scenario, product if case.probe else FLOPS
    )
    parts = [1.0 if case.probe else told.share(case, rank) for rank in range(case.world_size)]
    return tuple(
        RankFacts(
            flops=whole * part,
            bytes=2.5e8 if case.scenario in ("copy", "upload", "download") else 0 if case.probe else told.moved * part,
            items=100 * part,
            counted_flops=whole * part,
            first_s=3 * told.truth(case),
            cpu_s=1.0,
            wall_s=1.01,
            **{"host_reads": 0, "found": dict(told.found(case, launch)), **told.counted(case, launch, rank)},
        )
        for rank, part in enumerate(parts)
    )


def _samples(told: Synthetic, case: Case, noise: random.Random, bias: float, side: str) -> Samples:
    count = told.rounds * told.visits
    truth = told.truth(case) * (1 + bias)
    own = [
        [
            told.inner
            * truth
            * told.slow_ranks.get(rank, 1.0)
            * (1 + told.drift * i / count)
            * told.course(i, count)
            * (1 + noise.gauss(0, told.noise))
            for i in range(count)
        ]
        for rank in range(case.world_size)
    ]
    pace = 10 * told.inner * truth
    for times in own:
        times[0] *= told.first
    late = [told.late if rank and rank == case.world_size - 1 else 0.0 for rank in range(case.world_size)]
    starts = [[1.0 + pace * i + after + 1e-5 * noise.random() for i in range(count)] for after in late]
    ends = [[start + took for start, took in zip(*pair, strict=True)] for pair in zip(starts, own, strict=True)]
    clocks = [told.clock(i, count) for i in range(count)] if told.clock else None
    clocks = [(told.mhz(case, side), 0)] * count if told.mhz else clocks
    return Samples(
        clock_mhz=[[mhz for mhz, _ in clocks] for _ in own] if clocks else None,
        held_back=[[reasons for _, reasons in clocks] for _ in own] if clocks else None,
        round=tuple(i // told.visits for i in range(count)),
        position=tuple(3 * (i // told.visits) for i in range(count)),
        start_s=starts,
        end_s=[[end + told.overhang for end in each] for each in ends] if told.device_events else ends,
        device_s=own if told.device_events else None,
        enqueue_s=own if told.device_events else None,
    )


def _waits(told: Synthetic, case: Case, launch: int, noise: random.Random, bias: float) -> CollectiveTimes | None:
    true = told.watched(case) if case.gang_size > 1 and not (case.packed or case.probe) else None
    if true is None:
        return None
    own, transfer_s = true
    work = [[part * (1 + bias) * (1 + noise.gauss(0, told.noise)) for _ in range(5)] for part in own]
    last = [max(each) for each in zip(*work, strict=True)]
    sent = [told.counted(case, launch, rank).get("traffic_bytes") or 0 for rank in range(case.world_size)]
    return CollectiveTimes(
        collectives=(1.0,) * 5,
        work_s=work,
        wait_s=[[end - mine for end, mine in zip(last, each, strict=True)] for each in work],
        transfer_s=[[transfer_s * (1 + bias)] * 5 for _ in own],
        hidden_s=[[told.hidden_s] * 5 for _ in own],
        bytes=[each - told.unwatched for each in sent],
        kinds=[
            CollectiveKind(
                kind="all_reduce",
                group_size=case.gang_size,
                count=(1.0,) * len(own),
                under_way_s=[transfer_s + told.hidden_s] * len(own),
                exposed_s=[transfer_s] * len(own),
            )
        ],
    )


def _queued(told: Synthetic, case: Case, noise: random.Random, bias: float) -> QueuedSamples | None:
    clocks = None if case.probe or case.packed else told.own_clocks(case)
    if clocks is None:
        return None
    host, device = (
        [
            [true * (1 + bias) * (1 + noise.gauss(0, told.noise)) for _ in range(told.rounds)]
            for _ in range(case.world_size)
        ]
        for true in clocks
    )
    return QueuedSamples(inner=told.inner, head_start_s=0.01, enqueue_s=host, device_s=device)


def true_median(values: Sequence[float]) -> float:
    """The median, by other means than the reports'."""
    return statistics.median(values)
