"""A series: one case's samples in one launch in true order, and how steady they are. Pure: arrays in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Array = npt.NDArray[np.float64]

LONGEST = 400
"""Points that a line goes through: of more samples, runs of equal length are told by their medians."""
FEWEST = 5
"""With fewer samples nothing is said of their order."""
EARLY = 4
"""One part in so many of a launch's rounds is its beginning."""
ECHO = 0.95
"""The greatest autocorrelation that is corrected for."""


@dataclass(frozen=True)
class Series:
    """One case's samples in one launch, in true order."""

    start_s: Array
    seconds: Array
    round: Array
    visits: tuple[tuple[int, int], ...]
    """First sample of each visit, and the sample after its last."""
    opens: tuple[bool, ...]
    """Of each visit whether it was the first of its round."""

    @classmethod
    def of(cls, samples: pd.DataFrame, opening: frozenset[int]) -> Self:
        """One launch's rows of ``estimates.sample_times``; ``opening`` has the positions that open a round."""
        ordered = samples.sort_values(["position", "sample"], kind="stable")
        position = ordered["position"].to_numpy(dtype=np.int64)
        starts = [0, *(np.flatnonzero(np.diff(position)) + 1).tolist()]
        visits = tuple(zip(starts, [*starts[1:], len(position)], strict=True))
        start_s, seconds, number = (
            ordered[name].to_numpy(dtype=np.float64) for name in ("start_s", "seconds", "round")
        )
        return cls(start_s, seconds, number, visits, tuple(int(position[first]) in opening for first, _ in visits))

    @cached_property
    def median_s(self) -> float:
        """The launch's own value."""
        return float(np.median(self.seconds))

    @cached_property
    def visit_s(self) -> Array:
        """Each visit's median."""
        return self._medians(0)

    @cached_property
    def points(self) -> tuple[Array, Array]:
        """Start and seconds of the samples, or of so many runs of them."""
        return _thinned(self.start_s, self.seconds)

    @cached_property
    def drift(self) -> float:
        """Relative change over the launch that a Theil-Sen line through its samples predicts."""
        return _change(*self.points, float(np.ptp(self.start_s)), self.median_s)

    @cached_property
    def late_drift(self) -> float:
        """The same at the pace of all but the beginning: what has only warmed up does not go on."""
        rest = ~self.early
        points = _thinned(self.start_s[rest], self.seconds[rest])
        return _change(*points, float(np.ptp(self.start_s)), self.median_s)

    @cached_property
    def residuals(self) -> Array:
        """What the samples are off the Theil-Sen line, relative."""
        return self._off_line(self.start_s, self.seconds)

    def _off_line(self, start_s: Array, seconds: Array) -> Array:
        span_s = max(float(np.ptp(self.start_s)), 1e-12)
        line = self.drift * (start_s - np.median(start_s)) / span_s
        return seconds / self.median_s - 1 - line

    @cached_property
    def lag1(self) -> float:
        """Autocorrelation of neighbouring samples' residuals; 0 where there are too few, or all are alike."""
        return _lag1(self.residuals)

    @cached_property
    def trend(self) -> tuple[float, float]:
        """Mann and Kendall's S, and its variance if there is no trend, inflated for what neighbours echo.

        Of the points, with their own autocorrelation. Ties, which say nothing of order, are left out of both.
        """
        seconds = self.points[1]
        n = len(seconds)
        if n < FEWEST or np.ptp(seconds) == 0:
            return 0.0, 0.0
        ties = np.unique(seconds, return_counts=True)[1].astype(float)
        pairs, tied = n * (n - 1) / 2, float((ties * (ties - 1)).sum()) / 2
        echo = min(max(_lag1(self._off_line(*self.points)), 0.0), ECHO)
        variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
        return self.tau * math.sqrt(pairs * (pairs - tied)), variance * (1 + echo) / (1 - echo)

    @cached_property
    def tau(self) -> float:
        """Kendall's tau-b of order and seconds."""
        seconds = self.points[1]
        return float(stats.kendalltau(np.arange(len(seconds)), seconds).statistic) if np.ptp(seconds) > 0 else 0.0

    @cached_property
    def early(self) -> npt.NDArray[np.bool_]:
        """Which samples belong to the beginning."""
        return np.asarray(self.round < math.ceil((self.round.max() + 1) / EARLY))

    @cached_property
    def beginning(self) -> tuple[Array, Array]:
        """Samples of the beginning, without the launch's very first, which may be slow by itself; and the others."""
        return self.seconds[1:][self.early[1:]], self.seconds[~self.early]

    @cached_property
    def opened(self) -> tuple[Array, Array]:
        """Visits that opened a round, and the others: their medians."""
        opens = np.array(self.opens)
        return self.visit_s[opens], self.visit_s[~opens]

    @cached_property
    def firsts(self) -> Array:
        """Of each visit, the logarithm of its first sample over the median of its others."""
        others_s = self._medians(1)
        first_s = self.seconds[[first for first, _ in self.visits]]
        logs: Array = np.log(first_s / others_s)
        return logs[~np.isnan(logs)]

    def _medians(self, skip: int) -> Array:
        """Of each visit without its first ``skip`` samples; NaN where none is left. Visits of a length go at once."""
        bounds = np.array(self.visits)
        sizes = bounds[:, 1] - bounds[:, 0] - skip
        medians = np.full(len(bounds), np.nan)
        for size in np.unique(sizes[sizes > 0]):
            of_size = sizes == size
            medians[of_size] = np.median(self.seconds[bounds[of_size, :1] + skip + np.arange(size)], axis=1)
        return medians

    @property
    def independent(self) -> float:
        """As how many samples they count, neighbours echoing as they do."""
        return len(self.seconds) * self._worth

    @property
    def looseness(self) -> float:
        """Half the width of a 95 % interval of the launch's median, relative: of order statistics of so many."""
        reach = min(0.98 / math.sqrt(len(self.residuals) * self._worth), 0.5)
        low, high = np.quantile(self.residuals, [0.5 - reach, 0.5 + reach])
        return float(high - low) / 2

    @property
    def _worth(self) -> float:
        """Of a sample as a share of an independent one."""
        echo = min(max(self.lag1, 0.0), ECHO)
        return (1 - echo) / (1 + echo)


