"""Times of a comparison's cases, and how far each variant is off the baseline; nothing is estimated here."""

from collections.abc import Sequence

from reports.figures.axes import (
    Ladder,
    Variants,
    by_size,
    ends_of,
    interval_bar,
    margin,
    ratio_axis,
    seconds_axis,
    tick_change,
)
from reports.figures.section import INTERVALS, Drawing, Section, on_most, span, where
from reports.figures.svg import QUIET, WASH, blank, styled, svg
from reports.schema.cases import CellRow, Verdict
from reports.statistics.verdicts import band, band_in_words
from reports.text import labels, units
from reports.text.labels import variant_of
from reports.wording.sentences import WORDS

FEW = 4
"""Names that are listed; more are counted."""


def times(section: Section) -> Drawing | None:
    """Time of one step: what it takes on the most devices; who is fastest is a verdict's to say."""
    sure = f", the line its {INTERVALS.removesuffix('s')}" if any(row.ci_low_s for row in section.cells) else ""
    shared = (
        "shared out as the declared work divides"
        if section.about.scaling == "strong"
        else "as the declared work divides"
    )
    ideal = f" Dashed: the ideal, the base’s time, {shared}." if any(row.ideal_s for row in section.cells) else ""
    return section.draw(
        ("Time of one step", time_plot(section.shown, f"{section.id}t")),
        _time_sentence(section),
        f"Dots are launches, the stroke is their median{sure}.{ideal} The axis need not start at zero.",
    )


def _time_sentence(section: Section) -> str:
    shown = on_most(row for row in section.cells if row.timed)
    if not shown:
        return ""
    ideal = [row for row in shown if row.ideal_s is not None]
    rest = f"; ideally, {span(ideal, lambda row: (row.ideal_s, None, None), units.seconds)}" if ideal else ""
    seconds = span(shown, lambda row: (row.median_s, row.ci_low_s, row.ci_high_s), units.seconds)
    return f"{where(shown)} a step takes {seconds}{rest}."


def time_plot(rows: Sequence[CellRow], name: str) -> str:
    """A dot for each launch, the median as a stroke, its interval as a line, the ideal dashed."""
    shown = sorted((row for row in rows if row.timed), key=by_size)
    if not shown:
        return ""
    variants, ladder = Variants.of(rows), Ladder.of([row.world_size for row in shown])
    names = [variant_of(row) for row in shown]
    with styled():
        figure, axes = blank(ladder.height, left=margin(names), right=62)
        for row, place in zip(shown, ladder.places, strict=True):
            axes.scatter(
                list(row.launch_s.values()), [place] * len(row.launch_s), s=26, alpha=0.55, **variants.look(row)
            )
            interval_bar(axes, place, (row.median_s, row.ci_low_s, row.ci_high_s), variants.palette[variant_of(row)])
            if row.ideal_s is not None:
                axes.plot([row.ideal_s] * 2, [place - 0.42, place + 0.42], color=QUIET, linewidth=1, dashes=(1.5, 1.5))
        ladder.label(axes, names, [units.seconds(row.median_s) for row in shown])
        seconds = [value for row in shown for value in row.launch_s.values()]
        seconds_axis(axes, [*seconds, *(row.ideal_s for row in shown if row.ideal_s is not None)], "time of one step")
        return svg(figure, name, f"Time of one step by variant and number of devices, {len(shown)} cases")


def contrasts(section: Section) -> Drawing | None:
    """Each variant's time over the baseline's, beside the band beyond which a difference begins."""
    about = section.about
    if about.margin > section.margin:
        band_is = f"A difference begins beyond the band, {band_in_words(about.margin)}, which is noise"
        band_is += f"; there is none only within {band_in_words(section.margin)}."
    else:
        band_is = f"Inside the band, {band_in_words(about.margin)}, a difference counts as none."
    sure = f" Lines are {INTERVALS} of the launches’ own ratios." if any(row.ci_low_s for row in section.cells) else ""
    return section.draw(
        (f"Against {about.variant_field}={about.baseline}", _contrast_plot(section)),
        _contrast_sentence(section),
        f"Left of 0 a variant takes less time. {band_is}{sure}",
    )


def _contrast_sentence(section: Section) -> str:
    """The verdicts on the most devices."""
    most = max((size for _, size in section.contrasts), default=0)
    rows = [row for row in section.contrasts.values() if row.world_size == most]
    by_verdict: dict[Verdict, list[str]] = {}
    for row in rows:
        by_verdict.setdefault(row.verdict, []).append(f"`{labels.plain(row.variant)}`")
    within = f"{WORDS['equivalent']} within {units.percent(section.margin)}"
    verdicts = [
        f"{_listed(by_verdict[kind])} {(WORDS | {'equivalent': within})[kind]}" for kind in WORDS if kind in by_verdict
    ]
    return f"On {units.count(most, 'device')}: {'; '.join(verdicts)}."


def _listed(names: list[str]) -> str:
    return units.listed(names) if len(names) <= FEW else units.count(len(names), "variant")


def _contrast_plot(section: Section) -> str:
    rows = (row for row in section.contrasts.values() if row.ratio is not None and row.variant in section.drawn)
    shown = sorted(rows, key=by_size)
    if not shown:
        return ""
    variants, ladder = Variants.of(section.shown), Ladder.of([row.world_size for row in shown])
    names = [variant_of(row) for row in shown]
    with styled():
        figure, axes = blank(ladder.height, left=margin(names), right=118)
        axes.axvspan(*band(shown[0].margin), color=WASH, linewidth=0, zorder=0)
        axes.axvline(1, color=QUIET, linewidth=0.8)
        for row, place in zip(shown, ladder.places, strict=True):
            interval_bar(axes, place, (None, row.ratio_low, row.ratio_high), variants.palette[variant_of(row)])
            axes.scatter(row.ratio or 0.0, place, s=42, zorder=4, **variants.look(row))
        ladder.label(axes, names, [f"{units.change(row.ratio)} {WORDS[row.verdict]}" for row in shown])
        ends = ends_of((row.ratio, row.ratio_low, row.ratio_high) for row in shown)
        ratio_axis(axes, ends, shown[0].margin, f"change of time from {shown[0].baseline}", tick_change)
        return svg(figure, f"{section.id}b", f"Time over the baseline {shown[0].baseline}, {len(shown)} cases")
