"""The plot of distributions: how the samples of each variant are spread, a line a launch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from reports.figures.axes import Variants, few_ticks, margin, tick_times, without_left_axis, write_left
from reports.figures.section import Drawing, Section
from reports.figures.svg import INK, QUIET, RULE, blank, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import LEVELS, TraceRow
from reports.text import labels, units
from reports.text.labels import variant_of

PANEL = 46.0
"""Pixels from one variant to the next."""
RISE = 0.8
"""Of that, how high a distribution is."""
TAILS = (1, 2)
"""So many of the levels at either end may lie outside of the plot, where they are far off."""
NAMED = 3
"""From so many launches on the fastest and the slowest are named."""


def spread(section: Section) -> Drawing | None:
    """The distribution of each variant's samples on the most devices over the variant's time, a line a launch."""
    named = " The quickest and the slowest launch are numbered." if len(section.launches) >= NAMED else ""
    lines = "A line is a launch on the most devices: the share of its samples that took no longer"
    return section.draw(
        ("How samples are spread", _plot(section)),
        _sentence(by_variant(section.traces)),
        f"{lines}, from none below to all above.{named}",
        f"{section.id}-spread",
    )


def by_variant(traces: Sequence[tuple[CellRow, TraceRow]]) -> dict[str, list[tuple[CellRow, TraceRow]]]:
    """Those on the most devices."""
    most = max((row.world_size for row, _ in traces), default=0)
    by_name: dict[str, list[tuple[CellRow, TraceRow]]] = {}
    for row, trace in traces:
        if row.world_size == most:
            by_name.setdefault(variant_of(row), []).append((row, trace))
    return by_name


def _sentence(traces: Mapping[str, Sequence[tuple[CellRow, TraceRow]]]) -> str:
    """How far the middle nine tenths of samples reach in the variant that varies most, and how far its launches do."""
    if not traces:
        return ""
    within = {variant: max(_within(trace) for _, trace in pairs) for variant, pairs in traces.items()}
    worst = max(within, key=lambda variant: within[variant])
    row = traces[worst][0][0]
    values = list(row.launch_s.values())
    between = (max(values) - min(values)) / (row.median_s or 1.0)
    named = f" of `{labels.plain(worst)}`" if len(traces) > 1 else ""
    apart = f"; its {len(values)} launches lie {units.percent(between)} apart" if len(values) > 1 else ""
    return f"Nine tenths of a launch’s samples{named} span up to {units.percent(within[worst])} of its time{apart}."


def _within(trace: TraceRow) -> float:
    low, middle, high = (trace.at(level) for level in (0.05, 0.5, 0.95))
    return (high - low) / middle


def _plot(section: Section) -> str:
    """Lines rise from none of the samples to all of them; the fastest and the slowest launch are darker, and named."""
    variants = Variants.of(section.shown)
    traces = by_variant([pair for pair in section.traces if pair[0].variant in section.drawn])
    shown = [variant for variant in variants.names if variant in traces]
    if not shown:
        return ""
    with styled():
        figure, axes = blank(len(shown) * PANEL + 52, left=margin(shown), right=20)
        limits = _limits([pair for variant in shown for pair in traces[variant]])
        for place, variant in enumerate(shown):
            _panel(axes, place, traces[variant], variants.palette[variant], limits)
        _axes(axes, shown, limits)
        label = f"Distribution of the samples of {units.count(len(shown), 'variant')}, a line a launch"
        return svg(figure, f"{section.id}d", label)


def _limits(traces: Sequence[tuple[CellRow, TraceRow]]) -> tuple[float, float]:
    """What the axis spans: all but the farthest tails."""
    low = min(trace.quantiles[TAILS[0]] / (row.median_s or 1.0) for row, trace in traces)
    high = max(trace.quantiles[-1 - TAILS[1]] / (row.median_s or 1.0) for row, trace in traces)
    room = 0.25 * max(high - low, 0.01)
    return low - room, high + room


def _panel(
    axes: Axes, place: int, traces: Sequence[tuple[CellRow, TraceRow]], colour: str, limits: tuple[float, float]
) -> None:
    axes.axhline(place, color=RULE, linewidth=0.8, zorder=0)
    ordered = sorted(traces, key=lambda pair: pair[0].launch_s[pair[1].launch])
    ends = {ordered[0][1].launch, ordered[-1][1].launch} if len(ordered) >= NAMED else set()
    for row, trace in traces:
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
    without_left_axis(axes)
    for place, variant in enumerate(shown):
        write_left(axes, place - 0.12, variant, margin(shown))
    axes.axvline(1, color=QUIET, linewidth=0.8, zorder=1)
    few_ticks(axes.xaxis, tick_times)
    axes.set_xlabel("time of a sample over the variant’s", loc="left")
