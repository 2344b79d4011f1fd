"""The page's chapter: for each exercise its sentence in pieces, and the figure that shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from reports.figures.axes import Variants
from reports.figures.crossing import Curve, crossing_plot, speedup_dots
from reports.figures.times import time_plot
from reports.schema.cases import CellRow
from reports.schema.summary import ComparisonFacts, Crossing, ExerciseRow, Quote, Summary
from reports.text import labels, units
from reports.text.labels import variant_of
from reports.wording.answers import FIGURES
from reports.wording.tally import COUNTS, Tally, tally

TIMES = ("time", "versus")


@dataclass(frozen=True)
class Shown:
    """A plot beside an answer."""

    title: str
    svg: Markup

    @property
    def speedup(self) -> bool:
        """Whether it is one of speed-ups."""
        return self.title.startswith("Speed-up")


@dataclass(frozen=True)
class Solution:
    """One exercise on the page."""

    row: ExerciseRow
    id: str
    about: tuple[ComparisonFacts, ...]
    """Of the whole run, by index."""
    cells: tuple[CellRow, ...]
    """Those of its comparisons."""

    @property
    def links(self) -> list[tuple[str, int]]:
        """Its comparisons: what each is called, and its index."""
        return list(zip(labels.told_apart(self.row.labels), self.row.comparisons, strict=True))

    @property
    def chosen(self) -> str:
        """Of comparisons along swept axes, those that the figures come from; empty where there is no choice."""
        labels = dict(zip(self.row.comparisons, self.row.labels, strict=True))
        plain = [quote for quote in self.row.quotes if quote.comparison is not None and quote.figure != "crossover"]
        swept = [
            comparison for comparison in dict.fromkeys(quote.comparison for quote in plain) if comparison is not None
        ]
        several = [comparison for comparison in swept if len(self._siblings(comparison)) > 1]
        return units.listed([f"`{labels[comparison]}`" for comparison in several])

    def _siblings(self, comparison: int) -> list[int]:
        scenario = self.about[comparison].scenario
        return [index for index in self.row.comparisons if self.about[index].scenario == scenario]

    @cached_property
    def figures(self) -> tuple[Shown, ...]:
        """Where curves cross; else the times or the speed-ups that the sentence quotes, a plot a comparison."""
        figures = [
            *self._crossings(),
            *(shown for comparison, quotes in self._quoted() for shown in self._plot(comparison, quotes)),
        ]
        return tuple(Shown(title, Markup(svg)) for title, svg in figures if svg)  # noqa: S704 - our own SVG, its text escaped

    def _quoted(self) -> Iterator[tuple[int, list[Quote]]]:
        """Its quotes by comparison; those of crossings have a plot of their own."""
        crossed = {comparison for crossing in self.row.crossings for comparison in crossing.comparisons}
        by_comparison: dict[int, list[Quote]] = {}
        for quote in self.row.quotes:
            if quote.comparison is not None and quote.comparison not in crossed:
                by_comparison.setdefault(quote.comparison, []).append(quote)
        yield from by_comparison.items()

    def _plot(self, comparison: int, quotes: Sequence[Quote]) -> Iterator[tuple[str, str]]:
        """Speed-ups where the sentence quotes more of them than of times."""
        names = [quote.figure for quote in quotes]
        rows = [row for row in self.cells if row.comparison == comparison]
        sizes = sorted({row.world_size for row in rows})
        name = f"{self.id}p{comparison}"
        quoted = sum(measure in TIMES for measure in names), names.count("speedup")
        if quoted[1] > quoted[0] and len(sizes) > 1:
            most = [row for row in rows if row.world_size == sizes[-1]]
            yield f"Speed-up on {units.count(sizes[-1], 'device')}", speedup_dots(most, Variants.of(rows), name)
        elif any(quoted):
            both = quoted[1] or any(quote.most for quote in quotes)
            yield (
                "Time of one step",
                time_plot([row for row in rows if row.world_size in (sizes if both else sizes[:1])], name),
            )

    def _crossings(self) -> Iterator[tuple[str, str]]:
        """One plot for all that lie along the same axis on as many devices."""
        together: dict[tuple[object, ...], list[Crossing]] = {}
        for crossing in self.row.crossings:
            variant = crossing.variant if len(crossing.world_sizes) > 1 else None
            together.setdefault((crossing.comparisons, crossing.axis, crossing.world_sizes, variant), []).append(
                crossing
            )
        for place, crossings in enumerate(together.values()):
            first = crossings[0]
            brackets = [(crossing.after, crossing.before) for crossing in crossings]
            curves = list(self._curves(crossings))
            where = "" if len(first.world_sizes) > 1 else f" on {units.count(first.world_sizes[0], 'device')}"
            svg = crossing_plot(curves, brackets, labels.plain(first.axis), f"{self.id}x{place}")
            yield f"Time of one step over {labels.plain(first.axis)}{where}", svg

    def _curves(self, crossings: Sequence[Crossing]) -> Iterator[Curve]:
        first = crossings[0]
        if len(first.world_sizes) > 1:
            for place, size in enumerate(first.world_sizes):
                yield self._curve(first, first.variant, size, (units.count(size, "device"), place))
            return
        for variant in dict.fromkeys([first.baseline, *(crossing.variant for crossing in crossings)]):
            rows = [row for row in self.cells if row.comparison == first.comparisons[0]]
            names = Variants.of(rows).names
            name = next(variant_of(row) for row in rows if row.variant == variant)
            yield self._curve(first, variant, first.world_sizes[0], (name, names.index(name)))

    def _curve(self, crossing: Crossing, variant: str | None, size: int, look: tuple[str, int]) -> Curve:
        cells = {row.comparison: row for row in self.cells if row.variant == variant and row.world_size == size}
        known = [(comparison, cells[comparison]) for comparison in crossing.comparisons if comparison in cells]
        usable = [(comparison, row) for comparison, row in known if row.timed]
        values = tuple(float(self.about[comparison].params[crossing.axis]) for comparison, _ in usable)
        return Curve(look[0], values, tuple(row for _, row in usable), look[1])

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """A table for each comparison of which the sentence quotes something counted, if its cases differ in it."""
        tallies = (self._tally(comparison, quotes) for comparison, quotes in self._counted())
        return tuple(tally for tally in tallies if tally.differs)

    def _counted(self) -> Iterator[tuple[int, list[Quote]]]:
        by_comparison: dict[int, list[Quote]] = {}
        for quote in self.row.quotes:
            if quote.comparison is not None and (quote.figure in COUNTS or quote.figure not in FIGURES):
                by_comparison.setdefault(quote.comparison, []).append(quote)
        yield from by_comparison.items()

    def _tally(self, comparison: int, quotes: Sequence[Quote]) -> Tally:
        rows = [row for row in self.cells if row.comparison == comparison]
        sizes = sorted({row.world_size for row in rows})
        named = {sizes[-1] if quote.most or quote.figure == "traffic" else sizes[0] for quote in quotes}
        return tally([row for row in rows if row.world_size in named], [quote.figure for quote in quotes])


def solutions(summary: Summary) -> tuple[Solution, ...]:
    """Every exercise of a run."""
    return tuple(
        Solution(
            row=row,
            id=f"x{place}",
            about=summary.about,
            cells=tuple(cell for cell in summary.first if cell.comparison in row.comparisons),
        )
        for place, row in enumerate(summary.chapter)
    )
