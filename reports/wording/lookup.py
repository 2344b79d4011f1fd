"""The summary's rows, ready to be looked up; and why a figure may not be there."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from reports.reading.run import State
from reports.schema.cases import CellRow, ContrastRow
from reports.schema.summary import ComparisonFacts
from reports.text import labels, units
from reports.wording.findings import Findings

OUTCOMES: dict[State, str] = {
    "wrong": "is wrong",
    "died": "died",
    "hang": "hung",
    "oom": "ran out of memory",
    "error": "failed",
    "skipped": "was skipped",
    "missing": "was not measured",
}
"""What became of a case that has no figures."""

ONE_DEVICE = "only 1 device was measured"
"""Why a run on one device has no figure that compares numbers of devices."""


class NoFigureError(Exception):
    """There is no such figure; the message says why, for the answer's place."""


@dataclass(frozen=True)
class Book:
    """The rows of the summary, ready to be looked up."""

    about: tuple[ComparisonFacts, ...]
    cells: dict[tuple[int, str | None, int], CellRow]
    """By comparison, variant and number of devices."""
    contrasts: dict[tuple[int, str | None, int], ContrastRow]
    shared_device: bool
    margin: float
    """What the user calls no difference."""

    @classmethod
    def of(cls, found: Findings, about: Iterable[ComparisonFacts]) -> Self:
        """A book of these rows."""
        return cls(
            tuple(about),
            {(row.comparison, row.variant, row.world_size): row for row in found.cells},
            {(row.comparison, row.variant, row.world_size): row for row in found.comparisons},
            found.run.shared_device,
            found.run.margin,
        )

    def variants(self, comparison: int) -> tuple[str | None, ...]:
        """The variants of a comparison, in planned order; None for a scenario without variants."""
        return tuple(dict.fromkeys(variant for own, variant, _ in self.cells if own == comparison))

    def sizes(self, comparison: int) -> tuple[int, ...]:
        """The numbers of devices of a comparison, ascending."""
        return tuple(sorted({size for own, _, size in self.cells if own == comparison}))


@dataclass(frozen=True)
class Subject:
    """What a figure is about: a variant of a scenario on the fewest or the most devices."""

    book: Book
    comparisons: tuple[int, ...]
    """Those of its scenario for this exercise, in planned order. Figures come from the first."""
    variant: str | None
    most: bool = False

    @property
    def about(self) -> ComparisonFacts:
        """The comparison that figures come from."""
        return self.book.about[self.comparisons[0]]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of devices, ascending."""
        return self.book.sizes(self.comparisons[0])

    @property
    def size(self) -> int:
        """The number of devices that is meant."""
        return self.sizes[-1 if self.most else 0]

    def row(self, size: int | None = None) -> CellRow:
        """Its case's row. Raises NoFigureError where the case has no figures."""
        return usable(self.book, self.comparisons[0], self.variant, size or self.size)

    def timed(self, size: int | None = None) -> CellRow:
        """The same, and its time is above the harness's floor."""
        row = self.row(size)
        if row.below_resolution:
            raise NoFigureError(f"{named(row)} is below resolution")
        return row


def usable(book: Book, comparison: int, variant: str | None, size: int) -> CellRow:
    """A case's row. Raises NoFigureError where the case is not ok, or was measured in no launch."""
    row = book.cells.get((comparison, variant, size))
    if row is None:
        raise NoFigureError(f"{labels.plain(variant or book.about[comparison].scenario)}@{size} was not measured")
    if row.median_s is None or row.status not in ("ok", "skipped", "missing"):
        raise NoFigureError(f"{named(row)} {OUTCOMES.get(row.status, 'was not measured')}")
    return row


def named(row: CellRow) -> str:
    """E.g. ``tied@2``."""
    return f"{labels.plain(row.variant or row.scenario)}@{row.world_size}"


def contrast(book: Book, comparison: int, variant: str | None, size: int) -> ContrastRow:
    """A variant against its baseline. Raises NoFigureError where they cannot be compared."""
    about = book.about[comparison]
    if about.baseline is None or variant is None:
        raise NoFigureError(f"{labels.plain(about.scenario)} has no baseline")
    if variant == about.baseline:
        raise NoFigureError(f"{labels.plain(variant)} is the baseline itself")
    for each in (variant, about.baseline):
        side = usable(book, comparison, each, size)
        if side.below_resolution:
            raise NoFigureError(f"{named(side)} is below resolution")
    row = book.contrasts.get((comparison, variant, size))
    if row is None or row.ratio is None or row.verdict == "not comparable":
        why = row.reason if row and row.reason else "they have no launch in common"
        raise NoFigureError(f"{labels.plain(variant)} and {labels.plain(about.baseline)} are not comparable: {why}")
    return row


def most_devices(subject: Subject) -> int:
    """The most devices. Raises NoFigureError where no speed-up can be told of them."""
    most = subject.sizes[-1]
    if len(subject.sizes) == 1:
        raise NoFigureError(ONE_DEVICE if most == 1 else f"only {units.count(most, 'device')} were measured")
    if subject.book.shared_device:
        raise NoFigureError("several ranks shared one device")
    return most
