"""The timeline of a comparison: samples in the order in which they were taken, and where a launch was unwell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from reports.figures.axes import LETTER, Variants
from reports.figures.svg import BAD, INK, MARKERS, QUIET, RULE, WIDTH, blank, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import TraceRow
from reports.text import units
from reports.wording.captions import variant_of

REACHES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How far from 1 a timeline may reach."""
LANE = 42.0
"""Pixels from one launch to the next."""
SWING = 0.38
"""Of a lane, how far its dots reach to either side."""
KEY_LINE = 16.0
"""Pixels that a line of the key takes."""

Entry = tuple[str, str, str]
"""Of the key: a name, its colour and its marker."""


@dataclass(frozen=True)
class Dots:
    """Samples of one look: when they began, how far they are off the median of their case, and their launch's lane."""

    start_s: tuple[float, ...]
    off: tuple[float, ...]
    lane: tuple[int, ...]


def timeline_plot(
    traces: Sequence[tuple[CellRow, TraceRow]], variants: Variants, letters: Mapping[str, str], name: str
) -> str:
    """Samples in true order, a lane a launch: step time over the median of its case in that launch.

    Beside a lane stand the letters of the warnings that its launch gives cause for, and below it ticks where a device
    held its clock back. What disturbs the machine lifts all cases at once.
    """
    if not traces:
        return ""
    lanes = {launch: lane for lane, launch in enumerate(sorted({trace.launch for _, trace in traces}))}
    sizes = sorted({row.world_size for row, _ in traces})
    key = _entries(variants, sizes)
    with styled():
        top = 8.0 + KEY_LINE * len(_lines(key))
        figure, (axes,) = blank(LANE * len(lanes) + 44 + top, left=42, right=62, top=top)
        _key(figure, key)
        looks = _looks(traces, lanes)
        reach = _reach(off for dots in looks.values() for off in dots.off)
        for (variant, size), dots in looks.items():
            heights = [lane - SWING * off / reach for lane, off in zip(dots.lane, dots.off, strict=True)]
            marker = MARKERS[sizes.index(size) % len(MARKERS)]
            axes.scatter(
                dots.start_s,
                heights,
                s=9,
                alpha=0.8,
                linewidths=0,
                color=variants.palette[variant],
                marker=marker,
                zorder=2,
            )
        _ticks(axes, traces, lanes)
        _lane_axes(axes, lanes, reach)
        for launch, lane in lanes.items():
            kinds = {letters[kind] for _, trace in traces if trace.launch == launch for kind in trace.warnings}
            _say(axes, lane, f"launch {launch}", "".join(sorted(kinds)))
        return svg(figure, name, f"Step times in true order, {units.count(len(lanes), 'launch', 'launches')}")


def _looks(traces: Sequence[tuple[CellRow, TraceRow]], lanes: Mapping[int, int]) -> dict[tuple[str, int], Dots]:
    """By variant and number of devices; one call for all launches keeps the drawing small."""
    found: dict[tuple[str, int], list[tuple[float, float, int]]] = {}
    for row, trace in traces:
        typical = row.launch_s[trace.launch]
        dots = found.setdefault((variant_of(row), row.world_size), [])
        dots += [
            (start, seconds / typical - 1, lanes[trace.launch])
            for start, seconds in zip(trace.start_s, trace.seconds, strict=True)
        ]
    return {look: Dots(*zip(*dots, strict=True)) for look, dots in found.items()}


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


def _say(axes: Axes, lane: int, text: str, marks: str) -> None:
    across = axes.get_yaxis_transform()
    axes.text(1.02, lane, text, transform=across, va="center", color=QUIET, fontsize=10.5)
    if marks:
        axes.text(1.02, lane + 0.31, marks, transform=across, va="center", color=BAD, fontsize=10.5, weight="bold")


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
