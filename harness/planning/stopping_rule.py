"""How narrow intervals are, and so whether more launches are needed: by width alone, never by what they say."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median

from harness.journal.plan import Plan
from harness.journal.records import MEASURED, CellRecord

CONFIDENCE = 0.95


@cache
def interval_ranks(n: int) -> tuple[int, int] | None:
    """Indices from 0 of the sorted values that bound the median with at least 95 %; None where none do.

    With X ~ Binomial(n, 1/2), the k-th smallest and k-th largest values cover the median with
    probability 1 - 2 P(X < k): take the largest such k (Conover 1999, section 3.2).
    """
    k, outside, limit = 0, 0, (1 - CONFIDENCE) / 2 * 2**n
    while (outside := outside + math.comb(n, k)) <= limit * (1 + 1e-12):
        k += 1
    return (k - 1, n - k) if k else None


def half_width(values: Sequence[float]) -> float | None:
    """Half the interval of the median of positive values, as a fraction of it; None where there are too few."""
    ordered = sorted(values)
    ranks = interval_ranks(len(ordered))
    return (ordered[ranks[1]] - ordered[ranks[0]]) / (2 * median(ordered)) if ranks else None


def launch_value(cell: CellRecord) -> float:
    """A cell's time of one step, in seconds: the median over samples of the slowest rank's."""
    assert cell.samples is not None
    samples = cell.samples
    pairs = zip(samples.start_s, samples.end_s, strict=True)
    ranks = samples.device_s or [[end - start for start, end in zip(*pair, strict=True)] for pair in pairs]
    slowest: list[float] = [max(sample) for sample in zip(*ranks, strict=True)]
    return median(slowest) / cell.inner


@dataclass
class StoppingRule:
    """The launch values of a run's cases, as they come, and how narrow the intervals are that they make."""

    plan: Plan
    values: dict[Hashable, dict[int, float]] = field(default_factory=dict)
    """Values by case, and by launch."""

    def add(self, case: Hashable, cell: CellRecord) -> None:
        """Take one launch of a case into account; one that has no time keeps no other from being narrow."""
        if cell.status in MEASURED and cell.samples is not None:
            self.values.setdefault(case, {})[cell.launch] = launch_value(cell)

    def within(self, fraction: float) -> bool:
        """Whether every series has an interval, and none reaches further from its median than the fraction."""
        every = [series for values in self.values.values() for series in self._series(values) if series]
        widths = [half_width(series) for series in every]
        return bool(widths) and all(width is not None and width <= fraction for width in widths)

    def _series(self, values: Mapping[int, float]) -> Iterator[Sequence[float]]:
        """The times of a case on each side; in a duel, which asks for nothing else, their ratios turn by turn."""
        sides: dict[str, dict[int, float]] = {side.name: {} for side in self.plan.sides}
        for launch, value in values.items():
            sides[self.plan.side_of(launch).name][self.plan.turn_of(launch)] = value
        if not self.plan.is_duel:
            yield from (list(times.values()) for times in sides.values())
            return
        first, *others = sides.values()
        for times in others:
            yield [times[turn] / first[turn] for turn in times.keys() & first.keys()]
