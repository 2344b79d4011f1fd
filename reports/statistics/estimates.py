"""The statistics of rankbench, pure: arrays, frames and series in, estimates out.

Time of a sample is the maximum over ranks; a launch's value is the median over its samples; the time
is the median over launches. Intervals come from launches, the unit of replication, and never from
pooled samples: those covered 40-48 % instead of 95 % in simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.planning.stopping_rule import interval_ranks
from reports.reading.samples import CaseSamples

FEWEST_LAUNCHES = 6
"""Below this many launches no order-statistic interval of the median reaches 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A median over launches and, where there are enough of them, its exact 95 % interval."""

    value: float
    low: float | None
    high: float | None
    launches: int
    """How many launches the interval rests on."""

    def fields(self, name: str) -> dict[str, Any]:
        """The three fields of a row that hold it: ``name``, ``name_low`` and ``name_high``."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def estimate(values: pd.Series[float]) -> Estimate | None:
    """Median over launches with its interval; ``values`` has one value a launch. None where there is none."""
    ordered = np.sort(values.dropna().to_numpy(dtype=float))
    if not ordered.size:
        return None
    ranks = interval_ranks(int(ordered.size))
    low, high = (float(ordered[ranks[0]]), float(ordered[ranks[1]])) if ranks else (None, None)
    return Estimate(float(np.median(ordered)), low, high, int(ordered.size))


def ratio(above: pd.Series[float], below: pd.Series[float]) -> Estimate | None:
    """Ratio of two times with the interval of the launches' own ratios; both are indexed by launch.

    The value is the ratio of the medians over the launches that have both. Both sides of a launch's ratio come from
    that launch, so drift between launches cancels. (Order statistics of ratios and of their logarithms are the same.)
    The two need not agree: where the value lies beyond the interval, that reaches to it, and covers the more for it.
    """
    both = (above / below).dropna()
    median = estimate(both)
    if median is None:
        return None
    value = float(above[both.index].median() / below[both.index].median())
    if median.low is None or median.high is None:
        return replace(median, value=value)
    return Estimate(value, min(median.low, value), max(median.high, value), median.launches)


def scaled(base: Estimate, factor: float) -> Estimate:
    """An estimate times a positive constant."""
    low, high = (None if end is None else end * factor for end in (base.low, base.high))
    return Estimate(base.value * factor, low, high, base.launches)


def sample_times(launches: Mapping[int, tuple[CaseSamples, int]]) -> pd.DataFrame:
    """A row a sample of one case; of each launch what was taken, and how many steps a sample has.

    Columns: launch, sample, round, position, inner, start_s (the first rank's), seconds (the maximum over ranks),
    mean_s (the mean over ranks), skew_s (the starts' spread), and excess_s, by how much the host's span exceeds the
    device's own time on the rank where it does most (NaN without).
    """
    parts = [_sample_times(launch, samples, inner) for launch, (samples, inner) in launches.items()]
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _sample_times(launch: int, samples: CaseSamples, inner: int) -> dict[str, npt.NDArray[np.generic]]:
    seconds, first_s = samples.seconds(inner), samples.start_s.min(axis=0)
    unknown = samples.device_s is None
    return {
        "launch": np.full(samples.count, launch),
        "sample": np.arange(samples.count),
        "round": samples.round,
        "position": samples.position,
        "inner": np.full(samples.count, inner),
        "start_s": first_s,
        "seconds": seconds.max(axis=0),
        "mean_s": seconds.mean(axis=0),
        "excess_s": np.full(samples.count, np.nan) if unknown else (samples.host_s - inner * seconds).max(axis=0),
        "skew_s": samples.start_s.max(axis=0) - first_s,
    }


def null_contrast(samples: pd.DataFrame) -> float | None:
    """A/A of one case: |median over launches of ln(even rounds' median / odd rounds' median)|, None where unknown.

    The two halves of a launch are the same work under the same name: what tells them apart is noise.
    """
    logs = []
    for _, launch in samples.groupby("launch", sort=True):
        seconds, odd = launch["seconds"].to_numpy(), launch["round"].to_numpy() % 2 == 1
        if odd.any() and not odd.all():
            logs.append(math.log(np.median(seconds[~odd]) / np.median(seconds[odd])))
    return abs(float(np.median(logs))) if logs else None
