"""Crossings: along the one axis that a scenario was swept over, where a variant or a number of devices gets ahead."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.journal.plan import Value
from reports.schema.cases import Verdict
from reports.schema.summary import Crossing
from reports.statistics.estimates import Estimate
from reports.statistics.verdicts import Margin, verdict
from reports.text import units
from reports.wording.lookup import NoFigureError, Subject, contrast, most_devices, usable
from reports.wording.sentences import WORDS


@dataclass(frozen=True)
class Bracket:
    """The two measured values between which a slower side becomes the faster one."""

    verdicts: tuple[tuple[float, Verdict], ...]
    """What was found at each value, in ascending order."""
    after: float | None
    """The last value at which it is slower; None where it is so nowhere."""
    before: float | None
    """The first value from which on it is faster everywhere; None where it is not, at the last one."""

    @property
    def single(self) -> bool:
        """Whether all values at which it is faster lie above the bracket's lower end, and the last one is such."""
        faster = self._at("faster")
        return not faster or (self.before is not None and (self.after is None or faster[0] > self.after))

    @property
    def doubtful(self) -> tuple[float, ...]:
        """The values inside the bracket, at which it is not surely slower and not everywhere faster from there on."""
        low = float("-inf") if self.after is None else self.after
        high = float("inf") if self.before is None else self.before
        return tuple(value for value, _ in self.verdicts if low < value < high)

    def __str__(self) -> str:
        """E.g. ``between 64 and 128``."""
        if not self.single:
            return f"at no single place ({self._everywhere()})"
        after, before = (None if end is None else units.number(end) for end in (self.after, self.before))
        if after is None and before is None:
            return f"nowhere from {self._end(0)} to {self._end(-1)} ({self._warning()} there)"
        if before is None:
            return f"not up to {after} ({self._warning()} above)" if self.doubtful else f"not up to {after}"
        if after is None:
            return f"from {before} on ({self._warning()} below)" if self.doubtful else f"from {before} on"
        if self.doubtful:
            return f"somewhere between {after} and {before} ({self._warning()} there)"
        return f"between {after} and {before}"

    def _at(self, verdict: Verdict) -> list[float]:
        return [value for value, found in self.verdicts if found == verdict]

    def _warning(self) -> str:
        found = {verdict for value, verdict in self.verdicts if value in self.doubtful}
        return "no different" if found <= {"equivalent"} else "undecided"

    def _end(self, place: int) -> str:
        return units.number(self.verdicts[place][0])

    def _everywhere(self) -> str:
        kinds = dict.fromkeys(verdict for _, verdict in self.verdicts)
        told = ((WORDS[kind], [units.number(value) for value in self._at(kind)]) for kind in kinds)
        return "; ".join(f"{word} at {units.listed(values)}" for word, values in told)


def bracket(verdicts: Sequence[tuple[float, Verdict]]) -> Bracket:
    """The bracket in verdicts on different values of an axis."""
    ordered = tuple(sorted(verdicts))
    slower = [value for value, found in ordered if found == "slower"]
    before = None
    for value, found in reversed(ordered):
        if found != "faster":
            break
        before = value
    return Bracket(ordered, slower[-1] if slower else None, before)


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
    """Where the subject's variant overtakes its baseline; for the most devices: where they overtake the fewest.

    Values of the axis at which a side has no figures are left out. Raises NoFigureError where there is no crossing.
    """
    axis, line = _line(subject)
    along = {own: _number(subject.summary.about[own].params[axis]) for own in line}
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
        variant=subject.variant,
        baseline=None if subject.most else subject.about.baseline,
        world_sizes=(subject.sizes[0], subject.sizes[-1]) if subject.most else (subject.sizes[0],),
        after=found.after if found.single else None,
        before=found.before if found.single else None,
    )
    return Found(found, row, sure, max((ratio.margin for ratio in ratios), key=lambda margin: margin.beyond))


def _line(subject: Subject) -> tuple[str, tuple[int, ...]]:
    """The axis in which alone other comparisons differ from the first, by numbers; and all of these, in its order."""
    origin, *others = (subject.summary.about[own] for own in subject.comparisons)
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
    return axis, tuple(sorted(line, key=lambda place: _number(subject.summary.about[place].params[axis])))


def _numeric(value: Value | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Value) -> float:
    return float(value)


def _ratio(subject: Subject, comparison: int, value: float) -> _Ratio:
    summary = subject.summary
    margin = Margin(summary.run.margin, summary.about[comparison].aa)
    if not subject.most:
        row = contrast(summary, comparison, subject.variant, subject.size)
        return _Ratio(value, Estimate(row.ratio or 1.0, row.ratio_low, row.ratio_high, row.launches), margin)
    return _Ratio(value, _devices(subject, comparison), margin)


def _devices(subject: Subject, comparison: int) -> Estimate:
    """Time of one's work on the most devices over its time on the fewest."""
    few, most = subject.sizes[0], most_devices(subject)
    base, row = (usable(subject.summary, comparison, subject.variant, size) for size in (few, most))
    if base.below_resolution or row.below_resolution:
        raise NoFigureError("the times are below resolution")
    if row.speedup is None or row.base_world_size != few:
        raise NoFigureError("there is no speed-up")
    low, high = (None if end is None else 1 / end for end in (row.speedup_high, row.speedup_low))
    return Estimate(1 / row.speedup, low, high, min(row.launches, base.launches))
