"""The records of the journal, the source of everything shown; ``harness.journal.log`` keeps them, one a line.

launch   a gang is up: who its ranks are
begin    a case is about to be measured in this launch
cell     what became of it, with every sample of every rank
profile  the traces of a case, or why there are none
end      the gang is down
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from harness.common.text import harmless
from harness.journal.measurement_warnings import MeasurementWarning
from harness.journal.plan import SCHEMA, Record, Value

LONGEST = 4000
"""Characters of last words that are kept: their end."""


class RankOutcome(Record):
    """The outcome of one rank."""

    rank: int
    outcome: str
    """The outcome in words, e.g. ``rank 1 was killed by SIGKILL`` or ``rank 0 waits for the other ranks``."""
    words: str | None = None
    """Its last output: the stack where it hung, or the end of its standard error, if known."""


def last(text: str) -> str | None:
    """The end of ``text``, as much as is kept, with nothing in it that steers a terminal; None where there is none."""
    return harmless(text[-LONGEST:]).strip() or None


Status = Literal["ok", "unchecked", "wrong", "oom", "error", "died", "hang", "skipped"]
"""``unchecked``: a user's own script was measured, which has no check of its output."""
MEASURED: tuple[str, ...] = ("ok", "unchecked")
"""Statuses of cells whose times count."""


class Rank(Record):
    """One rank of a launch, and its place."""

    rank: int
    host: str
    pid: int
    device: str
    """The device as in the plan: ``cpu:0``."""
    device_name: str
    """The model of the processor or GPU."""
    cpus: tuple[int, ...]
    """Logical CPUs that it was pinned to."""
    threads: int
    niceness: int = 0
    """Niceness of its process: above 0, other processes have priority."""
    clock_offset_s: float = 0.0
    """Added to its host's clock to have that of rank 0's host; its times are told in the latter."""
    clock_error_s: float = 0.0
    """Bound of the offset's error: start skews below it mean nothing. 0 if ranks share one clock."""
    least_s: float | None = None
    """Seconds between two of the device's own marks with nothing in between; None where it has none."""


class GroupSetup(Record):
    """Setup time of a launch's first ranks until they could exchange tensors, in seconds of the slowest of them."""

    size: int
    """Number of ranks."""
    setup_s: float
    """From nothing to a communicator."""
    first_s: float
    """The first all-reduce of one number."""
    steady_s: float
    """The median of the following all-reduces of one number."""


class Samples(Record):
    """Every sample of one case in one launch. Lists are indexed [sample]; nested ones [rank][sample]."""

    round: tuple[int, ...]
    """The round that the sample was taken in, from 0."""
    position: tuple[int, ...]
    """The place of its visit in the true order of the comparison's visits, from 0."""
    start_s: tuple[tuple[float, ...], ...]
    """Host clock at the start mark, in seconds since the launch's origin."""
    end_s: tuple[tuple[float, ...], ...]
    """Host clock at the end mark, after the device was synchronised."""
    device_s: tuple[tuple[float, ...], ...] | None = None
    """Seconds between the device's own events, where it has them (CUDA), as launched: what the device waits for the
    host is in them. Else None."""
    enqueue_s: tuple[tuple[float, ...], ...] | None = None
    """Seconds of the host until everything up to the end mark was launched; None where ``device_s`` is, and in older
    journals."""
    clock_mhz: tuple[tuple[float, ...], ...] | None = None
    """Clock of the device's processors during the sample, where it was asked for; else None."""
    held_back: tuple[tuple[int, ...], ...] | None = None
    """Why the device throttled its clock: the bits of NVML's clocks-event reasons; None if they were not read."""


class QueuedSamples(Record):
    """The device's own time of a case: samples beside the others, launched while the device was held.

    Lists are indexed [rank][sample]; seconds are one step's.
    """

    inner: int = Field(ge=1)
    """Steps in each of them: no more than a device takes ahead."""
    head_start_s: float
    """For how long the device was held."""
    enqueue_s: tuple[tuple[float, ...], ...]
    """The host's, for launching a step, while it waited for nothing."""
    device_s: tuple[tuple[float, ...], ...]
    """The device's, while it waited for no launch."""

    @model_validator(mode="after")
    def _durations(self) -> Self:
        numbers = [*self.enqueue_s, *self.device_s]
        if len(self.enqueue_s) != len(self.device_s) or not numbers or len({len(samples) for samples in numbers}) > 1:
            raise ValueError("enqueue_s and device_s must have as many numbers of every rank")
        if not numbers[0] or min(map(min, numbers)) < 0:
            raise ValueError("enqueue_s and device_s must have durations")
        return self


