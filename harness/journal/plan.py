"""The plan: every case that a run means to measure, written down before the first measurement.

Plan ── Comparison ── Case        comparison: interleaved cases that differ in variant and world size
"""

import hashlib
import json
import random
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.common import startup
from harness.journal.emulation import Emulation


def rounds(count: int, *seed: object) -> Iterator[list[int]]:
    """Endless rounds over ``count`` cases: each visits each case once, in a new random order.

    ``seed`` (the run's seed, the launch, the comparison) fixes every order, so that all ranks
    of a launch agree on it without a word.
    """
    shuffler = random.Random("/".join(map(str, seed)))  # noqa: S311
    while True:
        order = list(range(count))
        shuffler.shuffle(order)
        yield order


SCHEMA = 1
"""Version of plan.json and journal.jsonl. 1: first release."""

DEADLINE_S = 120.0
"""The deadline of a case, if the user sets none."""

MOST_LAUNCHES, MOST_CELLS = 10_000, 1_000_000
"""The most launches and cells of a run: more could not be reported on."""

Value = bool | int | float | str
Scaling = Literal["strong", "weak", "none"]
LauncherName = Literal["inline", "torchrun", "ray"]
Placement = Literal["pack", "spread", "strict-spread"]
Cache = Literal["hot", "cold"]
Execution = Literal["eager", "graph"]
GlooLoop = Literal["background", "as-is"]
StepsBy = Literal["optimizer", "forward"]


class Record(BaseModel):
    """Read from and written to files: strict, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Exercise(Record):
    """An exercise of the chapter, and the answer that a run gives to it."""

    number: str
    """E.g. ``5.6.4``."""
    task: str
    """The exercise's question, in one sentence."""
    answer: str
    """One sentence with figures of the run in braces, ``{variant.figure}``: see docs/scenarios.md."""
    on_cpu: str = ""
    """The answer where the devices are CPU cores, if it is another: where it would compare the CPU with itself."""

    def on(self, device: str) -> Self:
        """The exercise with the answer for devices such as this one, e.g. ``cpu:0``."""
        return self.model_copy(update={"answer": self.on_cpu}) if self.on_cpu and device.startswith("cpu") else self


class Case(Record):
    """A scenario with every axis fixed, at one world size."""

    scenario: str
    """The scenario's name, e.g. ``split``; a probe's name for a probe."""
    reference: str
    """The class: ``package.module:Class`` or ``/path/to/file.py:Class``."""
    params: dict[str, Value]
    """Every field of the scenario, its variant included."""
    variant: str | None = None
    """The value of the variant, as text; None for a scenario without one."""
    world_size: int = Field(ge=1)
    """Number of ranks, and so of busy devices."""
    packed: bool = False
    """True: independent copies at once, on ``world_size`` ranks in all."""
    copy_size: int = Field(default=1, ge=1)
    """Ranks of each packed copy: one, or all of one host."""
    probe: bool = False
    """True for the harness's own null, spin and product probes."""

    @property
    def key(self) -> str:
        """E.g. ``frobenius[log=each,size=100]@2``; packed copies end in ``@1x2``."""
        inside = ",".join(f"{name}={value}" for name, value in sorted(self.params.items()))
        size = f"{self.copy_size}x{self.world_size // self.copy_size}" if self.packed else str(self.world_size)
        return f"{self.scenario}[{inside}]@{size}" if inside else f"{self.scenario}@{size}"

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def gang_size(self) -> int:
        """Ranks that work together in one copy of the case."""
        return self.copy_size if self.packed else self.world_size


