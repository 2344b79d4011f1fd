"""The plot of a comparison's history: time of a step from run to run, a line a variant, with intervals."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.figures.axes import ends_of, few_ticks, fixed_ticks, tick_seconds
from reports.figures.svg import DASHES, HUES, MARKERS, blank, name_ends, styled, svg
from reports.schema.history import HistorySeries
from reports.text import units
from reports.text.labels import shortened

TICKS = 8
"""Runs that are numbered below it at most."""
ROOM = 0.15
"""Of what an axis spans, left free at either end."""
LONGEST = 14
"""Letters of a variant's name that are shown."""


def history_plot(series: Sequence[HistorySeries], runs: int, name: str) -> str:
    """Of one comparison on one number of devices; runs in their order, evenly spaced."""
    if not series:
        return ""
    with styled():
        figure, axes = blank(190, left=52, right=104)
        for place, line in enumerate(series):
            _line(axes, line, place)
        _axes(axes, series, runs)
        ends = [
            (line.points[-1].seconds, shortened(line.variant or line.scenario, LONGEST), HUES[i % len(HUES)])
            for i, line in enumerate(series)
        ]
        name_ends(axes, ends)
        text = f"Time of a step of {units.count(len(series), 'variant')} through {units.count(runs, 'run')}"
        return svg(figure, name, text)


def _line(axes: Axes, series: HistorySeries, place: int) -> None:
    """Joined where runs follow one another; a run without a time is a gap."""
    colour, marker, dash = (looks[place % len(looks)] for looks in (HUES, MARKERS, DASHES))
    for before, after in zip(series.points, series.points[1:], strict=False):
        if after.run == before.run + 1:
            ends = [before.run + 1, after.run + 1]
            axes.plot(ends, [before.seconds, after.seconds], color=colour, linestyle=dash, linewidth=1.2, zorder=2)
    for point in series.points:
        axes.plot(point.run + 1, point.seconds, color=colour, marker=marker, markersize=5, linewidth=0, zorder=4)
        if point.low_s is not None and point.high_s is not None:
            axes.plot([point.run + 1] * 2, [point.low_s, point.high_s], color=colour, linewidth=1.6, zorder=3)


def _axes(axes: Axes, series: Sequence[HistorySeries], runs: int) -> None:
    ends = ends_of((point.seconds, point.low_s, point.high_s) for line in series for point in line.points)
    low, high = min(ends), max(ends)
    room = ROOM * (high - low) or ROOM * high
    axes.set_xlim(0.7, runs + 0.3)
    axes.set_ylim(max(low - room, 0), high + room)
    fixed_ticks(axes.xaxis, range(1, runs + 1, -(-runs // TICKS)))
    few_ticks(axes.yaxis, tick_seconds)
    axes.set_xlabel("runs, the oldest first", loc="left")
