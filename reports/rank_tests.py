"""Tests of what differs within launches, all of them by ranks, so that they assume no distribution.

Launches add up: each is compared within itself only, so that what differs between launches cannot pass for an effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from reports.series import FEWEST, Array, Series


def effect(parted: tuple[Array, Array]) -> float | None:
    """Median of the first over the others' median, less 1; None where a side is empty."""
    own, others = parted
    return float(np.median(own) / np.median(others)) - 1 if len(own) and len(others) else None


def trend_p(launches: Sequence[Series]) -> float:
    """P that there is no common trend, two-sided: the seasonal Kendall test (Hirsch and Slack 1984) over launches."""
    told = [series.trend for series in launches]
    return _two_sided(sum(score for score, _ in told), sum(variance for _, variance in told))


def ranks_p(parted: Sequence[tuple[Array, Array]], *, slower: bool = False) -> float:
    """P that one side is like the other within each launch: van Elteren's test (1960). Two-sided, or against slower."""
    score = variance = 0.0
    for own, others in parted:
        n, m = len(own), len(others)
        if n and m:
            ranks = stats.rankdata(np.concatenate([own, others]))[:n]
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
    told = [(math.atanh(min(series.lag1, 0.9999)), len(series.residuals) - 3) for series in launches]
    weights = [math.sqrt(n) for _, n in told if n > 0]
    if not weights:
        return 1.0
    return float(stats.norm.sf(sum(z * math.sqrt(n) for z, n in told if n > 0) / math.sqrt(len(weights))))


def _two_sided(score: float, variance: float) -> float:
    return float(2 * stats.norm.sf(abs(score) / math.sqrt(variance))) if variance > 0 else 1.0
