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
