"""Rows of summary.json on ranks over time."""

from __future__ import annotations

from typing import Literal

from harness.plan import Record


class HeatRow(Record):
    """How far each rank of one case is behind its peers, launch by launch and in the order of samples."""

    comparison: int
    key: str
    world_size: int
    basis: Literal["time", "work"]
    """Whole samples; or work outside collectives, in samples whose collectives were watched."""
    launches: tuple[int, ...]
    """The launch of each bin of neighbouring samples."""
    excess: tuple[tuple[float, ...], ...]
    """[rank][bin]: the median over the bin's samples of its own time, over the median of the other ranks', less 1."""

    def worst(self, rank: int, launch: int) -> float | None:
        """The most that a rank was behind in any bin of a launch; None where the launch has none."""
        own = (value for value, place in zip(self.excess[rank], self.launches, strict=True) if place == launch)
        return max(own, default=None)
