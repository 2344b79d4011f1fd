"""How narrow intervals are, and so whether more launches are needed: by width alone, never by what they say."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median

from harness.journal import CellRecord

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
    taken = cell.samples
    pairs = zip(taken.start_s, taken.end_s, strict=True)
    ranks = taken.device_s or [[end - start for start, end in zip(*pair, strict=True)] for pair in pairs]
    slowest: list[float] = [max(sample) for sample in zip(*ranks, strict=True)]
    return median(slowest) / cell.inner


@dataclass
class Widths:
    """Launch values by series, as they come."""

    values: dict[Hashable, list[float]] = field(default_factory=dict)

    def add(self, series: Hashable, cell: CellRecord) -> None:
        """Take one launch of a series into account; one that has no time keeps no other from being narrow."""
        if cell.status == "ok" and cell.samples is not None:
            self.values.setdefault(series, []).append(launch_value(cell))

    def within(self, fraction: float) -> bool:
        """Whether every series has an interval, and none reaches further from its median than the fraction."""
        widths = [half_width(values) for values in self.values.values()]
        return bool(widths) and all(width is not None and width <= fraction for width in widths)
