"""summary.json as a whole: the rows of figures, and what the run was, what became of it, and what it says."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from pydantic import ConfigDict, Field

from harness.journal.plan import Record, Scaling, Value
from harness.journal.records import MEASURED, RankOutcome
from reports.reading.run import Layout, Spread, State
from reports.schema.cases import CeilingRow, CellRow, ContrastRow, FloorRow, HostRow, RankRow, RoofRow, SideRow
from reports.schema.diagnostics import (
    AdviceRow,
    AuditRow,
    CauseRow,
    HealthRow,
    HeatRow,
    LossRow,
    ProjectionRow,
    TraceRow,
    VarianceRow,
)


class Quote(Record):
    """A figure of the run in the sentence of an answer."""

    field: str
    """As the answer's author names it: ``each.time``."""
    figure: str
    """Its last part: ``time``; empty where the name cannot be read."""
    text: str
    """What stands in the sentence in its place."""
    at: int
    """Where in the sentence, in characters from 0."""
    known: bool
    """False where there is no such figure: ``text`` says why."""
    comparison: int | None = None
    """Index of the comparison that it comes from."""
    most: bool = False
    """True: on the most devices; else on the fewest."""


class Crossing(Record):
    """Where along a swept axis a variant overtakes its baseline, or the most devices overtake the fewest."""

    comparisons: tuple[int, ...]
    """Those along the axis, in its order."""
    axis: str
    variant: str | None
    baseline: str | None
    """The variant that is overtaken; None where devices are compared."""
    world_sizes: tuple[int, ...]
    """The number of devices; two of them, the fewer first, where devices are compared."""
    after: float | None
    """The last value at which it is surely slower."""
    before: float | None
    """The first value from which on it is surely faster, everywhere."""


class ExerciseRow(Record):
    """One exercise of the chapter, as this run answers it."""

    exercise: str
    """Its number."""
    task: str
    answer: str
    """The sentence, with the run's own figures; empty where the scenario has none."""
    answered: bool
    """Whether there is a sentence, and every figure in it is known."""
    scenarios: tuple[str, ...]
    comparisons: tuple[int, ...]
    """Indices of the comparisons that were measured for it."""
    labels: tuple[str, ...]
    """Their names."""
    quotes: tuple[Quote, ...]
    crossings: tuple[Crossing, ...]

    @property
    def pieces(self) -> Iterator[tuple[str, Quote | None]]:
        """The sentence, cut where a figure begins and where it ends."""
        at = 0
        for quote in self.quotes:
            yield self.answer[at : quote.at], None
            yield quote.text, quote
            at = quote.at + len(quote.text)
        yield self.answer[at:], None


class ProfileRow(Record):
    """The profile of one case."""

    comparison: int
    key: str
    files: tuple[str, ...]
    """A trace a rank, in rank order, below the run's ``profiles``."""
    bytes: int
    """Of these files together."""
    steps: int
    """Steps that were traced."""
    message: str | None
    """Why there are no files, in a line."""


SCHEMA = 1
"""Version of summary.json. 1: first release."""


class Planned(Record):
    """What became of one planned cell."""

    launch: int
    comparison: int
    case: str
    status: State
    rank: int | None = None
    message: str | None = None
    outcomes: tuple[RankOutcome, ...] = ()
    """What became of each rank, where its gang was lost."""
    again: str | None = None
    """Where it failed: the command line that measures its case again, and nothing else."""
    by_design: bool = False
    """Whether the scenario itself says that the case makes no sense here: to measure it again would change nothing."""

    @property
    def failed(self) -> bool:
        """Whether it was recorded, and is neither measured nor skipped by design."""
        return self.status not in (*MEASURED, "missing") and not self.by_design


class ComparisonFacts(Record):
    """What a comparison is about."""

    comparison: int
    scenario: str
    title: str
    exercises: tuple[str, ...]
    scaling: Scaling
    variant_field: str | None
    baseline: str | None
    params: dict[str, Value]
    aa: float
    margin: float


class RankPlace(Record):
    """Where one rank of a run over several hosts was, and how well its host's clock is known."""

    rank: int
    place: str
    """Host and device, e.g. ``node-1, cuda:0``."""
    clock_error_s: float
    """By how much its instants may be off from those of rank 0's host, at most."""


class SideFacts(Record):
    """One of the environments that took turns, and how its ranks were placed in its first launch."""

    name: str
    launcher: str
    python: str | None
    """The interpreter of its ranks; None for the one that measured."""
    ranks_per_host: Spread
    """In the order of ranks."""
    layouts: tuple[Layout, ...]
    """How its ranks were spread over hosts in any launch, each way once."""
    places: tuple[RankPlace, ...] = ()
    """Each rank's, where they are on several hosts."""
    cpus: tuple[tuple[int, ...], ...]
    """Of each rank."""
    threads: tuple[int, ...]
    """Of each rank."""
    strange_hosts: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By host: what is otherwise than on rank 0's, by dotted name, in any launch."""
    niceness: int = 0
    """The greatest of any rank in any launch: above 0, other processes go first."""
    variables: dict[str, str]
    """Rank 0's environment variables that change figures, and all that the side was given."""


