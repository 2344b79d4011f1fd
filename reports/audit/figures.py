"""The rules on figures: what they are over, how they are summarised, and how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import stats

from reports import units
from reports.audit.examined import Examined, Found, failed, of, passed, without
from reports.estimates import FEWEST_LAUNCHES
from reports.rows import CellRow, ContrastRow, SideRow
from reports.sentences import WORDS
from reports.verdicts import limit

SAME = 0.005
"""What differs by no more than this fraction reads the same."""
FEWEST_FOR_TAIL = 20
"""Samples, a twentieth of which is at least one."""
TAIL = 1.5
"""Where the 95th percentile is above so many medians, the median does not tell what one has to wait for."""
NORMAL = 0.05
"""Samples do not look normal where the p of Shapiro and Wilk's test is below this."""
MOST = 5000
"""Samples that this test is made for."""


def base_case(run: Examined) -> Found:
    """Rule 1: the base of every speed-up is declared, with its absolute time."""
    if run.measured.evidence.plan.shared_device:
        return without("Ranks shared a device, so there are no speed-ups")
    if not run.scaling:
        return without("No case that claims to scale was timed on more devices than the fewest")
    bare = [row for row in run.scaling if row.speedup is None]
    if bare:
        told = of(len(bare), len(run.scaling), "case")
        return failed(f"{told} of several devices have no base with a time, {run.example(bare)}")
    bases = sorted({row.base_world_size or 1 for row in run.scaling})
    where = units.listed([units.count(base, "device") for base in bases])
    least, most = (units.seconds(end(row.base_median_s or 0 for row in run.scaling)) for end in (min, max))
    times = least if least == most else f"{least} to {most}"
    told = units.count(len(run.scaling), "speed-up")
    return passed(f"{told} over the same step on {where} under the same harness, which takes {times}")


def rates(run: Examined) -> Found:
    """Rule 3: every rate is the work of a step over its time."""
    rated = [row for row in run.timed if row.rate is not None or row.items_per_s is not None]
    if not rated:
        return without("No work is declared, so there are no rates")
    changing = [row for row in rated if len(set(_work(run, row))) > 1]
    if changing:
        told = of(len(changing), len(rated), "rate")
        return failed(f"{told} rest on work that differs between launches, {run.example(changing)}")
    have = "has a rate" if len(rated) == 1 else "have rates"
    return passed(f"{units.count(len(rated), 'case')} {have}, each the work of all ranks over the time of the step")


def _work(run: Examined, row: CellRow) -> Iterator[tuple[float, float]]:
    """Of each launch FLOPs and items of all ranks."""
    for cell in run.measured.evidence.by_case[row.comparison, row.key]:
        if cell.record and cell.state == "ok":
            yield sum(fact.flops for fact in cell.record.facts), sum(fact.items for fact in cell.record.facts)


def ratios(run: Examined) -> Found:
    """Rule 4: every ratio is that of the times that are shown, and none is a summary of ratios."""
    pairs = list(_ratios(run))
    if not pairs:
        return without("There are no ratios")
    off = [abs(shown / (above / below) - 1) for shown, above, below in pairs]
    apart = [each for each in off if each > SAME]
    if apart:
        told = of(len(apart), len(pairs), "ratio")
        most = units.percent(max(apart))
        return failed(f"{told} are of fewer launches than the times beside them, and off by up to {most}")
    told = units.count(len(pairs), "ratio")
    return passed(f"{told}, each of the two median times beside it, and none of them over several cases")


def _ratios(run: Examined) -> Iterator[tuple[float, float, float]]:
    """Speed-ups, arms over baselines and sides over the first: each with the two times that it is of."""
    for row in run.timed:
        if row.speedup and row.base_median_s and row.median_s:
            devices = row.world_size / (row.base_world_size or 1)
            yield row.speedup, row.base_median_s * (devices if row.scaling == "weak" else 1), row.median_s
    times = {(row.comparison, row.arm, row.world_size): row.median_s for row in run.cells}
    for contrast in run.comparisons:
        sizes = [(contrast.comparison, arm, contrast.world_size) for arm in (contrast.arm, contrast.baseline)]
        above, below = (times.get(size) for size in sizes)
        if contrast.ratio and above and below:
            yield contrast.ratio, above, below
    for side in run.sides:
        if side.ratio and side.median_s and side.reference_s:
            yield side.ratio, side.median_s, side.reference_s