class CollectiveKind(Record):
    """Times of the messages of one kind, in process groups of one size, in a watched step.

    Lists are indexed [rank], means over samples. Messages of several kinds may be under way at once.
    """

    kind: str
    """``all_reduce``, ``all_gather``, ``reduce_scatter``, ``send`` …"""
    group_size: int
    count: tuple[float, ...]
    """Messages in a step."""
    under_way_s: tuple[float, ...]
    """Seconds of a step in which at least one was under way, waiting for late ranks included."""
    exposed_s: tuple[float, ...]
    """Seconds of those in which the rank could not go on."""


class CollectiveTimes(Record):
    """Where a step's time went in a few samples that do not count, whose messages between ranks were watched.

    Lists are indexed [rank][sample]; seconds are one step's. Work, wait and transfer of a rank make up its whole time.
    """

    collectives: tuple[float, ...]
    """Number of messages in a step, on the rank with the most, in each sample."""
    work_s: tuple[tuple[float, ...], ...]
    """While it did not wait for a message."""
    wait_s: tuple[tuple[float, ...], ...]
    """While it waited for a message, until the last rank had come to it."""
    transfer_s: tuple[tuple[float, ...], ...]
    """While it waited for a message, from then on: exposed communication."""
    hidden_s: tuple[tuple[float, ...], ...] | None = None
    """While it worked and a message was under way to which all ranks had come: hidden communication; None in older
    journals."""
    kinds: tuple[CollectiveKind, ...] = ()
    """By kind and group size."""
    bytes: tuple[float, ...] | None = None
    """Each rank's bytes of a step's watched messages, counted as ``RankFacts.traffic_bytes`` are; None where unknown.

    Where they differ from those, the step has messages that were not watched.
    """


class Traffic(Record):
    """A rank's messages of one kind, in process groups of one size, in one step."""

    kind: str
    """``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all``, ``broadcast``, ``send`` …"""
    group_size: int
    count: int
    bytes_in: int
    """Bytes that the rank handed over."""
    bytes_out: int
    """Bytes that it received, or has reduced."""
    bytes: int
    """The larger side of each, summed: of an all-gather the gathered, of a reduce-scatter the whole."""


class RankFacts(Record):
    """Facts of one rank of the case's gang: its work in one step, and its processor time over the timed visits."""

    flops: float
    """Declared floating-point operations of one step."""
    bytes: float
    """Declared bytes moved in one step."""
    items: float
    """Declared items of one step."""
    wire: float = 0
    """Declared bytes that it must send to others in one step at least."""
    counted_flops: float
    """Matrix-product FLOPs that the harness counted in one untimed step; 0 where it can count none."""
    host_reads: int
    """Reads from the device to the host that the harness counted in that step."""
    traffic_bytes: int = 0
    """Bytes of its messages in that step: the sum of ``messages``."""
    messages: tuple[Traffic, ...] = ()
    """The same by kind."""
    allocated_bytes: int = 0
    """Bytes of the tensors that operations made in that step."""
    products: tuple[str, ...] = ()
    """Types of the numbers that these products multiply, e.g. ``float32``, ``tf32``, ``bfloat16``."""
    uncounted: tuple[str, ...] = ()
    """Names of what it called that may multiply matrices without being counted."""
    constant_operands: int = 0
    """Operands of matrix products, of more than one element, whose elements were all alike in that step."""
    asymmetric: bool = False
    """Whether ranks by design do work that their declared work does not show."""
    settings: tuple[str, ...] = ()
    """Settings of the whole process that its code changed: the name, its value, and the process's."""
    held_bytes: int | None = None
    """Memory in use between its steps, beyond that in use before it was prepared; None if unknown."""
    peak_bytes: int | None = None
    """Peak memory of a step, beyond that in use between steps; None if unknown."""
    reserved_bytes: int | None = None
    """The most GPU memory that PyTorch's allocator held during the step, for any case."""
    alloc_retries: int = 0
    """How often its memory was full in the visits: the allocator then returns what it cached, and waits for the GPU."""
    watts: float | None = None
    """Mean power of its device during the samples, if known."""
    found: dict[str, Value] = Field(default_factory=dict)
    """The facts that the check established."""
    first_s: float
    """Seconds of the very first step, warm-up included."""
    cpu_s: float
    """Processor time of the whole process over the visits."""
    wall_s: float
    """Wall-clock of the same visits."""
    delay_s: float | None = None
    """Time that the main thread was runnable but did not run, if the kernel reports it."""
    busy_s: float | None = None
    """Time that its cores were busy with any work, in clock ticks of usually 10 ms, if the kernel reports it."""
    throttled_s: float | None = None
    """Time that CPU quotas held its control groups back meanwhile, summed over cores; None without a quota."""
    main_s: float | None = None
    """Processor time of the main thread, which does the steps, if the kernel reports it."""
    messages_s: float | None = None
    """Processor time of the threads that carry messages between ranks, if the kernel reports it."""


