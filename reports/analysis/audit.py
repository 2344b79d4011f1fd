"""The twelve rules of Hoefler and Belli, "Scientific Benchmarking of Parallel Computing Systems" (SC15), one by one.

A rule is failed where the run's own data fail it, however well it was meant: a missing reason, an interval that too few
launches allow, a line through counts that nobody measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from harness.journal.measurement_warnings import Kind
from harness.journal.records import MEASURED
from reports.analysis.contrasts import margin
from reports.reading.run import Topology
from reports.schema.cases import CellRow, ContrastRow, SideRow
from reports.schema.diagnostics import AuditRow
from reports.schema.summary import Summary
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.statistics.measured import Measured
from reports.statistics.verdicts import limit
from reports.text import labels, units
from reports.text.labels import Labels
from reports.wording.sentences import WORDS

Judgement = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """How a run stands to a rule."""

    verdict: Judgement
    evidence: str
    """One sentence."""


def passed(evidence: str) -> Finding:
    """The rule is kept."""
    return Finding("passed", f"{evidence}.")


def failed(evidence: str) -> Finding:
    """The rule is broken."""
    return Finding("failed", f"{evidence}.")


def without(evidence: str) -> Finding:
    """The run has nothing that the rule is about."""
    return Finding("not applicable", f"{evidence}.")


@dataclass(frozen=True)
class Examined:
    """A run, by its first side, and what its others are compared with."""

    measured: Measured
    summary: Summary

    @cached_property
    def timed(self) -> tuple[CellRow, ...]:
        """Cases with a time that may be shown."""
        return tuple(row for row in self.summary.first if row.timed)

    @cached_property
    def scaling(self) -> tuple[CellRow, ...]:
        """Those that claim to scale, on more devices than the fewest."""
        fewest = min(self.measured.evidence.plan.world_sizes)
        return tuple(row for row in self.timed if row.scaling != "none" and row.world_size > fewest)

    @cached_property
    def samples(self) -> tuple[tuple[CellRow, pd.Series[float]], ...]:
        """Of each case with a time its samples over their launch's median, in no order that matters."""
        return tuple((row, values) for row in self.timed for values in self._relative(row))

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
        return Labels.of(self.summary.first)


def of(few: int, all_: int, noun: str) -> str:
    """E.g. ``2 of 4 times``."""
    return f"{few} of {units.count(all_, noun)}"


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


def base_case(run: Examined) -> Finding:
    """Rule 1: the base of every speed-up is declared, with its absolute time."""
    if run.measured.evidence.plan.shared_device:
        return without("Ranks shared a device, so there are no speed-ups")
    if not run.scaling:
        return without("No case that claims to scale was timed on more devices than the fewest")
    bare = [row for row in run.scaling if row.speedup is None]
    if bare:
        cases = of(len(bare), len(run.scaling), "case")
        return failed(f"{cases} of several devices have no base with a time, {run.example(bare)}")
    bases = sorted({row.base_world_size or 1 for row in run.scaling})
    where = units.listed([units.count(base, "device") for base in bases])
    least, most = (units.seconds(end(row.base_median_s or 0 for row in run.scaling)) for end in (min, max))
    times = least if least == most else f"{least} to {most}"
    cases = units.count(len(run.scaling), "speed-up")
    return passed(f"{cases} over the same step on {where} under the same harness, which takes {times}")


def rates(run: Examined) -> Finding:
    """Rule 3: every rate is the work of a step over its time."""
    rated = [row for row in run.timed if row.rate is not None or row.items_per_s is not None]
    if not rated:
        return without("No work is declared, so there are no rates")
    changing = [row for row in rated if len(set(_work(run, row))) > 1]
    if changing:
        text = of(len(changing), len(rated), "rate")
        return failed(f"{text} rest on work that differs between launches, {run.example(changing)}")
    have = "has a rate" if len(rated) == 1 else "have rates"
    return passed(f"{units.count(len(rated), 'case')} {have}, each the work of all ranks over the time of the step")


