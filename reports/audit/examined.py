"""What the rules look at: a run's rows and samples, and how they are spoken of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from reports import units
from reports.labels import Labels
from reports.measured import Measured
from reports.rows import CellRow, ContrastRow, SideRow

Judgement = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class Found:
    """How a run stands to a rule."""

    verdict: Judgement
    evidence: str
    """One sentence."""


def passed(evidence: str) -> Found:
    """The rule is kept."""
    return Found("passed", f"{evidence}.")


def failed(evidence: str) -> Found:
    """The rule is broken."""
    return Found("failed", f"{evidence}.")


def without(evidence: str) -> Found:
    """The run has nothing that the rule is about."""
    return Found("not applicable", f"{evidence}.")


@dataclass(frozen=True)
class Examined:
    """A run, by its first side, and what its others are compared with."""

    measured: Measured
    cells: tuple[CellRow, ...]
    comparisons: tuple[ContrastRow, ...]
    sides: tuple[SideRow, ...]

    @cached_property
    def timed(self) -> tuple[CellRow, ...]:
        """Cases with a time that may be shown."""
        return tuple(row for row in self.cells if row.median_s is not None and not row.below_resolution)

    @cached_property
    def scaling(self) -> tuple[CellRow, ...]:
        """Those that claim to scale, on more devices than the fewest."""
        fewest = min(self.measured.evidence.plan.world_sizes)
        return tuple(row for row in self.timed if row.scaling != "none" and row.world_size > fewest)

    @cached_property
    def samples(self) -> tuple[tuple[CellRow, pd.Series[float]], ...]:
        """Of each case with a time its samples over their launch's median, in no order that matters."""
        return tuple((row, found) for row in self.timed for found in self._relative(row))

    def _relative(self, row: CellRow) -> Iterator[pd.Series[float]]:
        key = (row.comparison, row.key)
        samples = self.measured.samples(key)
        if samples is not None:
            yield samples["seconds"] / samples["launch"].map(self.measured.values(key))

    def name(self, row: CellRow) -> str:
        """E.g. ```split how=whole` on 2 devices``."""
        return f"`{self._names.case(row)}` on {units.count(row.world_size, 'device')}"

    def example(self, rows: Sequence[CellRow]) -> str:
        """The first of them, as one of several or as the only one."""
        return f"{'e.g. ' if len(rows) > 1 else ''}{self.name(rows[0])}"

    @cached_property
    def _names(self) -> Labels:
        return Labels.of(self.cells)


def of(few: int, all_: int, noun: str) -> str:
    """E.g. ``2 of 4 times``."""
    return f"{few} of {units.count(all_, noun)}"
