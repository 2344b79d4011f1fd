"""The timeline of a comparison: every sample in the order in which it was taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from reports import units
from reports.canvas import INK, MARKERS, QUIET, RULE, WIDTH, blank, styled, svg
from reports.ladder import LETTER, Arms

REACHES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How far from 1 a timeline may reach."""
KEY_LINE = 16.0
"""Pixels that a line of the key takes."""

Entry = tuple[str, str, str]
"""Of the key: a name, its colour and its marker."""


def timeline_plot(samples: pd.DataFrame, arms: Arms, sizes: Sequence[int], name: str) -> str:
    """Samples in true order, a panel a launch: step time over the median of its case in that launch.

    ``samples`` has launch, start_s, relative, arm and world_size. What disturbs the machine lifts all cases at once.
    """
    launches = sorted({int(launch) for launch in samples["launch"]})
    marks_of = _entries(arms, sizes)
    marks = {size: MARKERS[place % len(MARKERS)] for place, size in enumerate(sizes)}
    with styled():
        top = 8.0 + KEY_LINE * len(_lines(marks_of))
        figure, panels = blank(46.0 * len(launches) + 44 + top, left=42, right=62, top=top, panels=len(launches))
        _key(figure, marks_of)
        for launch, axes in zip(launches, panels, strict=True):
            own = samples[samples["launch"] == launch]
            axes.axhline(1, color=RULE, linewidth=0.8, zorder=0)
            for (arm, size), points in own.groupby(["arm", "world_size"], sort=False):
                look: dict[str, Any] = {"color": arms.palette[str(arm)], "marker": marks[int(str(size))], "ax": axes}
                sns.scatterplot(points, x="start_s", y="relative", s=9, alpha=0.8, linewidth=0, **look)
            axes.set_xlabel("")
            axes.text(1.02, 0.5, f"launch {launch}", transform=axes.transAxes, va="center", color=QUIET, fontsize=10.5)
            axes.set_ylabel("")
        _relative_axis(panels, samples["relative"])
        return svg(figure, name, f"Step times in true order, {len(launches)} launches")


def _relative_axis(panels: Sequence[Axes], relative: pd.Series[float]) -> None:
    most = max(float(relative.max()) - 1, 1 - float(relative.min()))
    reach = next((step for step in REACHES if most <= step), most)
    for axes in panels:
        axes.set_ylim(max(1 - 1.05 * reach, -0.05), 1 + 1.05 * reach)
        axes.yaxis.set_major_locator(FixedLocator([1, 1 + reach]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}{units.TIMES}"))
        axes.set_xlabel("")
        if axes is not panels[-1]:
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="x", length=0)
    panels[-1].set_xlabel("seconds since the launch's origin", loc="left")


def _entries(arms: Arms, sizes: Sequence[int]) -> list[Entry]:
    """What hues and shapes mean; nothing where there is only one of them."""
    hues = [(name, arms.palette[name], "o") for name in arms.names] if len(arms.names) > 1 else []
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
