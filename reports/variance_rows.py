"""Rows of summary.json on where the spread of times comes from, and what would narrow their intervals."""

from __future__ import annotations

from typing import Literal

from harness.plan import Record

Spend = Literal["launches", "samples", "either"]


class VarianceRow(Record):
    """The spread of a case's launch values, split in two; both are relative standard deviations."""

    comparison: int
    key: str
    world_size: int
    launches: int
    between_sd: float
    """Of what a launch's value would be with endless samples; 0 where its samples explain all of the spread."""
    within_sd: float
    """Of a launch's value around that, by the samples that it has."""


class AdviceRow(Record):
    """What would narrow the intervals of a comparison's times most for its cost."""

    comparison: int
    between_sd: float
    """Over its cases, the root of the mean square."""
    within_sd: float
    overhead_s: float | None
    """What a launch costs beside its samples: median over launches. None where no launch tells."""
    sampling_s: float | None
    """What the sampling of all comparisons costs in a launch: median over launches."""
    factor: float | None
    """How many times as many samples a launch should have; None where as many as can be had, or unknown."""
    gain: float | None
    """By which fraction intervals would be narrower at the same cost."""
    spend: Spend | None
    """On what to spend more; None where the costs are not known."""
    text: str
    """In one sentence; names stand in backticks."""
