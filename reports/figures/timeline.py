"""The timeline of a comparison: samples in the order in which they were taken, and where a launch was unwell."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from harness.journal.measurement_warnings import Kind
from reports.figures.axes import LETTER, Variants, write_right
from reports.figures.section import Drawing, Section
from reports.figures.svg import BAD, INK, MARKERS, QUIET, RULE, WIDTH, blank, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import TraceRow
from reports.text import units
from reports.text.labels import variant_of

REACHES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How far from 1 a timeline may reach."""
LANE = 42.0
"""Pixels from one launch to the next."""
SWING = 0.38
"""Of a lane, how far its dots reach to either side."""
KEY_LINE = 16.0
"""Pixels that a line of the key takes."""

FEW = 4
"""Launches that are listed; more are counted."""
Entry = tuple[str, str, str]
"""Of the key: a name, its colour and its marker."""


def order(section: Section) -> Drawing | None:
    """Every sample over the median of its case in that launch, in true order, a lane a launch."""
    among = sum(row.samples for row in section.cells)
    shown = sum(len(trace.seconds) for _, trace in section.traces)
    thinned = f", thinned evenly to {shown} of {among}" if shown < among else ""
    held = any(trace.held_back for _, trace in section.traces)
    ticks = ", ticks where a device held its clock back" if held else ""
    lifts = "What disturbs the machine lifts all cases at once."
    return section.draw(
        ("In true order", _plot(section)),
        _sentence(section),
        f"Every sample over the median of its case in that launch{thinned}. {lifts} "
        f"Letters are the warnings that a launch gives cause for{ticks}.",
        f"{section.id}-launches",
    )


def _sentence(section: Section) -> str:
    """Which launches give cause for a warning, and for which."""
    launches = len({trace.launch for _, trace in section.traces})
    by_kind: dict[Kind, set[int]] = {}
    for _, trace in section.traces:
        for kind in trace.warnings:
            by_kind.setdefault(kind, set()).add(trace.launch)
    if not by_kind:
        return f"All {launches} launches were steady." if launches > 1 else "The launch was steady."
    causes = [
        f"{kind.replace('-', ' ')} ({section.letters[kind]}) in {_launches(causing, launches)}"
        for kind, causing in by_kind.items()
    ]
    return f"{units.listed(causes)}.".capitalize()


def _launches(launches: Collection[int], among: int) -> str:
    if len(launches) == among:
        return "every launch"
    if len(launches) > FEW:
        return f"{len(launches)} of {among} launches"
    listed = units.listed([str(launch) for launch in sorted(launches)])
    return f"{'launch' if len(launches) == 1 else 'launches'} {listed}"


def _plot(section: Section) -> str:
    """Beside a lane are its launch's warnings, and below it ticks where a device held its clock back."""
    traces = [pair for pair in section.traces if pair[0].variant in section.drawn]
    if not traces:
        return ""
    variants, sizes = Variants.of(section.shown), sorted({row.world_size for row, _ in traces})
    lanes = {launch: lane for lane, launch in enumerate(sorted({trace.launch for _, trace in traces}))}
    key = _entries(variants, sizes)
    reach = _reach(seconds / row.launch_s[trace.launch] - 1 for row, trace in traces for seconds in trace.seconds)
    with styled():
        top = 8.0 + KEY_LINE * len(_lines(key))
        figure, axes = blank(LANE * len(lanes) + 44 + top, left=42, right=62, top=top)
        _key(figure, key)
        for row, trace in traces:
            lane, typical_s = lanes[trace.launch], row.launch_s[trace.launch]
            heights = [lane - SWING * (seconds / typical_s - 1) / reach for seconds in trace.seconds]
            marker = MARKERS[sizes.index(row.world_size) % len(MARKERS)]
            look: dict[str, Any] = {"color": variants.palette[variant_of(row)], "marker": marker, "linewidths": 0}
            axes.scatter(trace.start_s, heights, s=9, alpha=0.8, zorder=2, **look)
        _ticks(axes, traces, lanes)
        _lane_axes(axes, lanes, reach)
        for launch, lane in lanes.items():
            kinds = {section.letters[kind] for _, trace in traces if trace.launch == launch for kind in trace.warnings}
            write_right(axes, lane, f"launch {launch}")
            if kinds:
                write_right(axes, lane + 0.31, "".join(sorted(kinds)), color=BAD, weight="bold")
        label = f"Step times in true order, {units.count(len(lanes), 'launch')}"
        return svg(figure, f"{section.id}o", label)


def _reach(off: Iterable[float]) -> float:
    most = float(np.abs(list(off)).max())
    return next((step for step in REACHES if most <= step), most)


def _ticks(axes: Axes, traces: Sequence[tuple[CellRow, TraceRow]], lanes: Mapping[int, int]) -> None:
    """Below each lane, where a device held its clock back."""
    held = [(trace.start_s[place], lanes[trace.launch]) for _, trace in traces for place in trace.held_back]
    if held:
        places, at = zip(*held, strict=True)
        axes.vlines(places, [lane + 0.4 for lane in at], [lane + 0.48 for lane in at], color=BAD, linewidth=0.8)


def _lane_axes(axes: Axes, lanes: Mapping[int, int], reach: float) -> None:
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.yaxis.set_major_locator(FixedLocator([place for lane in lanes.values() for place in (lane, lane - SWING)]))
    labels = {0: "1", 1: f"{1 + reach:.3g}"}
    axes.yaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{labels[place % 1 > 0]}{units.TIMES}"))
    for lane in lanes.values():
        axes.axhline(lane, color=RULE, linewidth=0.8, zorder=0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds since the launch’s origin", loc="left")


def _entries(variants: Variants, sizes: Sequence[int]) -> list[Entry]:
    """What hues and shapes mean; nothing where there is only one of them."""
    hues = [(name, variants.palette[name], "o") for name in variants.names] if len(variants.names) > 1 else []
    shapes = [(units.count(size, "device"), INK, MARKERS[place % len(MARKERS)]) for place, size in enumerate(sizes)]
    return [*hues, *(shapes if len(sizes) > 1 else [])]


def _lines(entries: Sequence[Entry]) -> list[list[tuple[float, Entry]]]:
    """The key's entries with their left ends in pixels, line by line."""
    lines: list[list[tuple[float, Entry]]] = []
    at = WIDTH
    for entry in entries:
        wide = 26 + LETTER * len(entry[0])
        if at + wide > WIDTH:
            lines.append([])
            at = 2.0
        lines[-1].append((at, entry))
        at += wide
    return lines


def _key(figure: Figure, entries: Sequence[Entry]) -> None:
    height = figure.get_figheight() * 72
    for place, line in enumerate(_lines(entries)):
        y = 1 - (KEY_LINE * place + 7) / height
        for at, (name, colour, marker) in line:
            figure.add_artist(Line2D([(at + 4) / WIDTH], [y], color=colour, marker=marker, markersize=5, linewidth=0))
            figure.text((at + 12) / WIDTH, y, name, color=QUIET, fontsize=10.5, va="center")
