"""A comparison's figures, each with the sentence that it supports."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from reports.figures import times
from reports.figures.axes import Variants
from reports.figures.ranks import heat_plot
from reports.figures.roofline import roof_plot, roofed
from reports.figures.scaling import efficiency_plot, speedup_plot
from reports.figures.spread import spread_plot
from reports.figures.timeline import timeline_plot
from reports.page.sections import Section
from reports.schema.cases import RankRow
from reports.schema.summary import Summary
from reports.wording import captions as say
from reports.wording.captions import variant_of

MOST_DETAILED = 24
"""Comparisons. Where there are more, what tables have too is not drawn: a figure takes a thirtieth of a second."""


@dataclass(frozen=True)
class Drawing:
    """A figure and what it shows."""

    svg: Markup
    sentence: str

    @property
    def line(self) -> bool:
        """Of a roof: whether it is a roofline, with a slope."""
        return 'aria-label="Roofline' in self.svg


def drawings(section: Section, summary: Summary) -> dict[str, Drawing]:
    """By name, in the page's order; without those that have nothing to show."""
    return {
        name: Drawing(Markup(svg), sentence)  # noqa: S704 - our own SVG, its text escaped
        for name, svg, sentence in _drawn(section, summary)
        if svg
    }


def _drawn(section: Section, summary: Summary) -> Iterator[tuple[str, str, str]]:
    every, own, losses = section.cells, section.id, section.losses
    cells = tuple(row for row in every if row.variant in section.drawn)
    variants, contrasts = Variants.of(cells), tuple(section.contrasts.values())
    shown = tuple(row for row in contrasts if row.variant in section.drawn)
    yield "time", times.time_plot(cells, f"{own}t"), say.time_sentence(every)
    yield "contrast", times.contrast_plot(shown, variants, f"{own}b"), say.contrast_sentence(contrasts)
    yield "speedup", speedup_plot(cells, f"{own}s"), say.speedup_sentence(every)
    efficiency = efficiency_plot(cells, losses, f"{own}e")
    yield "efficiency", efficiency, say.losses_sentence(tuple(losses.values()), section.about)
    many = len(summary.about) > MOST_DETAILED
    traces = tuple((cell, trace) for cell, trace in section.traces if cell.variant in section.drawn)
    if not many or section.letters:
        order = timeline_plot(traces, variants, section.letters, f"{own}o")
        yield "order", order, say.order_sentence(section.traces, section.letters)
    if many:
        return
    yield "roof", roof_plot(cells, section.roofs, f"{own}r"), say.roof_sentence(roofed(every))
    yield "spread", spread_plot(traces, variants, f"{own}d"), say.spread_sentence(section.traces)
    heat = tuple((cell, row) for cell, row in section.heat if cell.variant in section.drawn)
    drawn = heat_plot([(variant_of(cell), row) for cell, row in heat], f"{own}h")
    yield "heat", drawn, say.heat_sentence(section.heat, _ranks(section, summary))


def _ranks(section: Section, summary: Summary) -> Iterator[RankRow]:
    return (row for row in summary.ranks if row.comparison == section.about.comparison)
