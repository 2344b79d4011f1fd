"""The gate: of many cases, which are slower for certain; and how many launches it takes to find one so."""

from collections.abc import Sequence
from itertools import count
from typing import Any, Protocol, Self, TypeVar

from reports.schema.cases import Verdict
from reports.schema.compare import TAIL, Gate
from reports.statistics.shift import smallest_p


def gate(launches: Sequence[tuple[int, int]]) -> Gate:
    """The gate over cases with so many launches in the two runs."""
    cases = len(launches)
    best = min((smallest_p(*pair) for pair in launches), default=None)
    return Gate(
        cases=cases, smallest_p=best, able=best is not None and _enough(best, cases), launches_needed=needed(cases)
    )


def needed(cases: int) -> int:
    """The fewest launches of each run with which a case among so many can be found slower."""
    return next(n for n in count(1) if _enough(smallest_p(n, n), max(cases, 1)))


def _enough(p: float, cases: int) -> bool:
    return p * cases <= TAIL * (1 + 1e-12)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p corrected for all of them (Holm 1979): below a level, it is found while all false alarms stay below it.

    The smallest is multiplied by their number, the next by one less, and none becomes smaller than one before it.
    """
    corrected, worst = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        worst = max(worst, min(1.0, ps[index] * (len(ps) - place)))
        corrected[index] = worst
    return corrected


class Tested(Protocol):
    """A row with a verdict by its own interval, and its p where it was tested."""

    verdict: Verdict
    p: float | None

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """The same with other fields."""


Row = TypeVar("Row", bound=Tested)


def corrected(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with p corrected for all that were tested (Holm); what is slower by it too is confirmed."""
    tested = [place for place, row in enumerate(rows) if row.p is not None]
    ps = dict(zip(tested, holm([rows[place].p or 0.0 for place in tested]), strict=True))
    return tuple(
        row.model_copy(update={"p_holm": ps[place], "confirmed": row.verdict == "slower" and _enough(ps[place], 1)})
        if place in ps
        else row
        for place, row in enumerate(rows)
    )