def _lag1(residuals: Array) -> float:
    off = residuals - residuals.mean()
    spread = float(off @ off)
    return float(off[1:] @ off[:-1]) / spread if len(off) >= FEWEST and spread > 0 else 0.0


def _thinned(start_s: Array, seconds: Array) -> tuple[Array, Array]:
    """Of many samples the medians of runs of them: a line through n points takes all n² pairs."""
    if len(seconds) <= LONGEST:
        return start_s, seconds
    parts = np.array_split(np.arange(len(seconds)), LONGEST)
    thinned_start_s, thinned_s = (np.array([np.median(of[part]) for part in parts]) for of in (start_s, seconds))
    return thinned_start_s, thinned_s


def _change(start_s: Array, seconds: Array, span_s: float, median_s: float) -> float:
    if len(start_s) < 3 or np.ptp(start_s) == 0:
        return 0.0
    return float(stats.theilslopes(seconds, start_s).slope) * span_s / median_s


def effect(parted: tuple[Array, Array]) -> float | None:
    """Median of the first over the others' median, less 1; None where a side is empty."""
    first, others = parted
    return float(np.median(first) / np.median(others)) - 1 if len(first) and len(others) else None


def trend_p(launches: Sequence[Series]) -> float:
    """P that there is no common trend, two-sided: the seasonal Kendall test (Hirsch and Slack 1984) over launches."""
    trends = [series.trend for series in launches]
    return _two_sided(sum(score for score, _ in trends), sum(variance for _, variance in trends))


def ranks_p(parted: Sequence[tuple[Array, Array]], *, slower: bool = False) -> float:
    """P that one side is like the other within each launch: van Elteren's test (1960). Two-sided, or against slower."""
    score = variance = 0.0
    for first, others in parted:
        n, m = len(first), len(others)
        if n and m:
            ranks = stats.rankdata(np.concatenate([first, others]))[:n]
            score += (float(ranks.sum()) - n * (n + m + 1) / 2) / (n + m + 1)
            variance += n * m / 12 / (n + m + 1)
    if slower:
        return float(stats.norm.sf(score / math.sqrt(variance))) if variance > 0 else 1.0
    return _two_sided(score, variance)


def signs_p(logs: Array) -> float:
    """P that log-ratios are symmetric about 0, two-sided: Wilcoxon's signed-rank test."""
    return float(stats.wilcoxon(logs).pvalue) if len(logs) >= FEWEST and np.any(logs) else 1.0


def echo_p(launches: Sequence[Series]) -> float:
    """P that neighbours do not echo, one-sided: Fisher's transform of the correlations, summed over launches."""
    correlations = [(math.atanh(min(series.lag1, 0.9999)), len(series.residuals) - 3) for series in launches]
    weights = [math.sqrt(n) for _, n in correlations if n > 0]
    if not weights:
        return 1.0
    return float(stats.norm.sf(sum(z * math.sqrt(n) for z, n in correlations if n > 0) / math.sqrt(len(weights))))


def _two_sided(score: float, variance: float) -> float:
    return float(2 * stats.norm.sf(abs(score) / math.sqrt(variance))) if variance > 0 else 1.0
