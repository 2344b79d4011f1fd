"""A comparison in clock cycles, beside one in seconds: in rows of summary.json, and of ``compare --format json``."""

from __future__ import annotations

from harness.plan import Record


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
