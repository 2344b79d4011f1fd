"""The page's parts on why: losses, how steady launches were, and what more devices might do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.figures.projection import projection_plot
from reports.figures.section import Section
from reports.reading.run import CaseId
from reports.schema.cases import CellRow
from reports.schema.diagnostics import HealthRow, LossRow, ProjectionRow
from reports.schema.summary import Summary
from reports.text import units

EFFECTS = ("drift", "warm_up", "first_of_visit", "first_in_round")
"""Of a health row, relative and with a sign; of several launches the greatest is shown."""


@dataclass(frozen=True)
class Steadiness:
    """One case over its launches: the greatest of each effect, None where it is not known."""

    effects: tuple[float | None, ...]
    """As ``EFFECTS`` names them."""
    lag1: float
    foreign_load: float | None
    least_mhz: float | None
    """The slowest device's least clock."""
    held: float | None
    """The share of samples in which a device was held back."""

    @property
    def echo(self) -> str:
        """The autocorrelation in words."""
        return f"{self.lag1:+.2f}".replace("-", "\N{MINUS SIGN}")

    @property
    def clock(self) -> str:
        """What devices tell of their clocks, in words."""
        least = f"{self.least_mhz:.0f}{units.THIN}MHz" if self.least_mhz is not None else units.NONE
        return least if self.held is None else f"{least}, {units.percent(self.held)}"


@dataclass(frozen=True)
class Outlook:
    """One comparison's projection, with its figure."""

    name: str
    rows: tuple[ProjectionRow, ...]
    svg: Markup


@dataclass(frozen=True)
class Why:
    """All three."""

    losses: dict[CaseId, LossRow]
    steadiness: dict[CaseId, Steadiness]
    outlooks: tuple[Outlook, ...]
    refusals: tuple[str, ...]
    """Sentences, one for each reason for which something is not projected."""


def why(summary: Summary, parts: Sequence[Section]) -> Why:
    """From a summary; ``parts`` are the page's sections."""
    launches: dict[CaseId, list[HealthRow]] = {}
    for row in summary.health:
        launches.setdefault((row.comparison, row.key), []).append(row)
    return Why(
        losses={(row.comparison, row.key): row for row in summary.losses},
        steadiness={key: _steadiness(rows) for key, rows in launches.items()},
        outlooks=tuple(_outlooks(summary.projection, parts)),
        refusals=tuple(_refusals(summary.projection)),
    )


def _steadiness(rows: Sequence[HealthRow]) -> Steadiness:
    def greatest(name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return max(values, key=abs, default=None)

    clocks = [row.clock_low_mhz for row in rows if row.clock_low_mhz is not None]
    return Steadiness(
        effects=tuple(greatest(name) for name in EFFECTS),
        lag1=greatest("lag1") or 0.0,
        foreign_load=greatest("foreign_load"),
        least_mhz=min(clocks, default=None),
        held=greatest("throttled"),
    )


def _outlooks(rows: Sequence[ProjectionRow], parts: Sequence[Section]) -> Iterator[Outlook]:
    for part in parts:
        projected = tuple(row for row in rows if row.comparison == part.about.comparison and row.points)
        if projected:
            cells: tuple[CellRow, ...] = part.cells
            drawn = Markup(projection_plot(projected, cells, f"{part.id}p"))  # noqa: S704 - our own SVG, its text escaped
            yield Outlook(part.name, projected, drawn)


def _refusals(rows: Sequence[ProjectionRow]) -> Iterator[str]:
    reasons: dict[str, list[ProjectionRow]] = {}
    for row in rows:
        if row.refusal:
            reasons.setdefault(row.refusal.reason, []).append(row)
    for reason, refused in reasons.items():
        if len(refused) == 1:
            yield refused[0].text
        else:
            which = "" if len(refused) == len(rows) else f" of {units.count(len(refused), 'variant')}"
            yield f"No projection{which}: {reason}."
