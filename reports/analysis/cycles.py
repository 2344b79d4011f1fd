"""Cycles: comparisons once more with the clocks taken out, where the journal has them, to tell code from clock.

A GPU's clock moves with its heat and power. The same work takes as many cycles at any clock, but for what waits for
memory, or for another device: those have clocks of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.reading.run import CaseId
from reports.reading.samples import Taken
from reports.schema.cases import InCycles
from reports.statistics import estimates
from reports.statistics.estimates import Estimate
from reports.statistics.measured import Measured
from reports.statistics.shift import shift
from reports.statistics.verdicts import Margin, placed

DECIDED = ("faster", "slower", "equivalent")
Compare = Callable[["pd.Series[float]", "pd.Series[float]"], Estimate | None]


@dataclass(frozen=True)
class Clocked:
    """A case whose devices' clocks are known, by launch."""

    seconds: pd.Series[float]
    """Launch values, as everywhere."""
    cycles: pd.Series[float]
    """The same of each sample's seconds times the clock of its slowest rank."""

    @classmethod
    def of(cls, measured: Measured, case: CaseId, block: int = 1) -> Clocked | None:
        """None where no launch has clocks. Launches are counted by blocks of so many."""
        taken = measured.taken(case).items()
        found = {launch: value for launch, (each, inner) in taken if (value := _cycles(each, inner)) is not None}
        if not found:
            return None
        cycles = pd.Series(found, dtype=float).rename_axis("launch")
        seconds = measured.values(case)[cycles.index]
        return cls(*(each.set_axis(each.index // block) for each in (seconds, cycles)))

    @property
    def hertz(self) -> pd.Series[float]:
        """The clock."""
        return self.cycles / self.seconds


def _cycles(taken: Taken, inner: int) -> float | None:
    if taken.clock_mhz is None or not np.all(taken.clock_mhz > 0):
        return None
    seconds = taken.seconds(inner)
    slowest = seconds.argmax(axis=0), np.arange(taken.count)
    return float(np.median(seconds[slowest] * taken.clock_mhz[slowest] * 1e6))


def in_cycles(
    above: Clocked | None, below: Clocked | None, margin: Margin, compare: Compare = estimates.ratio
) -> InCycles | None:
    """One side over the other in cycles, by the same statistics as in seconds; ``margin`` is that of both."""
    if above is None or below is None:
        return None
    cycles, seconds, clock = (
        compare(getattr(above, name), getattr(below, name)) for name in ("cycles", "seconds", "hertz")
    )
    if cycles is None or seconds is None or clock is None:
        return None
    verdicts = {placed(each.low, each.high, margin) for each in (cycles, seconds)}
    moved = placed(clock.low, clock.high, margin) in ("faster", "slower")
    return InCycles(
        ratio=cycles.value,
        ratio_low=cycles.low,
        ratio_high=cycles.high,
        clock=clock.value,
        disagrees=moved or (len(verdicts) > 1 and verdicts.issubset(DECIDED)),
    )


def faster(found: InCycles | None, factor: float) -> InCycles | None:
    """Of a case over its base the speed-up instead, where so many times as much is done."""
    if found is None:
        return None
    low, high = (None if end is None else factor / end for end in (found.ratio_high, found.ratio_low))
    told = {"ratio": factor / found.ratio, "ratio_low": low, "ratio_high": high}
    return found.model_copy(update=told)


def of_runs(above: pd.Series[float], below: pd.Series[float]) -> Estimate | None:
    """As launches of two runs are compared, which are no pairs."""
    found = shift(below.tolist(), above.tolist())
    return Estimate(found.ratio, found.low, found.high, min(len(above), len(below))) if found else None
