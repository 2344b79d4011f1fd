"""Where the spread of a time comes from: between launches, or within them.

The model is that of Kalibera and Jones (ISMM 2013) with two levels, and of logarithms: a launch's value is the true
time, plus what is particular to the launch, plus what its samples leave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.measured import Measured
from reports.variance_rows import VarianceRow

HALVINGS = 4
"""Ways in which a launch's rounds are halved; more of them say little more."""


@dataclass(frozen=True)
class Components:
    """Variances of the logarithm of a launch value."""

    between: float
    """Of the launches themselves."""
    within: float
    """Of the samples that each has."""


def components(samples: pd.DataFrame) -> Components | None:
    """Split the spread of a case's launch values; ``samples`` has launch, round and seconds.

    None with fewer than two launches, or none that has two rounds.
    """
    parts = [own for _, own in samples.groupby("launch", sort=True)]
    values = np.log([float(own["seconds"].median()) for own in parts])
    found = [within_variance(own["round"].to_numpy(dtype=int), own["seconds"].to_numpy(dtype=float)) for own in parts]
    told = [each for each in found if each is not None]
    if len(parts) < 2 or not told:
        return None
    within = float(np.mean(told))
    return Components(max(0.0, float(np.var(values, ddof=1)) - within), within)


def within_variance(rounds: npt.NDArray[np.int_], seconds: npt.NDArray[np.float64]) -> float | None:
    """Variance of the logarithm of a launch's median that its samples leave; None with one round.

    A quarter of the squared difference of two halves' medians, over several ways to halve (balanced half-samples:
    McCarthy 1969). Of each two rounds that follow one another one is in each half, so that a drift tells the halves
    apart as little as may be; and no sample is weighed by how far off it is.
    """
    _, place = np.unique(rounds, return_inverse=True)
    if place.max() == 0:
        return None
    squares = []
    for mask in range(HALVINGS):
        swapped = np.array([(pair & mask).bit_count() for pair in range(int(place.max()) // 2 + 1)])
        half = (place + swapped[place // 2]) % 2
        squares.append(math.log(np.median(seconds[half == 0]) / np.median(seconds[half == 1])) ** 2)
    return float(np.mean(squares)) / 4


def variance_rows(measured: Measured) -> tuple[VarianceRow, ...]:
    """Each case of the run that has samples of several launches."""
    return tuple(row for key, case in measured.gangs() for row in _row(measured, key, case.world_size))


def _row(measured: Measured, key: tuple[int, str], world_size: int) -> Iterator[VarianceRow]:
    samples = measured.samples(key)
    found = components(samples) if samples is not None else None
    if found:
        yield VarianceRow(
            comparison=key[0],
            key=key[1],
            world_size=world_size,
            launches=len(measured.values(key)),
            between_sd=math.sqrt(found.between),
            within_sd=math.sqrt(found.within),
        )
