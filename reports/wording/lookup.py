"""The summary's rows, ready to be looked up; and why a figure may not be there."""

from dataclasses import dataclass
from functools import cached_property

from reports.reading.run import FAILED, OUTCOMES
from reports.schema.cases import CellRow, ContrastRow
from reports.schema.summary import ComparisonFacts, Summary
from reports.text import labels, units

ONE_DEVICE = "only 1 device was measured"
"""Why a run on one device has no figure that compares numbers of devices."""


class NoFigureError(Exception):
    """There is no such figure; the message says why, for the answer's place."""


def variants_of(summary: Summary, comparison: int) -> tuple[str | None, ...]:
    """The variants of a comparison, in planned order; None for a scenario without variants."""
    return tuple(dict.fromkeys(variant for index, variant, _ in summary.by_variant if index == comparison))


@dataclass(frozen=True)
class Subject:
    """What a figure is about: a variant of a scenario on the fewest or the most devices."""

    summary: Summary
    comparisons: tuple[int, ...]
    """Those of its scenario for this exercise, in planned order. Figures come from the first."""
    variant: str | None
    most: bool = False

    @property
    def about(self) -> ComparisonFacts:
        """The comparison that figures come from."""
        return self.summary.about[self.comparisons[0]]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of devices, ascending."""
        first = self.comparisons[0]
        return tuple(sorted({size for index, _, size in self.summary.by_variant if index == first}))

    @property
    def size(self) -> int:
        """The number of devices that is meant."""
        return self.sizes[-1 if self.most else 0]

    def row(self, size: int | None = None) -> CellRow:
        """Its case's row. Raises NoFigureError where the case has no figures."""
        return usable(self.summary, self.comparisons[0], self.variant, size or self.size)

    def timed(self, size: int | None = None) -> CellRow:
        """The same, and its time is above the harness's floor."""
        row = self.row(size)
        if row.below_resolution:
            raise NoFigureError(f"{named(row)} is below resolution")
        return row


def usable(summary: Summary, comparison: int, variant: str | None, size: int) -> CellRow:
    """A case's row. Raises NoFigureError where the case is not ok, or was measured in no launch."""
    row = summary.by_variant.get((comparison, variant, size))
    if row is None:
        raise NoFigureError(f"{labels.plain(variant or summary.about[comparison].scenario)}@{size} was not measured")
    if row.median_s is None or row.status in FAILED:
        raise NoFigureError(f"{named(row)} {OUTCOMES.get(row.status, 'was not measured')}")
    return row


def named(row: CellRow) -> str:
    """E.g. ``tied@2``."""
    return f"{labels.plain(row.variant or row.scenario)}@{row.world_size}"


def contrast(summary: Summary, comparison: int, variant: str | None, size: int) -> ContrastRow:
    """A variant against its baseline. Raises NoFigureError where they cannot be compared."""
    about = summary.about[comparison]
    if about.baseline is None or variant is None:
        raise NoFigureError(f"{labels.plain(about.scenario)} has no baseline")
    if variant == about.baseline:
        raise NoFigureError(f"{labels.plain(variant)} is the baseline itself")
    for each in (variant, about.baseline):
        side = usable(summary, comparison, each, size)
        if side.below_resolution:
            raise NoFigureError(f"{named(side)} is below resolution")
    row = summary.contrasts.get((comparison, variant, size))
    if row is None or row.ratio is None or row.verdict == "not comparable":
        why = row.reason if row and row.reason else "they have no launch in common"
        raise NoFigureError(f"{labels.plain(variant)} and {labels.plain(about.baseline)} are not comparable: {why}")
    return row


def most_devices(subject: Subject) -> int:
    """The most devices. Raises NoFigureError where no speed-up can be told of them."""
    most = subject.sizes[-1]
    if len(subject.sizes) == 1:
        raise NoFigureError(ONE_DEVICE if most == 1 else f"only {units.count(most, 'device')} were measured")
    if subject.summary.run.shared_device:
        raise NoFigureError("several ranks shared one device")
    return most
