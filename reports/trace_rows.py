"""Rows of summary.json on single samples: some in true order, and how all of them are distributed."""

from __future__ import annotations

from harness.doubts import Kind
from harness.plan import Record

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Levels of the quantiles."""


class TraceRow(Record):
    """The samples of one case in one launch; seconds of one step, of its slowest rank."""

    comparison: int
    key: str
    launch: int
    start_s: tuple[float, ...]
    """When samples began, in seconds since the launch's origin: all, or some that are evenly spread over all."""
    seconds: tuple[float, ...]
    """What these took."""
    held_back: tuple[int, ...] = ()
    """Those of them, by place, during which a device held its clock back against heat or power."""
    quantiles: tuple[float, ...]
    """Of all samples, at ``LEVELS``."""
    doubts: tuple[Kind, ...] = ()
    """Those of the case's warnings that this launch gives cause for."""

    def at(self, level: float) -> float:
        """The quantile at one of ``LEVELS``."""
        return self.quantiles[LEVELS.index(level)]
