"""Scenarios, their workloads, and the work that these declare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from harness.gang import Gang
from harness.journal.plan import Scaling, Value

T = TypeVar("T")

Facts = Mapping[str, Value]
"""Facts that a check established about a variant, by name: numbers, words, yes or no. Answers quote them."""


def axis(default: T, *more: T, full: tuple[T, ...] = ()) -> T:
    """A field that is swept over ``default`` and ``more``, under ``--preset full`` over ``full`` where there is any.

    Under ``--preset smoke`` it has its default alone.
    """
    axis_field: T = field(default=default, metadata={"sweep": (default, *more), "full": full})
    return axis_field


def variant(*, baseline: str) -> Any:
    """The field whose values (its ``Literal``) are compared with one another, against ``baseline``."""
    return field(default=baseline, metadata={"variant": True})


@dataclass(frozen=True, kw_only=True)
class Work:
    """What this rank does in one step, as the task defines it: the same for every variant of a comparison."""

    flops: float = 0
    """Floating-point operations."""
    bytes: float = 0
    """Bytes that must move between memory and processor, or between ranks."""
    items: float = 1
    """Pieces of work, in ``unit``; parts of one count as fractions."""
    unit: str = "item"
    """What an item is, in the singular: ``product``, ``sample``."""
    wire: float = 0
    """Bytes that this rank must send to others at least, however it is done."""


def nothing() -> None:
    """Let go of nothing."""


@dataclass(frozen=True)
class Workload:
    """A scenario made ready on one rank."""

    step: Callable[[], Any]
    """Does one step and returns its output."""
    check: Callable[..., Facts | None] = field(kw_only=True)
    """Gets what the last timed step returned; raises AssertionError where it is wrong. Runs outside the clock.

    One with a second parameter, ``check(output, steps)``, also gets how many steps were done since ``reset``: a step
    cannot count itself, for a replayed CUDA graph runs no Python. May return facts that it has established, for the
    report.
    """
    work: Work = field(kw_only=True)
    """The work of this rank in one step."""
    reset: Callable[[], None] = field(default=nothing, kw_only=True)
    """Puts back what steps used up; called before every sample, and before untimed steps, outside the clock."""
    close: Callable[[], None] = field(default=nothing, kw_only=True)
    """Lets go of files and the like; called once, however the case ended."""
    waits: bool = field(default=False, kw_only=True)
    """True where a step waits for the device only now and then; what each does is seen by itself."""
    uncounted: bool = field(default=False, kw_only=True)
    """True where a step computes in code that PyTorch does not see: a Triton kernel, a C extension. Custom operators
    and NumPy are seen by themselves. Its declared work is then taken for what it does, with a warning."""
    asymmetric: bool = field(default=False, kw_only=True)
    """True where, in a gang of several, one rank does by design what the others do not and their ``work`` does not
    tell: it reads for all, say. Then no rank is called slow."""


class Scenario(Protocol):
    """What a scenario class offers; no base class is needed."""

    scaling: ClassVar[Scaling]
    """``strong``: a fixed amount of work is shared; ``weak``: each rank has its own; ``none``: no claim.

    Beside it ``ranks: ClassVar = (least, most)`` may say how many ranks make sense; of ``(2, None)`` there is no most.
    """

    def prepare(self, gang: Gang) -> Workload:
        """Make the state of one rank. Runs outside the clock."""
        ...
