"""Rows of summary.json that say why: how steady a launch was, where efficiency went, what more devices might do."""

from statistics import median
from typing import Literal

from pydantic import Field

from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Record, Scaling


class HealthRow(Record):
    """How steady one case was in one launch. Effects are relative: 0.1 is a tenth slower; None where unknown."""

    comparison: int
    key: str
    launch: int
    samples: int
    drift: float
    """Change from first to last sample that a Theil-Sen line through all of them predicts."""
    trend: float
    """Kendall's tau of time and order, as in the Mann-Kendall test: 1 rises throughout, -1 falls throughout."""
    lag1: float
    """Autocorrelation of neighbouring samples, the line taken off."""
    looseness: float
    """Half the width of a 95 % interval of the launch's own value, with neighbours that echo counted less."""
    warm_up: float | None = None
    """Median of the first quarter of the rounds against the rest's."""
    first_of_visit: float | None = None
    """Median over visits of their first sample against their others'."""
    first_in_round: float | None = None
    """Median of visits that opened a round against its other visits'."""
    foreign_load: float | None = None
    """The greatest share of its visits that a rank waited for its core."""
    clock_mhz: float | None = None
    """Median over samples of the slowest device's clock, where devices tell."""
    clock_low_mhz: float | None = None
    """The least of them, but for the slowest twentieth of the samples."""
    throttled: float | None = None
    """Share of the samples in which a device held its clock back against heat or power, where devices tell."""


class Lost(Record):
    """Seconds of a step that one cause takes."""

    seconds: float
    """Negative where it gives back: parts that are faster than their share of the whole, say."""
    low: float | None
    """The interval of the launches' own; None below six launches."""
    high: float | None
    sure: bool
    """Whether it is surely not 0: by its interval, and beyond the noise."""


class LossRow(Record):
    """Where the seconds of a case's step above its ideal go; its known parts and ``other`` add up to them."""

    comparison: int
    key: str
    scenario: str
    variant: str | None
    world_size: int
    efficiency: float
    """Ideal over time."""
    time_s: float
    ideal_s: float
    """What the base's time becomes where the declared work is shared out at no cost."""
    missing_s: float
    """Time less ideal."""
    noise_s: float
    """As much of it the comparison's A/A noise alone may be."""
    contention: Lost | None = None
    """What the first device takes longer when the others are busy with copies of their own; None without copies."""
    imbalance: Lost | None = None
    """What the busiest rank makes the median of its peers wait; None where work cannot be told from waiting."""
    communication: Lost | None = None
    """Waiting for messages after the last rank has come to them: the median rank's. None where it is not known, or
    there are none."""
    other: Lost
    """What the parts above leave: more work than alone, and what they do not know."""
    basis: Literal["collectives", "times", "nothing"]
    """What tells work from waiting: watched collectives, the ranks' own times where there are none, or nothing."""
    collectives: float | None = None
    """Collectives of the gang in a step."""
    sent_bytes: int | None = None
    """Bytes of a step's messages, on the rank that has most."""
    bytes_per_s: float | None = None
    """These over the seconds of communication."""
    hosts: tuple[str, ...] = ()
    """The hosts that its ranks are on."""
    work_s: tuple[float, ...] = ()
    """Each rank's seconds outside collectives in a step, while watched."""
    wait_s: tuple[float, ...] = ()
    """Each rank's seconds in collectives until the last rank had come."""
    transfer_s: tuple[float, ...] = ()
    """Each rank's seconds in collectives from then on."""
    hidden_s: tuple[float, ...] = ()
    """Each rank's seconds of messages under way to which all ranks had come, while the rank worked."""
    exposed_s: float | None = None
    """By how much a watched step exceeds the busiest rank's work."""
    watched_s: float | None = None
    """A step's time while watched."""
    slow_rank: int | None = None
    """The rank that is named as the cause, in this case or in its independent copies."""
    slow_device: str | None = None
    """Its device, and its host where there are several."""
    text: str
    """What the row says."""

    @property
    def overlap(self) -> float | None:
        """Hidden communication, the median rank's, over hidden and exposed; None where it is not known."""
        hidden_s = median(self.hidden_s) if self.hidden_s else 0.0
        if self.exposed_s is None or not self.hidden_s or hidden_s + self.exposed_s <= 0:
            return None
        return hidden_s / (hidden_s + self.exposed_s)

    @property
    def parts(self) -> dict[str, Lost]:
        """The known parts and ``other``, by name."""
        known = {"contention": self.contention, "imbalance": self.imbalance, "communication": self.communication}
        return {name: part for name, part in known.items() if part is not None} | {"other": self.other}


Cause = Literal[
    "foreign load",
    "communication threads",
    "CPU quota",
    "throttled",
    "lower clock",
    "warm-up",
    "drift",
    "first slot",
    "full memory",
    "launching",
    "host reads",
    "input",
    "late start",
    "uneven shares",
    "turns",
    "rising work",
    "undeclared work",
    "slow memory",
    "slow rank",
    "slow receiving",
    "slow link",
    "small messages",
    "one message",
    "communication",
    "contention",
    "pauses",
]
"""What a report can name as the reason for which a step takes longer than it might."""


