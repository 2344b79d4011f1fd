"""The statistics of rankbench, pure: frames and series in, estimates out.

Time of a sample is the maximum over ranks; a launch's value is the median over its samples; the time
is the median over launches. Intervals come from launches, the unit of replication, and never from
pooled samples: those covered 40-48 % instead of 95 % in simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.precision import interval_ranks

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
    """
    both = (above / below).dropna()
    own = estimate(both)
    if own is None:
        return None
    value = float(above[both.index].median() / below[both.index].median())
    return Estimate(value, own.low, own.high, own.launches)


def scaled(found: Estimate | None, factor: float) -> Estimate | None:
    """An estimate times a positive constant."""
    if found is None:
        return None
    low, high = (None if end is None else end * factor for end in (found.low, found.high))
    return Estimate(found.value * factor, low, high, found.launches)


def sample_times(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a sample of the frame's ``ok`` rows: ``seconds`` is the maximum over ranks, ``skew_s`` the starts' spread.

    Columns: comparison, case, launch, sample, round, position, inner, start_s (the first rank's), seconds, mean_s (the
    mean over ranks), skew_s, and excess_s, by how much the host's span exceeds the device's own time on the rank where
    it does most (NaN without).
    """
    taken = rows[rows["status"] == "ok"]
    taken = taken.assign(excess_s=taken["host_s"] - taken["seconds"] * taken["inner"].astype(float))
    grouped = taken.groupby(["comparison", "case", "launch", "sample"], sort=True)
    table = grouped.agg(
        round=("round", "first"),
        position=("position", "first"),
        inner=("inner", "first"),
        start_s=("start_s", "min"),
        last_s=("start_s", "max"),
        seconds=("seconds", "max"),
        mean_s=("seconds", "mean"),
        excess_s=("excess_s", "max"),
    ).reset_index()
    return table.assign(skew_s=table["last_s"] - table["start_s"]).drop(columns="last_s")


def launch_values(samples: pd.DataFrame) -> pd.Series[float]:
    """Median over samples, indexed by (comparison, case, launch)."""
    values: pd.Series[float] = samples.groupby(["comparison", "case", "launch"], sort=True)["seconds"].median()
    return values


def null_contrast(samples: pd.DataFrame) -> float | None:
    """A/A of one case: |median over launches of ln(even rounds' median / odd rounds' median)|, None where unknown.

    The two halves of a launch are the same work under the same name: what tells them apart is noise.
    """
    halves = samples.groupby(["launch", samples["round"] % 2])["seconds"].median().unstack()  # noqa: PD010 - a pivot would aggregate again
    if not {0, 1} <= set(halves.columns):
        return None
    logs: pd.Series[float] = (halves[0] / halves[1]).dropna().map(math.log)
    return abs(float(logs.median())) if len(logs) else None
