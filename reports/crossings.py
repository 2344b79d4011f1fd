"""Crossings: along the one axis that a scenario was swept over, where an arm or a number of devices gets ahead."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan import Value
from reports.book import NoFigureError, Subject, contrast, usable
from reports.chapter_rows import Crossing
from reports.crossover import Bracket, bracket
from reports.estimates import Estimate
from reports.rows import Verdict
from reports.verdicts import Margin, verdict


@dataclass(frozen=True)
class Found:
    """A crossing: its bracket, and its row in the summary."""

    bracket: Bracket
    row: Crossing
    sure: bool
    """Whether it rests on intervals. With too few launches for any, it rests on the ratios alone."""
    margin: Margin
    """The widest by which a verdict along the axis was judged."""


@dataclass(frozen=True)
class _Ratio:
    """A time over another's at one value of the axis."""

    value: float
    estimate: Estimate
    margin: Margin

    @property
    def bare(self) -> Verdict:
        """What the ratio says without its interval."""
        least, most = self.margin.band
        if least <= self.estimate.value <= most:
            return "undecided"
        return "faster" if self.estimate.value < 1 else "slower"


def crossing(subject: Subject) -> Found:
    """Where the subject's arm overtakes its baseline; for the most devices: where they overtake the fewest.

    Values of the axis at which a side has no figures are left out. Raises NoFigureError where there is no crossing.
    """
    axis, line = _line(subject)
    along = {own: _number(subject.book.about[own].params[axis]) for own in line}
    ratios, reasons = [], []
    for comparison, value in along.items():
        try:
            ratios.append(_ratio(subject, comparison, value))
        except NoFigureError as error:
            reasons.append(error)
    if not ratios:
        raise reasons[0]
    sure = any(ratio.estimate.low is not None for ratio in ratios)
    verdicts = [(each.value, verdict(each.estimate, each.margin) if sure else each.bare) for each in ratios]
    found = bracket(verdicts)
    row = Crossing(
        comparisons=tuple(along),
        axis=axis,
        arm=subject.arm,
        baseline=None if subject.most else subject.about.baseline,
        world_sizes=(subject.sizes[0], subject.sizes[-1]) if subject.most else (subject.sizes[0],),
        after=found.after if found.single else None,
        before=found.before if found.single else None,
    )
    return Found(found, row, sure, max((ratio.margin for ratio in ratios), key=lambda margin: margin.beyond))


def _line(subject: Subject) -> tuple[str, tuple[int, ...]]:
    """The axis in which alone other comparisons differ from the first, by numbers; and all of these, in its order."""
    origin, *others = (subject.book.about[own] for own in subject.comparisons)
    along: dict[str, list[int]] = {}
    for other in others:
        differing = [name for name in origin.params if other.params.get(name) != origin.params[name]]
        if len(differing) == 1 and all(_numeric(each.params[differing[0]]) for each in (origin, other)):
            along.setdefault(differing[0], []).append(other.comparison)
    if len(along) != 1:
        swept = f"several axes were swept: {', '.join(along)}" if along else "no axis was swept over several numbers"
        raise NoFigureError(swept)
    ((axis, own),) = along.items()
    line = (origin.comparison, *own)
    return axis, tuple(sorted(line, key=lambda place: _number(subject.book.about[place].params[axis])))


def _numeric(value: Value | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Value) -> float:
    return float(value)


def _ratio(subject: Subject, comparison: int, value: float) -> _Ratio:
    book = subject.book
    margin = Margin(book.margin, book.about[comparison].aa)
    if not subject.most:
        row = contrast(book, comparison, subject.arm, subject.size)
        return _Ratio(value, Estimate(row.ratio or 1.0, row.ratio_low, row.ratio_high, row.launches), margin)
    return _Ratio(value, _devices(subject, comparison), margin)


def _devices(subject: Subject, comparison: int) -> Estimate:
    """Time of one's work on the most devices over its time on the fewest."""
    few, most = subject.sizes[0], subject.sizes[-1]
    base, row = (usable(subject.book, comparison, subject.arm, size) for size in (few, most))
    if base.below_resolution or row.below_resolution:
        raise NoFigureError("the times are below resolution")
    if row.speedup is None or row.base_world_size != few:
        raise NoFigureError("there is no speed-up")
    low, high = (None if end is None else 1 / end for end in (row.speedup_high, row.speedup_low))
    return Estimate(1 / row.speedup, low, high, min(row.launches, base.launches))
