"""Small plots beside the chapter's answers: speed-ups on the most devices, and where one curve crosses another."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from reports.figures.axes import (
    Ladder,
    Variants,
    ends_of,
    few_ticks,
    fixed_ticks,
    interval_bar,
    log_ticks,
    margin,
    tick_seconds,
    tick_times,
)
from reports.figures.svg import DASHES, HUES, MARKERS, QUIET, WASH, blank, joined, name_ends, styled, svg
from reports.schema.cases import CellRow
from reports.text import units
from reports.text.labels import variant_of

TICKS = 7
"""Values of a swept axis that are written below it at most."""


def speedup_dots(rows: Sequence[CellRow], variants: Variants, name: str) -> str:
    """The speed-up of each variant on one number of devices, with its interval; dashed the ideal, dotted all busy."""
    shown = [row for row in rows if row.speedup is not None and row.timed]
    if not shown:
        return ""
    ladder, names = Ladder.of([row.world_size for row in shown]), [variant_of(row) for row in shown]
    ideals = sorted({row.ideal_speedup for row in shown if row.ideal_speedup is not None})
    with styled():
        figure, axes = blank(ladder.height, left=margin(names), right=62)
        axes.axvline(1, color=QUIET, linewidth=0.8)
        for ideal in ideals:
            axes.axvline(ideal, color=QUIET, linewidth=0.9, dashes=(4, 3))
        for reach in sorted({row.reachable for row in shown if row.reachable is not None}):
            axes.axvline(reach, color=QUIET, linewidth=1.2, dashes=(1, 1.5))
        for row, place in zip(shown, ladder.places, strict=True):
            interval_bar(axes, place, (None, row.speedup_low, row.speedup_high), variants.palette[variant_of(row)])
            axes.scatter(row.speedup or 0.0, place, s=42, zorder=4, **variants.look(row))
        ladder.label(axes, names, [units.times(row.speedup) for row in shown])
        ends = ends_of((row.speedup, row.speedup_low, row.speedup_high) for row in shown)
        low, high = min(1.0, *ends), max([*ideals, *ends])
        axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        few_ticks(axes.xaxis, tick_times)
        axes.set_xlabel(f"speed-up over {units.count(shown[0].base_world_size or 1, 'device')}", loc="left")
        return svg(figure, name, f"Speed-up on {units.count(shown[0].world_size, 'device')}, {len(shown)} cases")


@dataclass(frozen=True)
class Curve:
    """Times along a swept axis."""

    name: str
    along: tuple[float, ...]
    rows: tuple[CellRow, ...]
    place: int
    """Among the looks: which hue, marker and dash."""


def crossing_plot(
    curves: Sequence[Curve], brackets: Sequence[tuple[float | None, float | None]], axis: str, name: str
) -> str:
    """Time of one step along an axis, a curve a variant with its intervals; brackets are shaded."""
    curves = [curve for curve in curves if curve.rows]
    if not curves:
        return ""
    values = sorted({value for curve in curves for value in curve.along})
    with styled():
        figure, axes = blank(220, left=48, right=100)
        for after, before in brackets:
            if after is not None and before is not None:
                axes.axvspan(after, before, color=WASH, linewidth=0, zorder=0)
                for end in (after, before):
                    axes.axvline(end, color=QUIET, linewidth=0.7, dashes=(1, 2), zorder=1)
        for curve in curves:
            _curve(axes, curve)
        _axes(axes, values, [row.median_s or 0.0 for curve in curves for row in curve.rows], axis)
        name_ends(
            axes, [(curve.rows[-1].median_s or 0.0, curve.name, HUES[curve.place % len(HUES)]) for curve in curves]
        )
        return svg(figure, name, f"Time of one step over {axis}, {len(curves)} curves of {len(values)} values")


def _curve(axes: Axes, curve: Curve) -> None:
    seconds = [row.median_s or 0.0 for row in curve.rows]
    colour = HUES[curve.place % len(HUES)]
    dash, marker = DASHES[curve.place % len(DASHES)], MARKERS[curve.place % len(MARKERS)]
    joined(axes, curve.along, seconds, colour, dash, marker, size=5.1)
    for value, row in zip(curve.along, curve.rows, strict=True):
        if row.ci_low_s is not None and row.ci_high_s is not None:
            axes.plot([value] * 2, [row.ci_low_s, row.ci_high_s], color=colour, linewidth=1.4, zorder=3)


def _axes(axes: Axes, values: Sequence[float], seconds: Sequence[float], axis: str) -> None:
    if values[0] > 0 and values[-1] >= 8 * values[0]:
        axes.set_xscale("log")
    fixed_ticks(axes.xaxis, values[:: -(-len(values) // TICKS)], units.number)
    axes.margins(x=0.05)
    low, high = min(seconds), max(seconds)
    if high > 8 * low > 0:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
        log_ticks(axes.yaxis, (1.0, 3.0) if high < 30 * low else (1.0,), tick_seconds, 6)
    else:
        axes.set_ylim(max(low - 0.15 * high, 0), 1.1 * high)
        few_ticks(axes.yaxis, tick_seconds)
    axes.set_xlabel(axis, loc="left")
