"""Verdicts: where the interval of a ratio lies against a margin."""

from __future__ import annotations

from reports.estimates import Estimate
from reports.rows import Verdict


def verdict(ratio: Estimate, delta: float) -> Verdict:
    """Where the interval of a ratio lies against 1 ± ``delta``; fewer than six launches have none."""
    return placed(ratio.low, ratio.high, delta)


def placed(low: float | None, high: float | None, delta: float) -> Verdict:
    """Where an interval lies against 1 ± ``delta``: wholly beyond, wholly within, or neither; None is no interval."""
    if low is None or high is None:
        return "undecided"
    if high < 1 - delta:
        return "faster"
    if low > 1 + delta:
        return "slower"
    if 1 - delta <= low and high <= 1 + delta:
        return "equivalent"
    return "undecided"
