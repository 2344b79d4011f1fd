"""The plot of distributions: how the samples of each variant are spread, a line a launch."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from reports.figures.axes import Variants, margin
from reports.figures.svg import INK, QUIET, RULE, WIDTH, blank, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import LEVELS, TraceRow
from reports.text import units
from reports.wording.captions import variant_of

PANEL = 46.0
"""Pixels from one variant to the next."""
RISE = 0.8
"""Of that, how high a distribution is."""
TAILS = (1, 2)
"""So many of the levels at either end may lie outside of the plot, where they are far off."""
NAMED = 3
"""From so many launches on the fastest and the slowest are named."""


def spread_plot(traces: Sequence[tuple[CellRow, TraceRow]], variants: Variants, name: str) -> str:
    """Of each variant on the most devices the distribution of its samples over the variant's time, a line a launch.

    The lines rise from none of the samples to all of them; the fastest and the slowest launch are darker, and named.
    """
    most = max((row.world_size for row, _ in traces), default=0)
    by_variant: dict[str, list[tuple[CellRow, TraceRow]]] = {}
    for row, trace in traces:
        if row.world_size == most:
            by_variant.setdefault(variant_of(row), []).append((row, trace))
    shown = [variant for variant in variants.names if variant in by_variant]
    if not shown:
        return ""
    with styled():
        figure, (axes,) = blank(len(shown) * PANEL + 52, left=margin(shown), right=20)
        limits = _limits([pair for variant in shown for pair in by_variant[variant]])
        for place, variant in enumerate(shown):
            _panel(axes, place, by_variant[variant], variants.palette[variant], limits)
        _axes(axes, shown, limits)
        told = f"{units.count(len(shown), 'variant')} on {units.count(most, 'device')}"
        return svg(figure, name, f"Distribution of the samples of {told}, a line a launch")


def _limits(traces: Sequence[tuple[CellRow, TraceRow]]) -> tuple[float, float]:
    """What the axis spans: all but the farthest tails."""
    low = min(trace.quantiles[TAILS[0]] / (row.median_s or 1.0) for row, trace in traces)
    high = max(trace.quantiles[-1 - TAILS[1]] / (row.median_s or 1.0) for row, trace in traces)
    room = 0.25 * max(high - low, 0.01)
    return low - room, high + room


def _panel(
    axes: Axes, place: int, own: Sequence[tuple[CellRow, TraceRow]], colour: str, limits: tuple[float, float]
) -> None:
    axes.axhline(place, color=RULE, linewidth=0.8, zorder=0)
    ordered = sorted(own, key=lambda pair: pair[0].launch_s[pair[1].launch])
    ends = {ordered[0][1].launch, ordered[-1][1].launch} if len(ordered) >= NAMED else set()
    for row, trace in own:
        points = [(value / (row.median_s or 1.0), level) for value, level in zip(trace.quantiles, LEVELS, strict=True)]
        inside = [(value, place - RISE * level) for value, level in points if limits[0] <= value <= limits[1]]
        named = trace.launch in ends
        look: dict[str, Any] = {"color": colour, "linewidth": 1.5 if named else 0.9, "alpha": 1.0 if named else 0.45}
        axes.plot(*zip(*inside, strict=True), zorder=3 if named else 2, **look)
    for end, level, side in ((0, 0.3, "right"), (-1, 0.7, "left")) if ends else ():
        row, trace = ordered[end]
        at = trace.quantiles[LEVELS.index(level)] / (row.median_s or 1.0)
        offset = (-4 if side == "right" else 4, 0)
        mark: dict[str, Any] = {"color": INK, "fontsize": 10, "ha": side, "va": "center"}
        axes.annotate(str(trace.launch), (at, place - RISE * level), offset, textcoords="offset points", **mark)


def _axes(axes: Axes, shown: Sequence[str], limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    axes.set_ylim(len(shown) - 0.8, -1.0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_locator(FixedLocator([]))
    start = -margin(shown) / (axes.get_position().width * WIDTH)
    for place, variant in enumerate(shown):
        axes.text(start, place - 0.12, variant, transform=axes.get_yaxis_transform(), ha="left", va="center")
    axes.axvline(1, color=QUIET, linewidth=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{units.TIMES}"))
    axes.set_xlabel("time of a sample over the variant’s", loc="left")