def intervals(run: Examined) -> Found:
    """Rule 5: every time has an interval."""
    if not run.timed:
        return without("Nothing has a time")
    bare = [row for row in run.timed if row.ci_low_s is None]
    if bare:
        told = of(len(bare), len(run.timed), "time")
        launches = units.count(min(row.launches for row in bare), "launch", "launches")
        lacking = f"{'has' if len(bare) == 1 else 'have'} no interval, which takes {FEWEST_LAUNCHES} launches"
        return failed(f"{told} {lacking}, {run.example(bare)} with {launches}")
    widest = max(_half_width(row) for row in run.timed)
    launches = units.count(min(row.launches for row in run.timed), "launch", "launches")
    told = units.count(len(run.timed), "time")
    return passed(f"{told} with 95 % intervals from {launches} or more, the widest ±{units.percent(widest)}")


def _half_width(row: CellRow) -> float:
    return ((row.ci_high_s or 0.0) - (row.ci_low_s or 0.0)) / 2 / (row.median_s or 1.0)


def normality(run: Examined) -> Found:
    """Rule 6: no figure assumes a normal distribution; none does, so that this cannot fail."""
    known = sum(row.ci_low_s is not None for row in run.timed)
    if not known:
        return without("Nothing is inferred: there are no intervals")
    tested = [_normal_p(np.asarray(values, dtype=np.float64)) for _, values in run.samples]
    odd = of(sum(p < NORMAL for p in tested), len(tested), "case")
    told = f"{units.count(known, 'interval')} of times, and all others, are order statistics and assume no distribution"
    return passed(
        f"{told}; the samples of {odd} do not look normal (Shapiro and Wilk, p below {units.percent(NORMAL)})"
    )


def _normal_p(values: npt.NDArray[np.float64]) -> float:
    """1 where there is nothing to be seen."""
    thinned = values[:: -(-len(values) // MOST)]
    return float(stats.shapiro(thinned).pvalue) if len(thinned) >= 3 and np.ptp(thinned) > 0 else 1.0


def comparisons(run: Examined) -> Found:
    """Rule 7: every comparison rests on an interval."""
    pairs: list[ContrastRow | SideRow] = [*run.comparisons, *(row for row in run.sides if not row.control)]
    judged = [row for row in pairs if row.verdict != "not comparable"]
    if not judged:
        return without("Nothing is compared with anything")
    bare = [row for row in judged if row.ratio_low is None]
    if bare:
        told = of(len(bare), len(judged), "comparison")
        have = "has" if len(bare) == 1 else "have"
        return failed(f"{told} {have} no interval and so no verdict, which takes {FEWEST_LAUNCHES} launches")
    counted = Counter(WORDS[row.verdict] for row in judged)
    verdicts = units.listed([f"{counted[word]} {word}" for word in WORDS.values() if counted[word]])
    least = units.percent(min(limit(row) for row in judged))
    told = units.count(len(judged), "comparison")
    return passed(f"{told} by intervals of the launches' own ratios, with margins of {least} or more: {verdicts}")


def tails(run: Examined) -> Found:
    """Rule 8: the median stands for what a sample takes: there are no tails that matter more."""
    if not run.samples:
        return without("Nothing has a time")
    few = [row for row, values in run.samples if len(values) < FEWEST_FOR_TAIL]
    ends = [(float(values.quantile(0.95)), row) for row, values in run.samples if len(values) >= FEWEST_FOR_TAIL]
    heavy = [row for end, row in ends if end > TAIL]
    most, worst = max(((end, row) for end, row in ends), key=lambda each: each[0], default=(1.0, run.timed[0]))
    if heavy:
        where = f"In {of(len(heavy), len(run.samples), 'case')} a twentieth of the samples takes more than"
        return failed(f"{where} {units.times(TAIL)} the median, and {units.times(most)} in {run.name(worst)}")
    if few:
        told = f"{of(len(few), len(run.samples), 'case')} have too few samples for a twentieth of them"
        return failed(f"{told}, which takes {FEWEST_FOR_TAIL}, {run.example(few)}")
    where = f"In none of {units.count(len(ends), 'case')} does a twentieth of the samples take more than"
    return passed(f"{where} {units.times(most)} the median of their launch")