class RunFacts(Record):
    """How the run was made."""

    command: str
    version: str
    launcher: str
    sides: tuple[SideFacts, ...]
    """The environments that took turns; most runs have one."""
    program: str = "rankbench"
    """What its command lines begin with: under torchrun, the words that start as many ranks on each host."""
    devices: tuple[str, ...]
    device_names: tuple[str, ...]
    world_sizes: tuple[int, ...]
    threads: int
    launches_planned: int
    launches_done: int
    """Launches in which every planned cell has a record."""
    seed: int
    budget_s: float
    margin: float
    precision: float | None
    """The fraction of its time within which each interval was to be; None where that was not asked for."""
    regime: dict[str, str]
    shared_device: bool
    emulated: str | None = None
    """What was planted in emulated devices; None where devices are real."""
    started: str | None
    """Wall-clock of the first launch, UTC."""
    fingerprint: str | None
    """Of the environment; several, joined by commas, where launches differ."""

    @property
    def turns_planned(self) -> int:
        """Launches of each side."""
        return -(-self.launches_planned // len(self.sides))


class Claim(Record):
    """One sentence in plain English; names stand in backticks."""

    kind: Literal["side", "scaling", "comparison", "failure", "load", "hosts", "ranks", "floor", "caveat"]
    text: str
    comparison: int | None = None


Place = tuple[int, str | None, int]
"""Comparison, variant and number of devices."""


class Summary(Record):
    """summary.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    headline: str
    """The run in one line."""
    run: RunFacts
    counts: dict[str, int]
    """Planned cells, and how many ended in each state."""
    claims: tuple[Claim, ...]
    cells: tuple[CellRow, ...]
    """Of every side; all other rows but ``sides`` are of the first."""
    sides: tuple[SideRow, ...]
    """The other sides' cases against the first side's; empty where there is one."""
    comparisons: tuple[ContrastRow, ...]
    ceilings: tuple[CeilingRow, ...]
    roofs: tuple[RoofRow, ...] = ()
    """What a GPU reaches at most, by type of number and by path of the bytes; none without one."""
    floors: tuple[FloorRow, ...]
    hosts: tuple[HostRow, ...] = ()
    """Each of several hosts, measured by itself."""
    ranks: tuple[RankRow, ...]
    variances: tuple[VarianceRow, ...]
    """Where the spread of each case's launches comes from."""
    advice: tuple[AdviceRow, ...]
    """What would narrow the intervals of each comparison."""
    losses: tuple[LossRow, ...]
    """Where the seconds of each case above its ideal go."""
    causes: tuple[CauseRow, ...] = ()
    """What costs each of them most, where that can be told."""
    health: tuple[HealthRow, ...]
    """How steady each case was in each launch."""
    projection: tuple[ProjectionRow, ...]
    """What more devices might do; never measured."""
    audit: tuple[AuditRow, ...]
    """The twelve rules of Hoefler and Belli (SC15)."""
    traces: tuple[TraceRow, ...]
    """Samples of each case in each launch."""
    heat: tuple[HeatRow, ...]
    """Ranks against their peers over time, on the most devices of each comparison."""
    profiles: tuple[ProfileRow, ...] = ()
    """Where the profiler's traces are, below the run's ``profiles``; none where nobody asked for them."""
    chapter: tuple[ExerciseRow, ...]
    """The exercises that the run answers, in their order."""
    about: tuple[ComparisonFacts, ...]
    """What each comparison of the plan is about."""
    strip: tuple[Planned, ...]
    environment: dict[str, Any] | None

    @property
    def first(self) -> tuple[CellRow, ...]:
        """The cells of the first side: what tables and figures show."""
        return tuple(row for row in self.cells if row.side == self.run.sides[0].name)

    @property
    def others(self) -> tuple[CellRow, ...]:
        """The cells of all other sides."""
        return tuple(row for row in self.cells if row.side != self.run.sides[0].name)

    @cached_property
    def by_variant(self) -> dict[Place, CellRow]:
        """The cells of the first side."""
        return {(row.comparison, row.variant, row.world_size): row for row in self.first}

    @cached_property
    def contrasts(self) -> dict[Place, ContrastRow]:
        """The contrasts, of the first side too."""
        return {(row.comparison, row.variant, row.world_size): row for row in self.comparisons}

    @property
    def is_duel(self) -> bool:
        """Whether its question is how its sides compare."""
        return any(row.control for row in self.sides)

    def to_json(self) -> str:
        """The text of summary.json."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