class Comparison(Record):
    """The cases of one scenario with equal axes but for variant and world size, and the probes beside them."""

    scenario: str
    title: str
    """The first line of the scenario's docstring."""
    exercises: tuple[Exercise, ...] = ()
    """The exercises that it answers."""
    scaling: Scaling
    variant_field: str | None = None
    """Which field is the variant; None where there is none."""
    baseline: str | None = None
    """The variant that the others are compared with."""
    params: dict[str, Value]
    """The axes that all cases share: every field but the variant."""
    code: str = ""
    """Digest of the scenario's source; empty where it has none."""
    cases: tuple[Case, ...]
    """Gang cases, their packed copies, and the probes, all interleaved with one another."""

    @property
    def label(self) -> str:
        """E.g. ``split[products=2,size=1024]``."""
        inside = ",".join(f"{name}={value}" for name, value in sorted(self.params.items()))
        return f"{self.scenario}[{inside}]" if inside else self.scenario


def most_launches(comparisons: Sequence[Comparison]) -> int:
    """The most launches that a run of these comparisons may have."""
    return min(MOST_LAUNCHES, MOST_CELLS // max(1, sum(len(comparison.cases) for comparison in comparisons)))


class Side(Record):
    """One of the environments between which a run's launches alternate; most runs have one."""

    name: str
    """E.g. ``ray``; ``a`` and ``b`` in a duel."""
    launcher: LauncherName = "torchrun"
    """The launcher of its ranks."""
    python: str | None = None
    """The interpreter of its ranks; None for the parent's own."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables of its ranks, over those that they have anyway."""
    control: bool = False
    """True for the first side repeated: its difference from the first side is noise, a floor for all differences."""


class Precision(Record):
    """The wanted width of intervals."""

    fraction: float = Field(gt=0, lt=1)
    """Of every case's time, or in a duel of every ratio: launches are added until no interval reaches further to
    either side, in the mean."""
    limit_s: float = Field(gt=0)
    """Wall-clock in seconds after which none is added."""


class Script(Record):
    """A user's own program that is measured as it is: each world size is a fresh start of it."""

    target: str
    """Absolute path of its file, or the name of its module."""
    module: bool = False
    """Whether it is started as ``python -m`` starts a module."""
    arguments: tuple[str, ...] = ()
    folder: str
    """The script's working directory."""
    steps: int = Field(ge=1)
    """Number of timed steps per launch, if the budget is enough for them."""
    skip: int = Field(ge=3)
    """Steps of warm-up before them, which do not count."""
    steps_by: StepsBy = "optimizer"
    """What ends a step: an optimizer's step, or a call of the outermost module."""
    detects_scaling: bool = False
    """Whether its scaling is told by the samples that its ranks' steps are handed: the user has said nothing."""

    @property
    def name(self) -> str:
        """E.g. ``train.py`` or ``-m package.train``."""
        return f"-m {self.target}" if self.module else self.target.rpartition("/")[2]

    @property
    def words(self) -> str:
        """The program and its arguments, as a shell reads them."""
        return shlex.join([*(["-m", self.target] if self.module else [self.name]), *self.arguments])


class Plan(Record):
    """The whole planned matrix of a run, with seed and regime."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    version: str
    """Version of rankbench."""
    command: str
    """The command line that made the plan, to reproduce it."""
    sides: tuple[Side, ...] = Field(min_length=1)
    """Several take turns, launch by launch; the others are compared with the first."""
    placement: Placement = "pack"
    """How a Ray cluster spreads the ranks over its nodes."""
    ray_address: str | None = None
    """Address of the Ray cluster; None for a local cluster that rankbench starts."""
    devices: tuple[str, ...]
    """One device per rank, in rank order: ``cpu:0``, ``cuda:1``."""
    emulation: Emulation | None = None
    """The properties of emulated devices, and the planted causes; None if devices are real."""
    world_sizes: tuple[int, ...]
    ranks_per_host: int | None = Field(default=None, ge=1)
    """Number of ranks per host under an external torchrun; None if the run starts its own ranks."""
    threads: int = Field(default=1, ge=1)
    """Intra-op threads of each rank; on CPU also its cores."""
    launches: int = Field(ge=1)
    seed: int = 0
    budget_s: float = Field(gt=0)
    """Wall-clock that the whole run is meant to measure for, in seconds."""
    strict: bool = False
    """True: launches are skipped once the budget is overshot by half; False: each is at least measured in brief."""
    deadline_s: float = Field(default=DEADLINE_S, gt=0)
    """Seconds without a heartbeat after which a rank hangs: a heartbeat is due after each sample, step or check."""
    precision: Precision | None = None
    """When to add launches to those that are planned; None: never."""
    margin: float = Field(default=0.05, ge=0)
    """Differences within this fraction count as none."""
    cache: Cache = "hot"
    """What a sample finds in its device's cache: what the last one left, or nothing."""
    execution: Execution = "eager"
    """Whether steps are launched one by one, or captured once and replayed."""
    gloo_loop: GlooLoop = "background"
    """How gloo's event loop shares a CPU device's core with the step: behind it, or as gloo has it."""
    profile: bool = False
    """Whether each case is traced once everything is measured: no figure depends on it."""
    trial: bool = False
    """Whether it tries scenarios and times nothing for anybody: checks are given altered outputs, too."""
    regime: dict[str, str]
    """The measurement regime: figures of different regimes are not compared."""
    script: Script | None = None
    """The program of a run of ``rankbench script``; None for scenarios."""
    comparisons: tuple[Comparison, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @property
    def launcher(self) -> str:
        """The launchers of all sides, as text."""
        return ",".join(dict.fromkeys(side.launcher for side in self.sides))

    @property
    def hosts(self) -> int:
        """Number of hosts of an external torchrun; 1 if the run starts its own ranks."""
        return -(-len(self.devices) // (self.ranks_per_host or len(self.devices)))

    @property
    def copies(self) -> dict[int, int]:
        """How many gangs of several ranks are busy at once, by size, where it is more than one: one on each host."""
        packed = [case for comparison in self.comparisons for case in comparison.cases if case.packed]
        return {case.copy_size: case.world_size // case.copy_size for case in packed if case.copy_size > 1}

    @property
    def program(self) -> str:
        """The first words of its command lines; under torchrun over several hosts they are for each host."""
        return startup.program(len(self.devices), self.ranks_per_host)

    def side_of(self, launch: int) -> Side:
        """Whose turn a launch is: each block of launches has one of every side, in an order of its own by chance."""
        (order,) = islice(rounds(len(self.sides), self.seed, "sides", self.turn_of(launch)), 1)
        return self.sides[order[launch % len(self.sides)]]

    def turn_of(self, launch: int) -> int:
        """Which block of launches a launch belongs to, from 0."""
        return launch // len(self.sides)

    @property
    def is_duel(self) -> bool:
        """Whether one of its sides is a control, so that the run answers whether another is slower."""
        return any(side.control for side in self.sides)

    @property
    def shared_device(self) -> bool:
        """Whether several ranks share a device, so that no figure is a scaling figure."""
        return len(set(self.devices)) < len(self.devices)

    @property
    def launch_budget_s(self) -> float:
        """Wall-clock for one launch, in seconds."""
        return self.budget_s / self.launches

    @property
    def identity(self) -> str:
        """A hash of what is measured and how: equal for runs whose launches belong together."""
        fields = self.model_dump(
            mode="json",
            by_alias=True,
            exclude={
                "command",
                "launches",
                "budget_s",
                "strict",
                "precision",
                "version",
                "ray_address",
                "deadline_s",
                "profile",
                "trial",
                "ranks_per_host",
            },
        )
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]

    def holds(self, launch: int) -> bool:
        """Whether a run of this plan may have a launch of that number."""
        return 0 <= launch < most_launches(self.comparisons)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not self.holds(self.launches - 1):
            raise ValueError(f"there may be at most {most_launches(self.comparisons)} launches of so many cases")
        return self

    def cells(self, launches: int | None = None) -> Iterator[tuple[int, int, Case]]:
        """Every planned cell as (launch, index of the comparison, case)."""
        for launch in range(self.launches if launches is None else launches):
            for index, comparison in enumerate(self.comparisons):
                for case in comparison.cases:
                    yield launch, index, case

    def to_json(self) -> str:
        """The text of plan.json."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
