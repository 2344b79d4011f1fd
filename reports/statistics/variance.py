"""Where the spread of a time comes from: between launches, or within them.

The model is that of Kalibera and Jones (ISMM 2013) with two levels, and of logarithms: a launch's value is the true
time, plus what is particular to the launch, plus what its samples leave.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.reading.run import Evidence
from reports.schema.diagnostics import AdviceRow, Spend, VarianceRow
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.statistics.measured import Measured
from reports.text import units
from reports.text.labels import Labels, Named

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
    parts = [launch for _, launch in samples.groupby("launch", sort=True)]
    values = np.log([float(launch["seconds"].median()) for launch in parts])
    variances = [
        within_variance(launch["round"].to_numpy(dtype=int), launch["seconds"].to_numpy(dtype=float))
        for launch in parts
    ]
    known = [variance for variance in variances if variance is not None]
    if len(parts) < 2 or not known:
        return None
    within = float(np.mean(known))
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
    parts = components(samples) if samples is not None else None
    if parts:
        yield VarianceRow(
            comparison=key[0],
            key=key[1],
            world_size=world_size,
            launches=len(measured.values(key)),
            between_sd=math.sqrt(parts.between),
            within_sd=math.sqrt(parts.within),
        )


WORTHWHILE = 0.1
"""Intervals that would be narrower by less than this fraction are no reason to change anything."""
LEAST = 0.001
"""Deviations below this fraction are told as less than it."""


@dataclass(frozen=True)
class Costs:
    """What a launch of a run costs, in seconds."""

    overhead_s: float
    """Starting and ending processes, warm-up, checks: whatever is not sampling."""
    sampling_s: float
    """Of all comparisons together."""


def costs(evidence: Evidence) -> Costs | None:
    """Medians over the launches that tell both; None where none does."""
    prices = [Costs(evidence.wall_s.get(launch, 0.0) - own_s, own_s) for launch, own_s in _sampling_s(evidence).items()]
    known = [price for price in prices if price.overhead_s > 0]
    if not known:
        return None
    return Costs(median(price.overhead_s for price in known), median(price.sampling_s for price in known))


def _sampling_s(evidence: Evidence) -> dict[int, float]:
    """Of each launch, from the first sample of a comparison to its last, in seconds, over all comparisons."""
    spans: dict[tuple[int, int], tuple[float, float]] = {}
    for (launch, comparison, _), samples in evidence.samples.items():
        if launch in evidence.gangs:
            first_s, last_s = float(samples.start_s[:, 0].min()), float(samples.end_s[:, -1].max())
            before = spans.get((launch, comparison), (first_s, last_s))
            spans[launch, comparison] = min(first_s, before[0]), max(last_s, before[1])
    seconds: dict[int, float] = {}
    for (launch, _), (first_s, last_s) in spans.items():
        seconds[launch] = seconds.get(launch, 0.0) + last_s - first_s
    return seconds


def advice_rows(measured: Measured, rows: tuple[VarianceRow, ...]) -> tuple[AdviceRow, ...]:
    """Advice for each comparison that has launches enough for intervals: with fewer, launches are what it lacks."""
    comparisons, price = measured.evidence.plan.comparisons, costs(measured.evidence)
    names = Labels.of(comparisons)
    advice = []
    for index, comparison in enumerate(comparisons):
        comparison_rows = [row for row in rows if row.comparison == index and row.launches >= FEWEST_LAUNCHES]
        if comparison_rows:
            parts = Components(
                fmean(row.between_sd**2 for row in comparison_rows), fmean(row.within_sd**2 for row in comparison_rows)
            )
            advice.append(_advice(index, comparison, parts, price, names))
    return tuple(advice)


def _advice(index: int, comparison: Named, parts: Components, price: Costs | None, names: Labels) -> AdviceRow:
    spend, gain = advise(parts, price) if price else (None, None)
    factor = _factor(parts, price) if price else None
    return AdviceRow(
        comparison=index,
        between_sd=math.sqrt(parts.between),
        within_sd=math.sqrt(parts.within),
        overhead_s=price.overhead_s if price else None,
        sampling_s=price.sampling_s if price else None,
        factor=factor,
        gain=gain,
        spend=spend,
        text=f"`{names.comparison(comparison)}`: {_told(parts)}{_WORDS[spend]}.",
    )


def advise(parts: Components, price: Costs) -> tuple[Spend, float]:
    """On what to spend more, and by which fraction intervals would be narrower with the best samples a launch.

    With k times the samples a launch costs overhead + k x sampling, and its value's variance is between + within / k:
    their product is least at k = sqrt(overhead / sampling x within / between).
    """
    now = (parts.between + parts.within) * (price.overhead_s + price.sampling_s)
    best = (math.sqrt(parts.between * price.overhead_s) + math.sqrt(parts.within * price.sampling_s)) ** 2
    gain = 1 - math.sqrt(best / now) if now else 0.0
    if gain < WORTHWHILE:
        return "either", gain
    return ("samples" if parts.within * price.overhead_s > parts.between * price.sampling_s else "launches"), gain


def _factor(parts: Components, price: Costs) -> float | None:
    return math.sqrt(price.overhead_s / price.sampling_s * parts.within / parts.between) if parts.between else None


_WORDS: dict[Spend | None, str] = {
    "launches": ": more launches narrow the intervals of its times most",
    "samples": ": more samples in each (`--budget`) narrow the intervals of its times most",
    "either": ": launches and samples are in balance",
    None: "",
}


def _told(parts: Components) -> str:
    within = _share(math.sqrt(parts.within))
    if not parts.between:
        return f"its launches differ by no more than their samples explain ({within})"
    return f"its launches differ by {_share(math.sqrt(parts.between))}, and their samples leave {within} in each"


def _share(deviation: float) -> str:
    return units.percent(deviation) if deviation >= LEAST else f"less than {units.percent(LEAST)}"