class CauseRow(Record):
    """What costs a case most, by the evidence of its journal."""

    comparison: int
    key: str
    world_size: int
    cause: Cause
    ranks: tuple[int, ...]
    """Whom it befalls; empty for all of them."""
    share: float
    """Of a step's time; of a cause that befalls some samples only, of theirs."""
    text: str
    """As a clause, after a because."""


class Projected(Record):
    """What a number of devices that was not measured might do, by all models: the widest that any of them says."""

    world_size: int
    measured: Literal[False] = False
    speedup_low: float
    speedup_high: float
    efficiency_low: float
    efficiency_high: float
    adds_low: float
    """Speed-up that the last of these devices adds: its marginal value."""
    adds_high: float
    families: dict[str, tuple[float, float]]
    """Each family's own band of the speed-up."""


class HoldOut(Record):
    """The largest count, foretold from the others."""

    world_size: int
    measured: float
    """Its measured speed-up."""
    measured_low: float
    measured_high: float
    low: float
    """The least that any model foretells."""
    high: float
    contained: bool
    """Whether what was measured, with its interval, meets what was foretold."""
    error: float
    """Middle of what was foretold over what was measured, less 1."""


class Refusal(Record):
    """Why there is no projection."""

    kind: Literal["few-counts", "few-launches", "shared-device", "uneven-work", "topology"]
    reason: str
    """As a clause."""


class ProjectionRow(Record):
    """What more devices might do for one variant, or why that cannot be said. Never measured, never gated on."""

    comparison: int
    scenario: str
    variant: str | None
    scaling: Scaling
    measured: Literal[False] = False
    base_world_size: int | None = None
    counts: tuple[int, ...] = ()
    """The numbers of devices that were measured."""
    refusal: Refusal | None = None
    """Where there is none."""
    hold_out: HoldOut | None = None
    horizon: int | None = None
    """How far a projection may go, by how well the largest count was foretold; ``points`` end there or before."""
    points: tuple[Projected, ...] = ()
    """The largest count measured, as the models see it, and then its doubles up to the horizon."""
    text: str


class AuditRow(Record):
    """One of the twelve rules of Hoefler and Belli (SC15), judged by this run's own data."""

    rule: int = Field(ge=1, le=12)
    title: str
    """The rule in short."""
    verdict: Literal["passed", "failed", "not applicable"]
    evidence: str
    """One sentence, with figures."""


Spend = Literal["launches", "samples", "either"]


class VarianceRow(Record):
    """The spread of a case's launch values, split in two; both are relative standard deviations."""

    comparison: int
    key: str
    world_size: int
    launches: int
    between_sd: float
    """Of what a launch's value would be with endless samples; 0 where its samples explain all of the spread."""
    within_sd: float
    """Of a launch's value around that, by the samples that it has."""


class AdviceRow(Record):
    """What would narrow the intervals of a comparison's times most for its cost."""

    comparison: int
    between_sd: float
    """Over its cases, the root of the mean square."""
    within_sd: float
    overhead_s: float | None
    """What a launch costs beside its samples: median over launches. None where no launch tells."""
    sampling_s: float | None
    """What the sampling of all comparisons costs in a launch: median over launches."""
    factor: float | None
    """How many times as many samples a launch should have; None where as many as can be had, or unknown."""
    gain: float | None
    """By which fraction intervals would be narrower at the same cost."""
    spend: Spend | None
    """On what to spend more; None where the costs are not known."""
    text: str
    """In one sentence; names stand in backticks."""


LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Levels of the quantiles."""


class TraceRow(Record):
    """The samples of one case in one launch; seconds of one step, of its slowest rank."""

    comparison: int
    key: str
    launch: int
    start_s: tuple[float, ...]
    """When samples began, in seconds since the launch's origin: all, or some that are evenly spread over all."""
    seconds: tuple[float, ...]
    """What these took."""
    held_back: tuple[int, ...] = ()
    """Those of them, by place, during which a device held its clock back against heat or power."""
    quantiles: tuple[float, ...]
    """Of all samples, at ``LEVELS``."""
    warnings: tuple[Kind, ...] = ()
    """Those of the case's warnings that this launch gives cause for."""

    def at(self, level: float) -> float:
        """The quantile at one of ``LEVELS``."""
        return self.quantiles[LEVELS.index(level)]


class HeatRow(Record):
    """How far each rank of one case is behind its peers, launch by launch and in the order of samples."""

    comparison: int
    key: str
    world_size: int
    basis: Literal["time", "work"]
    """Whole samples; or work outside collectives, in samples whose collectives were watched."""
    launches: tuple[int, ...]
    """The launch of each bin of neighbouring samples."""
    excess: tuple[tuple[float, ...], ...]
    """[rank][bin]: the median over the bin's samples of its own time, over the median of the other ranks', less 1."""
    hosts: tuple[str, ...] = ()
    """The host of each rank; empty where they are on one, or were not on the same in all launches."""

    def worst(self, rank: int, launch: int) -> float | None:
        """The most that a rank was behind in any bin of a launch; None where the launch has none."""
        excess = (value for value, place in zip(self.excess[rank], self.launches, strict=True) if place == launch)
        return max(excess, default=None)