def _work(run: Examined, row: CellRow) -> Iterator[tuple[float, float]]:
    """Of each launch FLOPs and items of all ranks."""
    for cell in run.measured.evidence.by_case[row.comparison, row.key]:
        if cell.record and cell.state in MEASURED:
            yield sum(fact.flops for fact in cell.record.facts), sum(fact.items for fact in cell.record.facts)


def ratios(run: Examined) -> Finding:
    """Rule 4: every ratio is that of the times that are shown, and none is a summary of ratios."""
    pairs = list(_ratios(run))
    if not pairs:
        return without("There are no ratios")
    off = [abs(shown / (above / below) - 1) for shown, above, below in pairs]
    apart = [value for value in off if value > SAME]
    if apart:
        text = of(len(apart), len(pairs), "ratio")
        most = units.percent(max(apart))
        return failed(f"{text} are of fewer launches than the times beside them, and off by up to {most}")
    text = units.count(len(pairs), "ratio")
    return passed(f"{text}, each of the two median times beside it, and none of them over several cases")


def _ratios(run: Examined) -> Iterator[tuple[float, float, float]]:
    """Speed-ups, variants over baselines and sides over the first: each with the two times that it is of."""
    for row in run.timed:
        if row.speedup and row.base_median_s and row.median_s:
            devices = row.world_size / (row.base_world_size or 1)
            yield row.speedup, row.base_median_s * (devices if row.scaling == "weak" else 1), row.median_s
    times = {(row.comparison, row.variant, row.world_size): row.median_s for row in run.summary.first}
    for contrast in run.summary.comparisons:
        sizes = [
            (contrast.comparison, variant, contrast.world_size) for variant in (contrast.variant, contrast.baseline)
        ]
        above, below = (times.get(size) for size in sizes)
        if contrast.ratio and above and below:
            yield contrast.ratio, above, below
    for side in run.summary.sides:
        if side.ratio and side.median_s and side.reference_s:
            yield side.ratio, side.median_s, side.reference_s


def intervals(run: Examined) -> Finding:
    """Rule 5: every time has an interval."""
    if not run.timed:
        return without("Nothing has a time")
    bare = [row for row in run.timed if row.ci_low_s is None]
    if bare:
        text = of(len(bare), len(run.timed), "time")
        launches = units.count(min(row.launches for row in bare), "launch")
        lacking = f"{'has' if len(bare) == 1 else 'have'} no interval, which takes {FEWEST_LAUNCHES} launches"
        return failed(f"{text} {lacking}, {run.example(bare)} with {launches}")
    launches = units.count(min(row.launches for row in run.timed), "launch")
    text = units.count(len(run.timed), "time")
    low, high = max(map(_interval, run.timed), key=lambda ends: ends[1] - ends[0])
    widest = f"the widest {units.change_span(1.0, low, high)} of its time"
    return passed(f"{text} with 95 % intervals from {launches} or more, {widest}")


def _interval(row: CellRow) -> tuple[float, float]:
    """Its ends, over the median."""
    median_s = row.median_s or 1.0
    return (row.ci_low_s or 0.0) / median_s, (row.ci_high_s or 0.0) / median_s


def normality(run: Examined) -> Finding:
    """Rule 6: no figure assumes a normal distribution; none does, so that this cannot fail."""
    known = sum(row.ci_low_s is not None for row in run.timed)
    if not known:
        return without("Nothing is inferred: there are no intervals")
    tested = [_normal_p(np.asarray(values, dtype=np.float64)) for _, values in run.samples]
    odd = of(sum(p < NORMAL for p in tested), len(tested), "case")
    text = f"{units.count(known, 'interval')} of times, and all others, are order statistics and assume no distribution"
    return passed(
        f"{text}; the samples of {odd} do not look normal (Shapiro and Wilk, p below {units.percent(NORMAL)})"
    )