class LaunchRecord(Record):
    """A fresh group of processes is ready to measure."""

    type: Literal["launch"] = "launch"
    schema_version: int = Field(default=SCHEMA, alias="schema")
    launch: int
    attempt: int = 0
    """0 for the first gang of this launch; more after a renewal or a resumption."""
    launcher: str
    started: str
    """Wall-clock in UTC, ISO 8601, of the origin of its samples' times."""
    fingerprint: str
    """Hash of the environment: the key of every series."""
    lead_s: float
    """How far ahead the delay window sets its start."""
    ranks: tuple[Rank, ...]
    groups: tuple[GroupSetup, ...] = ()
    """Setup times of the NCCL groups; empty over gloo."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Rank 0's environment variables that change figures: launchers set some of their own."""
    hosts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By host: how its software, devices and variables differ from rank 0's; empty on one host."""
    environment: dict[str, Any] | None = None
    """Rank 0's host's, as environment.json has it; None where the run was started there."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class BeginRecord(Record):
    """A case is about to be measured."""

    type: Literal["begin"] = "begin"
    launch: int
    comparison: int
    """Index into the plan's comparisons."""
    case: str
    """The case's key."""


class CellRecord(Record):
    """The outcome of a planned case in one launch."""

    type: Literal["cell"] = "cell"
    launch: int
    comparison: int
    case: str
    status: Status
    rank: int | None = None
    """The first failing rank, where one failed."""
    message: str | None = None
    """The failure in words."""
    by_design: bool = False
    """Whether the scenario itself says that the case makes no sense here; such a cell is not missing."""
    unit: str = "item"
    """The name of one item of the declared work."""
    inner: int = Field(default=1, ge=1)
    """Steps in one sample: a step's time is the sample's divided by this."""
    samples: Samples | None = None
    queued: QueuedSamples | None = None
    """The device's own time; None where a step waits for the device itself, and where there is none but the host's."""
    clock_offset_s: tuple[float, ...] | None = None
    """[rank]: what was added to its host's clock, to have rank 0's, in the middle of the samples; None on one host."""
    clock_error_s: tuple[float, ...] | None = None
    """[rank]: by how much that may be wrong. Differences between ranks' instants mean nothing below it."""
    facts: tuple[RankFacts, ...] = ()
    """Facts per rank of the case's gang."""
    waits: CollectiveTimes | None = None
    """Collective times of a gang of several ranks; None if its collectives could not be watched."""
    warnings: tuple[MeasurementWarning, ...] = ()
    outcomes: tuple[RankOutcome, ...] = ()
    """The outcome of each rank of the launch, if its gang was lost."""


class EndRecord(Record):
    """The gang of a launch has ended."""

    type: Literal["end"] = "end"
    launch: int
    wall_s: float
    """From the order to launch until its last process had ended, in seconds."""


ProfileName = Annotated[str, Field(pattern=r"^[\w@-][\w.@-]*\.json\.gz$")]
"""Name of a trace's file in the run's ``profiles``."""


class ProfileRecord(Record):
    """The outcome of profiling a case, by a gang of its own after everything was measured."""

    type: Literal["profile"] = "profile"
    comparison: int
    case: str
    files: tuple[ProfileName, ...] = ()
    """A trace a rank, in rank order; none where it failed."""
    bytes: int = 0
    """Size of all these files together."""
    steps: int = 0
    """Steps that were traced."""
    message: str | None = None
    """Why there are no files."""


Entry = Annotated[LaunchRecord | BeginRecord | CellRecord | ProfileRecord | EndRecord, Field(discriminator="type")]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


def parse(text: str | bytes) -> Entry:
    """The text of one record. Raises pydantic.ValidationError."""
    return _ENTRY.validate_json(text, strict=True)
