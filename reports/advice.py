"""What would narrow the intervals of a run's times for the least of its time: more launches, or more samples in each.

The best number of samples a launch by Kalibera and Jones (ISMM 2013), the root of (cost of a launch / cost of a sample)
x (variance of samples / variance of launches), with the costs and the variances of the run itself. It is about times,
and so about two runs that are compared: in ratios within a run, what is particular to a launch cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median

from reports import units
from reports.estimates import FEWEST_LAUNCHES
from reports.evidence import Evidence
from reports.labels import Labels, Named
from reports.measured import Measured
from reports.variance import Components
from reports.variance_rows import AdviceRow, Spend, VarianceRow

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
    told = [Costs(evidence.wall_s.get(launch, 0.0) - own_s, own_s) for launch, own_s in _sampling_s(evidence).items()]
    known = [each for each in told if each.overhead_s > 0]
    if not known:
        return None
    return Costs(median(each.overhead_s for each in known), median(each.sampling_s for each in known))


def _sampling_s(evidence: Evidence) -> dict[int, float]:
    """Of each launch, from the first sample of a comparison to its last, in seconds, over all comparisons."""
    spans: dict[tuple[int, int], tuple[float, float]] = {}
    for (launch, comparison, _), taken in evidence.taken.items():
        if launch in evidence.gangs:
            first_s, last_s = float(taken.start_s[:, 0].min()), float(taken.end_s[:, -1].max())
            before = spans.get((launch, comparison), (first_s, last_s))
            spans[launch, comparison] = min(first_s, before[0]), max(last_s, before[1])
    found: dict[int, float] = {}
    for (launch, _), (first_s, last_s) in spans.items():
        found[launch] = found.get(launch, 0.0) + last_s - first_s
    return found


def advice_rows(measured: Measured, rows: tuple[VarianceRow, ...]) -> tuple[AdviceRow, ...]:
    """Advice for each comparison that has launches enough for intervals: with fewer, launches are what it lacks."""
    comparisons, price = measured.evidence.plan.comparisons, costs(measured.evidence)
    names = Labels.of(comparisons)
    told = []
    for index, comparison in enumerate(comparisons):
        own = [row for row in rows if row.comparison == index and row.launches >= FEWEST_LAUNCHES]
        if own:
            found = Components(fmean(row.between_sd**2 for row in own), fmean(row.within_sd**2 for row in own))
            told.append(_advice(index, comparison, found, price, names))
    return tuple(told)


def _advice(index: int, comparison: Named, found: Components, price: Costs | None, names: Labels) -> AdviceRow:
    spend, gain = advise(found, price) if price else (None, None)
    factor = _factor(found, price) if price else None
    return AdviceRow(
        comparison=index,
        between_sd=math.sqrt(found.between),
        within_sd=math.sqrt(found.within),
        overhead_s=price.overhead_s if price else None,
        sampling_s=price.sampling_s if price else None,
        factor=factor,
        gain=gain,
        spend=spend,
        text=f"`{names.comparison(comparison)}`: {_told(found)}{_WORDS[spend]}.",
    )


def advise(found: Components, price: Costs) -> tuple[Spend, float]:
    """On what to spend more, and by which fraction intervals would be narrower with the best samples a launch.

    With k times the samples a launch costs overhead + k x sampling, and its value's variance is between + within / k:
    their product is least at k = sqrt(overhead / sampling x within / between).
    """
    now = (found.between + found.within) * (price.overhead_s + price.sampling_s)
    best = (math.sqrt(found.between * price.overhead_s) + math.sqrt(found.within * price.sampling_s)) ** 2
    gain = 1 - math.sqrt(best / now) if now else 0.0
    if gain < WORTHWHILE:
        return "either", gain
    return ("samples" if found.within * price.overhead_s > found.between * price.sampling_s else "launches"), gain


def _factor(found: Components, price: Costs) -> float | None:
    return math.sqrt(price.overhead_s / price.sampling_s * found.within / found.between) if found.between else None


_WORDS: dict[Spend | None, str] = {
    "launches": ": more launches narrow the intervals of its times most",
    "samples": ": more samples in each (`--budget`) narrow the intervals of its times most",
    "either": ": launches and samples are in balance",
    None: "",
}


def _told(found: Components) -> str:
    own = _share(math.sqrt(found.within))
    if not found.between:
        return f"its launches differ by no more than their samples explain ({own})"
    return f"its launches differ by {_share(math.sqrt(found.between))}, and their samples leave {own} in each"


def _share(deviation: float) -> str:
    return units.percent(deviation) if deviation >= LEAST else f"less than {units.percent(LEAST)}"
