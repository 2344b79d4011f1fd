"""A comparison as its figures and tables need it: its rows, and the marks of its warnings with their remedies."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from reports.figures.axes import Ends, Variants
from reports.schema.cases import CeilingRow, CellRow, ContrastRow, RankRow, RoofRow
from reports.schema.diagnostics import HeatRow, LossRow, TraceRow
from reports.schema.summary import ComparisonFacts, Planned, Summary
from reports.text import labels, units
from reports.text.labels import Labels, by_variant
from reports.wording.columns import Column, Entry, Line, columns, lines
from reports.wording.tally import Tally, marks, telling

MOST_VARIANTS = 12
"""Variants of a comparison that are drawn at most; its table has all."""


@dataclass(frozen=True)
class Drawing:
    """A figure with what it says, above it, and what explains it, below."""

    title: str
    svg: Markup
    sentence: str
    caption: str
    table: str
    """The id of the table that has its numbers."""


@dataclass(frozen=True)
class Section:
    """One comparison on the page."""

    about: ComparisonFacts
    name: str
    cells: tuple[CellRow, ...]
    contrasts: dict[tuple[str | None, int], ContrastRow]
    ceilings: tuple[CeilingRow, ...]
    strip: tuple[tuple[str, tuple[Planned, ...]], ...]
    """Cells of each case, a launch each."""
    traces: tuple[tuple[CellRow, TraceRow], ...]
    """Of each case with a time that may be shown."""
    losses: dict[str, LossRow]
    """By the case's key."""
    heat: tuple[tuple[CellRow, HeatRow], ...]
    """Of the cases on the most devices."""
    lines: tuple[Line, ...]
    """Of its table."""
    columns: tuple[Column, ...]
    """Those of which any line has something."""
    ranks: tuple[RankRow, ...]
    roofs: tuple[RoofRow, ...]
    """Of the whole run."""
    margin: float
    """What the user calls no difference."""

    @property
    def id(self) -> str:
        """Of the section's element, and before its figures' ids."""
        return f"c{self.about.comparison}"

    @cached_property
    def letters(self) -> dict[str, str]:
        """Mark by kind of warning."""
        return {str(kind): letter for kind, letter in marks(self.cells).items()}

    def marks(self, row: CellRow) -> str:
        """The marks of one case's warnings, e.g. ``ab``."""
        return "".join(sorted(self.letters[caution.kind] for caution in row.warnings))

    @property
    def notes(self) -> Iterator[tuple[str, str, str, list[str]]]:
        """Each mark with its kind, its remedy, and its facts, each with the cases that it is true of."""
        for kind, letter in marks(self.cells).items():
            facts: dict[str, list[str]] = {}
            for row in self.cells:
                for caution in row.warnings:
                    if caution.kind is kind:
                        facts.setdefault(caution.fact, []).append(short(row))
            lines = [f"{fact} ({_cases(names, len(self.cells))})" for fact, names in facts.items()]
            yield letter, str(kind), kind.remedy, lines

    @property
    def base(self) -> int:
        """The number of devices that its speed-ups are over."""
        return min((row.base_world_size for row in self.cells if row.base_world_size is not None), default=1)

    @property
    def unwell(self) -> int:
        """How many planned cells are not ok."""
        return sum(cell.failed or cell.status == "missing" for _, cells in self.strip for cell in cells)

    @property
    def unchecked(self) -> bool:
        """Whether any cell is of a script, whose results nobody checks."""
        return any(cell.status == "unchecked" for _, cells in self.strip for cell in cells)

    @property
    def skipped(self) -> int:
        """How many of its planned cells are skipped by design."""
        return sum(cell.by_design for _, cells in self.strip for cell in cells)

    @cached_property
    def variants(self) -> Variants:
        """The looks of its variants."""
        return Variants.of(self.cells)

    @property
    def has(self) -> dict[str, bool]:
        """Which columns its table of rates needs."""
        return {
            name: any(getattr(row, name) is not None for row in self.cells) for name in ("efficiency", "rate", "roof")
        }

    @cached_property
    def drawn(self) -> frozenset[str | None]:
        """The variants that are drawn: of too many the baseline, and those that are surely furthest from it."""
        variants = list(dict.fromkeys(row.variant for row in self.cells))
        if len(variants) <= MOST_VARIANTS:
            return frozenset(variants)
        most = max((size for _, size in self.contrasts), default=0)
        against = {variant: row for (variant, size), row in self.contrasts.items() if size == most}
        surest = sorted(against, key=lambda variant: -_distance(against[variant]))
        return frozenset([self.about.baseline, *surest[: MOST_VARIANTS - 1]])

    @cached_property
    def tally(self) -> Tally:
        """What was counted and established, as far as it says something."""
        return telling(self.cells)

    @property
    def launches(self) -> list[int]:
        """Those in which any of its cases has a time."""
        return sorted({launch for row in self.cells for launch in row.launch_s})

    @property
    def figures(self) -> str:
        """The id of its table."""
        return f"{self.id}-figures"

    @cached_property
    def shown(self) -> tuple[CellRow, ...]:
        """The cases whose variants are drawn."""
        return tuple(row for row in self.cells if row.variant in self.drawn)

    def draw(self, figure: tuple[str, str], sentence: str, caption: str, table: str | None = None) -> Drawing | None:
        """A figure, of its title and its SVG; None where there is nothing to be seen."""
        title, svg = figure
        if not svg:
            return None
        return Drawing(title, Markup(svg), sentence, caption, table or self.figures)  # noqa: S704 - our own SVG, its text escaped


