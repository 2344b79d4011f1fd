"""Rows of figures in summary.json: cases, contrasts, and what was measured beside them."""

from typing import Literal

from pydantic import Field

from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Record, Scaling, Value
from reports.reading.run import Spread, State

FLOORS = 3.0
"""Below this many floors a time is mostly the harness's own."""
HOST_BOUND = 1.1
"""A step is bound by its host where launching takes more than this multiple of the device's own time."""


class InCycles(Record):
    """Seconds times the clock, one side over the other: what a ratio of seconds would be if all clocks ran alike."""

    ratio: float
    """As the row's own ratio, or its speed-up, is formed."""
    ratio_low: float | None
    ratio_high: float | None
    clock: float
    """Clock of the side that is compared over that of the other, while their samples were taken."""
    disagrees: bool
    """Surely another clock, or another verdict: the seconds tell of the clock as well as of the code."""


Verdict = Literal["faster", "slower", "equivalent", "undecided", "not comparable"]
RankBasis = Literal["time", "work", "unequal", "nothing"]
"""What ranks are compared by: whole samples, or watched work; or why they are not: unequal declared work, or messages
that were not watched."""


class Caution(Record):
    """A warning about a number, over all launches of a case."""

    kind: Kind
    fact: str
    """What was seen, and in how many launches."""
    remedy: str


class MessageRow(Record):
    """A step's messages of one kind, in process groups of one size, on the rank that carries most of them."""

    kind: str
    """``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all``, ``broadcast``, ``send`` …"""
    group_size: int
    count: int
    bytes_in: int
    """Bytes that the rank hands over."""
    bytes_out: int
    """Bytes that it receives, or has reduced."""
    under_way_s: float | None = None
    """Seconds of a step in which at least one is under way, the median rank's; None where they could not be watched."""
    exposed_s: float | None = None
    """Seconds of those in which the rank cannot go on."""


class CellRow(Record):
    """One case, aggregated over launches. Times are seconds of one step; None where nothing can be said."""

    comparison: int
    """Index into the plan's comparisons."""
    key: str
    """The case's key, e.g. ``split[how=whole]@2``."""
    scenario: str
    variant: str | None
    variant_field: str | None
    params: dict[str, Value]
    """Every field of the scenario but its variant."""
    scaling: Scaling
    world_size: int
    launcher: str
    side: str
    """Of the run's environments the one that this row tells of; the launcher's name where they are launchers."""
    ranks_per_host: Spread = ()
    """How its ranks were spread over hosts, in their order; empty where that was not alike in all launches."""
    status: State
    """The worst of all launches."""
    rank: int | None = None
    """The first failing rank, where one failed."""
    message: str | None = None
    """What went wrong, where something did."""
    launches: int = 0
    """How many launches its time rests on."""
    samples: int = 0
    """How many samples, over all those launches."""
    median_s: float | None = None
    ci_low_s: float | None = None
    ci_high_s: float | None = None
    launch_s: dict[int, float] = Field(default_factory=dict)
    """Each launch's own value, the median over its samples."""
    enqueue_s: float | None = None
    """Seconds of the host for launching a step, where it waits for nothing; None where steps cannot be launched ahead
    of the device, and where there is no clock but the host's."""
    device_s: float | None = None
    """The device's own seconds of a step, where it waits for no launch; None as above, and where a step has nothing for
    it to do."""
    rate: float | None = None
    """Declared floating-point operations of all ranks a second."""
    byte_rate: float | None = None
    """Declared bytes of all ranks a second."""
    items_per_s: float | None = None
    unit: str = "item"
    rank_basis: RankBasis | None = None
    """What its ranks can be compared by, or why they cannot; None on one device."""
    skew_s: float | None = None
    """Median over samples of the spread between the ranks' starts."""
    first_s: float | None = None
    """The very first step: median over launches of the slowest rank's."""
    below_resolution: bool = False
    """Its time is within reach of the harness's own floor: not to be shown as a time."""
    base_kind: str | None = None
    base_world_size: int | None = None
    base_median_s: float | None = None
    ideal_s: float | None = None
    """What the base's time would become if the declared work were shared out at no cost; None without a claim."""
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    speedup_launches: int = 0
    """Launches that have both times: the ratio's interval rests on them."""
    in_cycles: InCycles | None = None
    """The speed-up in clock cycles, where clocks are known."""
    efficiency: float | None = None
    efficiency_low: float | None = None
    efficiency_high: float | None = None
    ideal_speedup: float | None = None
    """The most that the declared work's division over the ranks allows; of undeclared work the number of devices."""
    ceiling_speedup: float | None = None
    """What a large product reached on as many devices at once, in the same launches."""
    ceiling_low: float | None = None
    """Known, as the other end, where the speed-up is over one device."""
    ceiling_high: float | None = None
    roof_probe: str | None = None
    """The probe that multiplies such numbers as it does."""
    roof: float | None = None
    """FLOP/s that its devices reached in large products of the numbers that it multiplies."""
    byte_roof: float | None = None
    """Bytes a second that so many devices read and write where each copies as fast as one does alone."""
    held_bytes: int | None = None
    """Memory that the case holds between steps, on the rank that holds most; a step's peak comes on top."""
    peak_bytes: int | None = None
    """Memory that a step needs at its peak beyond what was there before, on the rank that needs most."""
    reserved_bytes: int | None = None
    """GPU memory that PyTorch's allocator held at its peak while a step was done, whoever's; where it was most."""
    watts: float | None = None
    """Mean power of all its devices together during the samples, where every device's could be told."""
    joules: float | None = None
    """Energy of one step on all its devices: mean power times the time."""
    flops_per_joule: float | None = None
    """Declared FLOPs over that energy: FLOP/s per watt."""
    traffic_bytes: int | None = None
    """What the collectives of a step carry, on the rank where they carry most."""
    messages: tuple[MessageRow, ...] = ()
    """The same by kind; empty where none is known."""
    allocated_bytes: int | None = None
    """Bytes of the tensors that a step's operations make, on the rank that makes most."""
    host_reads: int | None = None
    """Reads from the device to the host in a step, on the rank that reads most."""
    facts: dict[str, Value] = Field(default_factory=dict)
    """What rank 0's check established: of numbers that differ between launches the median, of words all of them."""
    warnings: tuple[Caution, ...] = ()

    @property
    def host_bound(self) -> bool:
        """Whether launching a step surely takes longer than the device's work in it."""
        return self.enqueue_s is not None and self.device_s is not None and self.enqueue_s > HOST_BOUND * self.device_s

    @property
    def timed(self) -> bool:
        """Whether it has a time that may be shown: one that was measured, above the harness's floor."""
        return self.median_s is not None and not self.below_resolution

    @property
    def scaled(self) -> bool:
        """Whether it has a speed-up that may be shown: of such a time, in a scenario that claims to scale."""
        return self.speedup is not None and not self.below_resolution and self.scaling != "none"

    @property
    def reachable(self) -> float | None:
        """The speed-up that a large product's would be if it were divided as this work is; None without either."""
        return self._divided(self.ceiling_speedup)

    @property
    def reachable_low(self) -> float | None:
        """The lower end of its interval, where that is known."""
        return self._divided(self.ceiling_low)

    @property
    def reachable_high(self) -> float | None:
        """The upper end."""
        return self._divided(self.ceiling_high)

    def _divided(self, ceiling: float | None) -> float | None:
        if ceiling is None or self.ideal_speedup is None:
            return None
        return ceiling * self.ideal_speedup * (self.base_world_size or 1) / self.world_size

    @property
    def divides(self) -> bool:
        """Whether its declared work can keep all of its devices busy."""
        devices = self.world_size / (self.base_world_size or 1)
        return self.ideal_speedup is None or self.ideal_speedup > 0.995 * devices


