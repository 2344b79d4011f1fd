"""Verdicts: where the interval of a ratio lies against a margin."""

from dataclasses import dataclass
from typing import Protocol

from reports.schema.cases import Verdict
from reports.statistics.estimates import Estimate
from reports.text import units


@dataclass(frozen=True)
class Margin:
    """What a ratio must be off 1, as a fraction, to count as a difference.

    A fraction m stands for the range from 1 / (1 + m) to 1 + m: A against B and B against A then have the same verdict.
    """

    asked: float
    """What the user calls no difference: nothing that was measured widens it."""
    noise: float = 0.0
    """What tells a case from itself here."""

    @property
    def beyond(self) -> float:
        """A difference begins where both end."""
        return max(self.asked, self.noise)

    @property
    def band(self) -> tuple[float, float]:
        """The range of ratios that count as no difference beyond margin and noise."""
        return band(self.beyond)

    def __str__(self) -> str:
        """E.g. ``margin 5 %``, or where a difference begins at the noise, ``margin 5 %, noise 12 %``."""
        noise = f", noise {units.percent(self.noise)}" if self.noise > self.asked else ""
        return f"margin {units.percent(self.asked)}{noise}"


def band(fraction: float) -> tuple[float, float]:
    """The ratios that differ from 1 by a fraction, either way: symmetric in the logarithm."""
    return 1 / (1 + fraction), 1 + fraction


def band_in_words(fraction: float) -> str:
    """E.g. ``−4.8 % to +5 %``: the same band as changes of time."""
    return " to ".join(units.deviation(end - 1) for end in band(fraction))


class Judged(Protocol):
    """A row with a verdict and its margin."""

    verdict: Verdict
    margin: float
    margin_asked: float


def verdict(ratio: Estimate, margin: Margin) -> Verdict:
    """Where the interval of a ratio lies against a margin around 1; fewer than six launches have none."""
    return placed(ratio.low, ratio.high, margin)


def placed(low: float | None, high: float | None, margin: Margin) -> Verdict:
    """Where an interval lies: wholly beyond the margin and the noise, wholly within the margin, or neither.

    None is no interval.
    """
    if low is None or high is None:
        return "undecided"
    faster, slower = margin.band
    least, most = band(margin.asked)
    if high < faster:
        return "faster"
    if low > slower:
        return "slower"
    return "equivalent" if least <= low and high <= most else "undecided"


def drowned(low: float | None, high: float | None, margin: Margin) -> str | None:
    """Why a difference beyond the margin is none: it is not beyond the noise, and no narrower interval can help."""
    apart = placed(low, high, Margin(margin.asked)) in ("faster", "slower")
    within = apart and placed(low, high, margin) == "undecided"
    return f"not beyond noise of {units.percent(margin.noise)}" if within else None


def limit(row: Judged) -> float:
    """The fraction that a row was judged by."""
    return row.margin_asked if row.verdict == "equivalent" else row.margin


def limit_in_words(row: Judged) -> str:
    """E.g. ``margin 5 %``; beside it the noise where that is larger, but of no difference, which it does not touch."""
    return str(Margin(row.margin_asked, limit(row)))


def limit_in_brief(row: Judged) -> str:
    """E.g. ``5 %`` or ``noise 12 %``."""
    return f"{'noise ' if limit(row) > row.margin_asked else ''}{units.percent(limit(row))}"
