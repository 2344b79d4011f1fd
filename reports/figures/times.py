"""Plots of times: they draw the medians and the intervals that they are given, and estimate nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports.figures.axes import Ladder, Variants, by_size, margin, scatter
from reports.figures.svg import INK, QUIET, WASH, blank, styled, svg
from reports.schema.cases import CellRow, ContrastRow
from reports.statistics.verdicts import band
from reports.text import units
from reports.wording.captions import variant_of
from reports.wording.sentences import WORDS


def time_plot(rows: Sequence[CellRow], name: str) -> str:
    """Time of one step: a dot for each launch, the median as a stroke, its interval as a line, the ideal dashed."""
    shown = sorted((row for row in rows if row.timed), key=by_size)
    if not shown:
        return ""
    variants, ladder = Variants.of(rows), Ladder.of([row.world_size for row in shown])
    names = [variant_of(row) for row in shown]
    dots = pd.DataFrame(
        [
            {"seconds": value, "place": place, "variant": variant_of(row)}
            for row, place in zip(shown, ladder.places, strict=True)
            for value in row.launch_s.values()
        ]
    )
    with styled():
        figure, (axes,) = blank(ladder.height, left=margin(names), right=62)
        scatter(axes, dots, "seconds", variants, s=26, alpha=0.55)
        for row, place in zip(shown, ladder.places, strict=True):
            interval_bar(axes, place, (row.median_s, row.ci_low_s, row.ci_high_s), variants.palette[variant_of(row)])
            if row.ideal_s is not None:
                axes.plot([row.ideal_s] * 2, [place - 0.42, place + 0.42], color=QUIET, linewidth=1, dashes=(1.5, 1.5))
        ladder.label(axes, names, [units.seconds(row.median_s) for row in shown])
        ideals = [row.ideal_s for row in shown if row.ideal_s is not None]
        _seconds_axis(axes, pd.concat([dots["seconds"], pd.Series(ideals, dtype=float)]), "time of one step")
        return svg(figure, name, f"Time of one step by variant and number of devices, {len(shown)} cases")


def interval_bar(axes: Axes, place: float, ends: tuple[float | None, float | None, float | None], colour: str) -> None:
    """A median as an upright stroke, and its interval, where there is one, as a line."""
    middle, low, high = ends
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    if middle is not None:
        axes.plot([middle, middle], [place - 0.32, place + 0.32], color=INK, linewidth=1.6, zorder=4)


def _seconds_axis(axes: Axes, seconds: pd.Series[float], label: str) -> None:
    """Few ticks with units; a wide range is logarithmic, and a narrow one spans at least a tenth of its value."""
    low, high = float(seconds.min()), float(seconds.max())
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high < 100 * low else (1.0,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        room = max((high - low) * 0.08, 0.05 * high)
        axes.set_xlim(max(low - room, 0), high + room)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))
    axes.set_xlabel(label, loc="left")


def tick_seconds(value: float) -> str:
    """A time below an axis: without zeros that say nothing."""
    return "0" if value == 0 else units.seconds(value).replace(".00", "").replace(".0", "")


def contrast_plot(rows: Sequence[ContrastRow], variants: Variants, name: str) -> str:
    """Time over the baseline's with its interval, beside the band beyond which a difference begins."""
    shown = sorted((row for row in rows if row.ratio is not None), key=by_size)
    if not shown:
        return ""
    ladder, names = Ladder.of([row.world_size for row in shown]), [variant_of(row) for row in shown]
    points = pd.DataFrame({"ratio": [row.ratio for row in shown], "place": ladder.places, "variant": names})
    with styled():
        figure, (axes,) = blank(ladder.height, left=margin(names), right=118)
        delta = shown[0].margin
        axes.axvspan(*band(delta), color=WASH, linewidth=0, zorder=0)
        axes.axvline(1, color=QUIET, linewidth=0.8)
        for row, place in zip(shown, ladder.places, strict=True):
            interval_bar(axes, place, (None, row.ratio_low, row.ratio_high), variants.palette[variant_of(row)])
        scatter(axes, points, "ratio", variants, s=42, zorder=4)
        ladder.label(axes, names, [f"{units.change(row.ratio)} {WORDS[row.verdict]}" for row in shown])
        ends = [end for row in shown for end in (row.ratio, row.ratio_low, row.ratio_high) if end is not None]
        ratio_axis(axes, ends, delta, f"change of time from {shown[0].baseline}", tick_change)
        return svg(figure, name, f"Time over the baseline {shown[0].baseline}, {len(shown)} cases")


def tick_times(value: float) -> str:
    """A ratio below an axis."""
    return f"{value:g}{units.TIMES}"


def tick_change(ratio: float) -> str:
    """A ratio of times below an axis, as a signed change of time."""
    percent = round(100 * (ratio - 1), 6)
    return f"{percent:+g}{units.THIN}%".replace("-", units.MINUS) if percent else f"0{units.THIN}%"


def ratio_axis(
    axes: Axes, ends: Sequence[float], margin: float, label: str, word: Callable[[float], str] = tick_times
) -> None:
    """An axis of ratios that holds all ``ends``, 1, and a good part of the margin; wide ones are logarithmic."""
    least, most = band(min(1.5 * margin, 1.5))
    low, high = min([least, *ends]), max([most, *ends])
    room = 0.06 * (high - low)
    if max(ends) > 4 * min(ends):
        axes.set_xscale("log")
        axes.set_xlim(max(low, 0.01) / 1.2, high * 1.2)
        near = max(ends) < 100 * min(ends)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(low - room, high + room)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: word(value)))
    axes.set_xlabel(label, loc="left")