class ContrastRow(Record):
    """A variant against the baseline, at one world size, in the same launches."""

    comparison: int
    scenario: str
    params: dict[str, Value]
    world_size: int
    variant_field: str | None
    baseline: str
    variant: str
    ratio: float | None = None
    """Time of the variant over time of the baseline: below 1 the variant is faster."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    in_cycles: InCycles | None = None
    launches: int = 0
    verdict: Verdict
    reason: str | None = None
    """Why there is no verdict, where there is none."""
    margin: float
    """A difference begins beyond this fraction: what was asked for, or noise where that is larger."""
    margin_asked: float
    """No difference is what lies within this fraction."""
    aa: float
    """The comparison's A/A: the 95th percentile of its cases' contrasts with themselves."""


class SideRow(Record):
    """A case on one of the run's sides against the first side, in launches that took turns."""

    comparison: int
    key: str
    world_size: int
    side: str
    reference: str
    """The first side."""
    control: bool = False
    """This side is the first one once more: its ratio is noise, and belongs to the margin."""
    median_s: float | None = None
    reference_s: float | None = None
    ratio: float | None = None
    """Time on this side over time on the first: below 1 this side is faster."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    in_cycles: InCycles | None = None
    blocks: int = 0
    """Turns in which both sides measured it; the interval is that of the turns' own ratios."""
    p: float | None = None
    """Of so many turns above the margin where it is no slower than that; one-sided."""
    p_holm: float | None = None
    """The same, corrected for all cases that were tested."""
    verdict: Verdict
    """By its own interval."""
    confirmed: bool = False
    """Slower, and still so after the correction."""
    reason: str | None = None
    margin: float
    """A difference begins beyond this fraction: what was asked for, or noise where that is larger."""
    margin_asked: float
    """No difference is what lies within this fraction."""


class CeilingRow(Record):
    """What the machine itself does when all devices are busy, measured beside the cases."""

    comparison: int
    probe: str
    world_size: int
    base_median_s: float
    median_s: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None


class RoofRow(Record):
    """What so many devices at once reached at most in any comparison: of operations or of bytes."""

    probe: str
    comparison: int = 0
    """Beside which it did."""
    words: str
    world_size: int
    rate: float
    unit: Literal["FLOP", "B"]


class FloorRow(Record):
    """The time of a step that does nothing: below three of it a time is the harness's own."""

    comparison: int
    world_size: int
    median_s: float


class HostRow(Record):
    """One host against the others, in a case of which each has a copy of its own at once."""

    comparison: int
    key: str
    host: str
    peers: int
    """How many others there are."""
    ratio: float
    """Its time over the median of the other hosts' times, all of them means over samples."""
    ratio_low: float | None
    ratio_high: float | None
    slowest_launches: int
    """In how many launches it was the slowest."""
    launches: int
    limit: float
    """It is named where ``ratio_low`` is above this."""
    named: bool


class RankRow(Record):
    """One rank against its peers, in a case with equal work on all of them."""

    comparison: int
    key: str
    packed: bool
    world_size: int
    rank: int
    device: str
    ratio: float
    """Its own time over the median of the other ranks' times; of its work alone, where they meet in collectives."""
    ratio_low: float | None
    ratio_high: float | None
    basis: Literal["time", "work"] = "time"
    """What was compared: whole samples; or work outside collectives, in samples whose collectives were watched."""
    slowest_share: float
    """In which fraction of samples it was the slowest."""
    slowest_launches: int
    """In how many launches its own value was the greatest."""
    launches: int
    limit: float
    """It is named where ``ratio_low`` is above this."""
    named: bool
    disturbed: bool = False
    """Whether other processes used its core in half of the launches or more: then it may be slow because of them."""