def _normal_p(values: npt.NDArray[np.float64]) -> float:
    """1 where there is nothing to be seen."""
    thinned = values[:: -(-len(values) // MOST)]
    return float(stats.shapiro(thinned).pvalue) if len(thinned) >= 3 and np.ptp(thinned) > 0 else 1.0


def comparisons(run: Examined) -> Finding:
    """Rule 7: every comparison rests on an interval."""
    pairs: list[ContrastRow | SideRow] = [
        *run.summary.comparisons,
        *(row for row in run.summary.sides if not row.control),
    ]
    judged = [row for row in pairs if row.verdict != "not comparable"]
    if not judged:
        return without("Nothing is compared with anything")
    bare = [row for row in judged if row.ratio_low is None]
    if bare:
        text = of(len(bare), len(judged), "comparison")
        have = "has" if len(bare) == 1 else "have"
        return failed(f"{text} {have} no interval and so no verdict, which takes {FEWEST_LAUNCHES} launches")
    counted = Counter(WORDS[row.verdict] for row in judged)
    verdicts = units.listed([f"{counted[word]} {word}" for word in WORDS.values() if counted[word]])
    least = units.percent(min(limit(row) for row in judged))
    text = units.count(len(judged), "comparison")
    return passed(f"{text} by intervals of the launches' own ratios, with margins of {least} or more: {verdicts}")


def tails(run: Examined) -> Finding:
    """Rule 8: the median stands for what a sample takes: there are no tails that matter more."""
    if not run.samples:
        return without("Nothing has a time")
    few = [row for row, values in run.samples if len(values) < FEWEST_FOR_TAIL]
    ends = [(float(values.quantile(0.95)), row) for row, values in run.samples if len(values) >= FEWEST_FOR_TAIL]
    heavy = [row for end, row in ends if end > TAIL]
    most, worst = max(((end, row) for end, row in ends), key=lambda pair: pair[0], default=(1.0, run.timed[0]))
    if heavy:
        where = f"In {of(len(heavy), len(run.samples), 'case')} a twentieth of the samples takes more than"
        return failed(f"{where} {units.times(TAIL)} the median, and {units.times(most)} in {run.name(worst)}")
    if few:
        text = f"{of(len(few), len(run.samples), 'case')} have too few samples for a twentieth of them"
        return failed(f"{text}, which takes {FEWEST_FOR_TAIL}, {run.example(few)}")
    where = f"In none of {units.count(len(ends), 'case')} does a twentieth of the samples take more than"
    return passed(f"{where} {units.times(most)} the median of their launch")


NEEDED = ("host.cpu", "host.cores", "devices", "software.python", "software.torch")
"""Without these of environment.json, nobody could set up the same again."""
MISALIGNED = (Kind.LATE_START, Kind.UNJOINED_STREAM)
BEYOND = (Kind.SUPERLINEAR, Kind.SPEEDUP_ABOVE_CEILING, Kind.ABOVE_CEILING)


def left_out(run: Examined) -> Finding:
    """Rule 2: whatever was planned has a record, and all of the host's devices are in use."""
    evidence, plan = run.measured.evidence, run.measured.evidence.plan
    cells = evidence.all_cells
    missing = sum(cell.record is None for cell in cells)
    if missing:
        return failed(f"{of(missing, len(cells), 'planned cell')} have no record, and no reason")
    layout, used = Topology.of(evidence), len({*plan.devices[: max(plan.world_sizes)]})
    if layout.hosts:
        used = min(used, layout.hosts.count(layout.hosts[0]))
    if layout.room is not None and used < layout.room:
        whose = "each host's" if len(set(layout.hosts or ())) > 1 else "the host's"
        text = f"{used} of {whose} {units.count(layout.room, 'device')} {'is' if used == 1 else 'are'} in use"
        return failed(f"{text}, and the run does not say why")
    other = sum(cell.state not in MEASURED for cell in cells)
    host = "each host" if len(set(layout.hosts or ())) > 1 else "the host"
    whole = "" if layout.room is None else f", on all {units.count(layout.room, 'device')} of {host}"
    reasons = "all of them ok" if not other else f"{other} not ok, each with its reason"
    return passed(f"{units.count(len(cells), 'cell')} planned before the first measurement, {reasons}{whole}")


def documented(run: Examined) -> Finding:
    """Rule 9: there is one environment, and all that it takes to set it up again is told."""
    evidence = run.measured.evidence
    environment = evidence.environment or {}
    lacking = [name for name in NEEDED if not _known(environment, name)]
    if lacking:
        return failed(f"environment.json does not tell {units.listed(lacking)}")
    prints = {gang.fingerprint for gang in evidence.gangs.values()}
    if len(prints) > 1:
        return failed(f"Launches were made in {len(prints)} different environments")
    if strange := evidence.strange_hosts:
        return failed(f"Not set up as rank 0's host: {units.listed([labels.plain(host) for host in strange])}")
    git = environment.get("git")
    if isinstance(git, dict) and git.get("changed"):
        return failed("The folder that the run was started in has changes that are in no commit")
    levels = units.listed([units.count(n, *words) for n, words in _factors(run)])
    facts = units.count(sum(1 for _ in units.flat(environment)), "fact")
    return passed(f"Of the factors there are {levels}, beside seed, regime and {facts} about the machine")


def _known(value: object, name: str) -> bool:
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return bool(value)


def _factors(run: Examined) -> Iterator[tuple[int, tuple[str, ...]]]:
    """How many levels each factor has, with the words for them."""
    plan = run.measured.evidence.plan
    yield len(plan.world_sizes), ("count of devices", "counts of devices")
    yield len({comparison.scenario for comparison in plan.comparisons}), ("scenario",)
    yield len(plan.comparisons), ("set of parameters", "sets of parameters")
    yield (
        sum(len({case.variant for case in comparison.cases if not case.probe}) for comparison in plan.comparisons),
        ("variant",),
    )
    yield len(plan.sides), ("environment",)


def parallel(run: Examined) -> Finding:
    """Rule 10: ranks start together, the way is told, and all of a sample is in its time."""
    several = [row for row in run.timed if row.world_size > 1]
    if not several:
        return without("Nothing was timed on several devices")
    plan = run.measured.evidence.plan
    if not plan.regime.get("alignment"):
        return failed("The plan does not tell how starts are aligned")
    doubtful = _doubted(several, MISALIGNED)
    if doubtful:
        text = of(len(doubtful), len(several), "case")
        return failed(f"In {text} ranks start late or a time misses work, {run.example(doubtful)}")
    skew = units.seconds(max(row.skew_s or 0.0 for row in several))
    error_s = max(run.measured.evidence.clock_errors_s.values(), default=0.0)
    clocks = f", by clocks that may be {units.seconds(error_s)} off" if error_s else ""
    text = f"Starts are aligned by a {plan.regime['alignment']} and typically within {skew}{clocks}"
    return passed(f"{text}; a sample takes as long as its slowest rank, and all ranks' marks are kept")


def bounds(run: Examined) -> Finding:
    """Rule 11: every case that claims to scale has bounds, and is within them."""
    scaled = [row for row in run.scaling if row.speedup is not None]
    if not scaled:
        return without("There is no speed-up that could be bounded")
    bare = [row for row in scaled if row.ceiling_speedup is None or row.ideal_speedup is None]
    if bare:
        text = of(len(bare), len(scaled), "speed-up")
        return failed(f"{text} have no ceiling that was measured beside them, {run.example(bare)}")
    beyond = _doubted(scaled, BEYOND)
    if beyond:
        exceed = "exceeds its bound" if len(beyond) == 1 else "exceed their bounds"
        return failed(f"{of(len(beyond), len(scaled), 'speed-up')} {exceed}: {run.example(beyond)}")
    shares = [(row.speedup or 0.0) / (row.reachable or 1.0) for row in scaled]
    least, most = units.percent(min(shares)), units.percent(max(shares))
    reached = least if least == most else f"{least} to {most}"
    text = (
        f"{units.count(len(scaled), 'speed-up')} beside the ideal and what a large product reached in the same launches"
    )
    return passed(f"{text}, of which they reach {reached}")


def _doubted(rows: Sequence[CellRow], kinds: Sequence[Kind]) -> list[CellRow]:
    return [row for row in rows if any(caution.kind in kinds for caution in row.warnings)]


def lines(run: Examined) -> Finding:
    """Rule 12: every launch is shown, and one may read between the points that a line joins."""
    if not run.timed:
        return without("Nothing is plotted")
    worst, inner = 0.0, 0
    for curve in _curves(run):
        points = [(float(curve[0].base_world_size or 1), 1.0), *((row.world_size, row.speedup or 0.0) for row in curve)]
        off, limit = list(_misses(points)), margin(run.measured, curve[0].comparison).beyond
        name = f"The line to {run.name(curve[-1])}"
        if not off and points[-1][0] - points[0][0] > 1:
            return failed(f"{name} passes counts none of which was measured")
        worst, inner = max([worst, *off]), inner + len(off)
        if worst > limit:
            return failed(
                f"{name} is {units.percent(worst)} off where it passes a count (limit {units.percent(limit)})"
            )
    shown = units.count(sum(len(row.launch_s) for row in run.timed), "launch value")
    text = f"{shown} of {units.count(len(run.timed), 'case')} are dots beside their medians"
    passing = f"at most {units.percent(worst)} off where they pass one" if inner else "with none between them"
    return passed(f"{text}, and lines join counts of devices, {passing}")


def _curves(run: Examined) -> list[list[CellRow]]:
    """What the plots of speed-ups join: a variant's cases each."""
    curves: dict[tuple[int, str | None], list[CellRow]] = {}
    for row in sorted(run.scaling, key=lambda row: row.world_size):
        if row.speedup is not None:
            curves.setdefault((row.comparison, row.variant), []).append(row)
    return list(curves.values())


def _misses(points: Sequence[tuple[float, float]]) -> Iterator[float]:
    """How far each inner point is off the line between its neighbours, relative."""
    for before, (at, value), after in zip(points, points[1:], points[2:], strict=False):
        read = float(np.interp(at, [before[0], after[0]], [before[1], after[1]]))
        yield abs(read / value - 1) if value else 0.0


RULES: tuple[tuple[str, Callable[[Examined], Finding]], ...] = (
    ("Say what a speed-up is over, and how long that takes.", base_case),
    ("Give a reason for whatever is left out.", left_out),
    ("Summarise rates by total work over total time.", rates),
    ("Summarise times, not ratios of them.", ratios),
    ("Give intervals for what is not deterministic.", intervals),
    ("Do not take data for normal unchecked.", normality),
    ("Compare by sound statistics.", comparisons),
    ("See whether the median is what matters.", tails),
    ("Document all factors and the whole setting.", documented),
    ("Say how times of several ranks are taken, aligned and summarised.", parallel),
    ("Show upper bounds.", bounds),
    ("Show all that is needed, and join points only where one may read between them.", lines),
)
"""Each in short, and what judges it; in the paper's order."""


def audit_rows(measured: Measured, summary: Summary) -> tuple[AuditRow, ...]:
    """The rules from 1 to 12."""
    run = Examined(measured, summary)
    judged = [(title, judge(run)) for title, judge in RULES]
    return tuple(
        AuditRow(rule=place, title=title, verdict=finding.verdict, evidence=finding.evidence)
        for place, (title, finding) in enumerate(judged, start=1)
    )