def _distance(row: ContrastRow) -> float:
    """How far the nearer end of its interval is from 1, as a logarithm; less than 0 where 1 lies within."""
    if row.ratio_low is None or row.ratio_high is None:
        return -math.inf
    return max(math.log(row.ratio_low), -math.log(row.ratio_high))


def short(row: CellRow) -> str:
    """A case within its own section, e.g. ``how=whole on 2``."""
    return f"{labels.variant(row) or row.scenario} on {row.world_size}"


def _cases(names: list[str], among: int) -> str:
    if len(names) == among:
        return "all cases"
    return units.listed(names) if len(names) <= 6 else units.count(len(names), "case")


def sections(summary: Summary) -> tuple[Section, ...]:
    """One for each comparison of the plan."""
    names = Labels.of(summary.first)
    return tuple(_section(about, summary, names) for about in summary.about)


def _section(about: ComparisonFacts, summary: Summary, names: Labels) -> Section:
    index = about.comparison
    contrasts: dict[tuple[str | None, int], ContrastRow] = {
        (row.variant, row.world_size): row for row in summary.comparisons if row.comparison == index
    }
    by_case: dict[str, list[Planned]] = {}
    for cell in summary.strip:
        if cell.comparison == index:
            by_case.setdefault(cell.case, []).append(cell)
    cells = by_variant([row for row in summary.first if row.comparison == index])
    cases = tuple(lines(summary, cells))
    by_key = {row.key: row for row in cells if row.timed}
    return Section(
        about=about,
        name=names.comparison(about),
        cells=cells,
        contrasts=contrasts,
        ceilings=tuple(row for row in summary.ceilings if row.comparison == index),
        strip=tuple((_without(case, about), tuple(states)) for case, states in by_case.items()),
        traces=tuple(
            (by_key[trace.key], trace) for trace in summary.traces if trace.comparison == index and trace.key in by_key
        ),
        losses={row.key: row for row in summary.losses if row.comparison == index},
        heat=tuple((by_key[row.key], row) for row in summary.heat if row.comparison == index and row.key in by_key),
        lines=cases,
        columns=tuple(
            column for column in columns(summary) if any(entry != Entry() for entry in column.entries(cases))
        ),
        ranks=tuple(row for row in summary.ranks if row.comparison == index),
        roofs=summary.roofs,
        margin=summary.run.margin,
    )


def _without(case: str, about: ComparisonFacts) -> str:
    """A case's key without the parameters that all of its comparison's cases share."""
    for name, value in about.params.items():
        case = case.replace(f"{name}={value},", "").replace(f",{name}={value}]", "]").replace(f"[{name}={value}]", "")
    return case


INTERVALS = "95\N{NO-BREAK SPACE}% intervals"
"""What lines are."""


def on_most(rows: Iterable[CellRow]) -> list[CellRow]:
    """Those on the most devices of any."""
    cells = list(rows)
    most = max((row.world_size for row in cells), default=0)
    return [row for row in cells if row.world_size == most]


def where(rows: Sequence[CellRow]) -> str:
    """E.g. ``On 2 devices``."""
    return f"On {units.count(rows[0].world_size, 'device')}"


def span(rows: Sequence[CellRow], value: Callable[[CellRow], Ends], word: Callable[[float], str]) -> str:
    """The least and the greatest; each with its variant where its interval is apart from every other's."""
    least, most = (end(rows, key=lambda row: value(row)[0] or 0.0) for end in (min, max))
    first, last = (word(value(row)[0] or 0.0) for row in (least, most))
    if first == last:
        return first
    names = [f" (`{labels.plain(row.variant or '')}`)" if _apart(row, rows, value) else "" for row in (least, most)]
    return f"{'from ' if any(names) else ''}{first}{names[0]} to {last}{names[1]}"


def _apart(row: CellRow, rows: Sequence[CellRow], value: Callable[[CellRow], Ends]) -> bool:
    """Whether a row's interval touches none of the others': order alone is no verdict."""
    _, low, high = value(row)
    others = [value(other)[1:] for other in rows if other is not row]
    known = [(least, most) for least, most in others if least is not None and most is not None]
    if low is None or high is None or len(known) < len(others):
        return False
    return all(most < low or high < least for least, most in known)
