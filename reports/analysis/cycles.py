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
from reports.reading.samples import CaseSamples
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
        launches = measured.case_samples(case).items()
        by_launch = {
            launch: value for launch, (samples, inner) in launches if (value := _cycles(samples, inner)) is not None
        }
        if not by_launch:
            return None
        cycles = pd.Series(by_launch, dtype=float).rename_axis("launch")
        seconds = measured.values(case)[cycles.index]
        return cls(*(samples.set_axis(samples.index // block) for samples in (seconds, cycles)))

    @property
    def hertz(self) -> pd.Series[float]:
        """The clock."""
        return self.cycles / self.seconds


def _cycles(samples: CaseSamples, inner: int) -> float | None:
    if samples.clock_mhz is None or not np.all(samples.clock_mhz > 0):
        return None
    seconds = samples.seconds(inner)
    slowest = seconds.argmax(axis=0), np.arange(samples.count)
    return float(np.median(seconds[slowest] * samples.clock_mhz[slowest] * 1e6))


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
    verdicts = {placed(interval.low, interval.high, margin) for interval in (cycles, seconds)}
    moved = placed(clock.low, clock.high, margin) in ("faster", "slower")
    return InCycles(
        ratio=cycles.value,
        ratio_low=cycles.low,
        ratio_high=cycles.high,
        clock=clock.value,
        disagrees=moved or (len(verdicts) > 1 and verdicts.issubset(DECIDED)),
    )


def faster(base: InCycles | None, factor: float) -> InCycles | None:
    """Of a case over its base the speed-up instead, where so many times as much is done."""
    if base is None:
        return None
    low, high = (None if end is None else factor / end for end in (base.ratio_high, base.ratio_low))
    fields = {"ratio": factor / base.ratio, "ratio_low": low, "ratio_high": high}
    return base.model_copy(update=fields)


def of_runs(above: pd.Series[float], below: pd.Series[float]) -> Estimate | None:
    """As launches of two runs are compared, which are no pairs."""
    ratio = shift(below.tolist(), above.tolist())
    return Estimate(ratio.ratio, ratio.low, ratio.high, min(len(above), len(below))) if ratio else None
