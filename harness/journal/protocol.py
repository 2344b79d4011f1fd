"""Messages between a run's parent and the ranks of a gang, besides the journal's records."""

import socket
from collections.abc import Callable
from typing import Literal

from pydantic import Base64Bytes, Field

from harness.journal.plan import Case, Plan, Record
from harness.journal.records import ProfileName, RankFacts, Status

State = Literal["moves", "waits", "collective", "stuck", "failed", "settled"]
"""Of a rank: it moves; or it stands, waiting for others, in a collective of its case, or in the case's own code; or its
case has failed on it, and it cannot be sure that it will agree on that with the others; or they have."""

Emit = Callable[[Record], None]
"""The receiver of rank 0's records: the journal, or the process that owns it."""


class Order(Record):
    """An order to one gang of processes."""

    plan: Plan
    launch: int
    attempt: int
    todo: dict[int, tuple[Case, ...]]
    """Cases to measure, by the index of their comparison."""
    budget_s: float
    """Seconds to spend on them."""
    fingerprint: str
    host: str = Field(default_factory=socket.gethostname)
    """The host of the run's parent, to which the fingerprint belongs."""
    scratch: str
    """A folder for the files of scenarios, on every rank's host."""
    profile: bool = False
    """True: trace a few steps of each case, and measure nothing."""


class RankNote(Record):
    """What a rank's watchdog reports at least once a deadline: who hangs, and where. Not kept in the journal."""

    type: Literal["rank"] = "rank"
    rank: int
    state: State
    at: str = ""
    """Function and line where it stands, outside of the harness and of PyTorch if there is such; or how it failed."""
    status: Status = "hang"
    """How its case failed, if it has failed."""
    when_s: float = 0.0
    """Host clock when it failed."""
    stack: str = ""
    pending: tuple[str, ...] = ()
    """Collectives that it has begun since it moved last, and that have not ended, in words."""


class WarmNote(Record):
    """A rank of a script has warmed up, and waits to hear how many steps to do. Not kept in the journal."""

    type: Literal["warm"] = "warm"
    rank: int
    step_s: float
    """Seconds of its last step."""
    joined: bool
    """Whether the script has made a process group."""


class ScriptNote(Record):
    """All that a rank of a script has measured. Not kept in the journal, which has the cell that is made of them."""

    type: Literal["script"] = "script"
    rank: int
    warm: int
    """Steps of warm-up that it did."""
    start_s: tuple[float, ...]
    """[step], on the host's monotonic clock; so are those that follow."""
    end_s: tuple[float, ...]
    device_s: tuple[float, ...] | None = None
    """Seconds between the device's own events; None on a CPU."""
    loader_s: tuple[float, ...]
    """Seconds in which the step waited for the next batch."""
    facts: RankFacts
    loss: float | None = None
    """The last loss, where it is a finite number."""
    finite: bool | None = None
    """Whether the last loss is a finite number; None where no loss was seen."""
    parameters: Literal["replicated", "plain", "sharded", "none"]
    """What the parameters are: of a DistributedDataParallel module; of no such module; parts of tensors; or unseen."""
    digest: str = ""
    """Of all parameters after the last step, where they are not sharded."""


class VisitNote(Record):
    """Rank 0 is about to visit a case. Not kept in the journal: for progress, and to know what killed a rank."""

    type: Literal["visit"] = "visit"
    comparison: int
    case: str
    round: int
    rounds: int
    step_s: float | None = None
    """The running estimate of one step's time, where there is one."""
    over_s: float = 0.0
    """Seconds by which the fewest rounds of the case's comparison exceed its part of the launch's time."""


class TraceNote(Record):
    """One rank's trace of a case, for the run directory: whoever keeps that writes it. Not kept in the journal."""

    type: Literal["trace"] = "trace"
    file: ProfileName
    content: Base64Bytes
    """Given in base64, as JSON has it."""
