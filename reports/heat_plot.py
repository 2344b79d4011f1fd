"""The plot of ranks over time: a row a rank, darker where it is further behind its peers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import NullLocator

from reports import units
from reports.canvas import INK, QUIET, WASH, WIDTH, blank, styled, svg
from reports.heat_rows import HeatRow

STEPS = (0.02, 0.05, 0.1, 0.2)
"""Excesses from which on a cell is a step darker."""
SHADES = (0.18, 0.4, 0.65, 0.95)
ROW, LEAST_ROW, ROOM = 11.0, 3.0, 240.0
"""Pixels of a rank's row, at most and at least, and of all ranks of an arm, where they do not take less."""
ALL_NAMED = 8
"""Of more ranks only the first and the last are named."""
GAP = 0.6
"""Between launches, in bins."""
LEFT = 34.0


def heat_plot(rows: Sequence[tuple[str, HeatRow]], name: str) -> str:
    """A panel an arm: ranks downwards, samples in bins to the right, launches apart; rows come with their names."""
    if not rows:
        return ""
    ranks = rows[0][1].world_size
    tall = min(ROW, max(LEAST_ROW, ROOM / ranks))
    with styled():
        figure, (axes,) = blank(len(rows) * (ranks * tall + 22) + 36, left=LEFT, right=16, top=2.0)
        depth = ranks + 22 / tall
        for place, (arm, row) in enumerate(rows):
            _panel(axes, place * depth + 20 / tall, row, arm)
        axes.set_ylim(len(rows) * depth, 0)
        axes.set_xlim(0, max(max(_places(row)) for _, row in rows) + 1)
        axes.yaxis.set_major_locator(NullLocator())
        axes.xaxis.set_major_locator(NullLocator())
        axes.set_xlabel("samples in true order, launch by launch", loc="left")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        return svg(figure, name, f"How far {ranks} ranks are behind their peers, {units.count(len(rows), 'arm')}")


def _places(row: HeatRow) -> list[float]:
    """Where each bin begins: launches are set apart."""
    places, at = [], 0.0
    for _, bins in groupby(row.launches):
        for _ in bins:
            places.append(at)
            at += 1.0
        at += GAP
    return places


def _panel(axes: Axes, top: float, row: HeatRow, arm: str) -> None:
    places, excess = _places(row), np.array(row.excess)
    start = -LEFT / (axes.get_position().width * WIDTH)
    axes.text(start, top - 0.3, arm, transform=axes.get_yaxis_transform(), va="bottom", ha="left", color=INK)
    shade = np.digitize(excess, STEPS)
    _cells(axes, [(place, top + rank) for rank in range(row.world_size) for place in places], WASH, 1.0)
    for step, alpha in enumerate(SHADES, start=1):
        _cells(axes, [(places[bin_], top + rank) for rank, bin_ in np.argwhere(shade == step).tolist()], INK, alpha)
    named = range(row.world_size) if row.world_size <= ALL_NAMED else (0, row.world_size - 1)
    for rank in named:
        look: dict[str, Any] = {"color": QUIET, "fontsize": 9, "va": "center", "ha": "right"}
        axes.annotate(str(rank), (0, top + rank + 0.5), (-5, 0), textcoords="offset points", **look)


def _cells(axes: Axes, corners: Sequence[tuple[float, float]], colour: str, alpha: float) -> None:
    """Unit squares, a hair apart between ranks, as one path."""
    if not corners:
        return
    square = np.array([(0.0, 0.06), (1.0, 0.06), (1.0, 0.94), (0.0, 0.94), (0.0, 0.06)])
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    points = np.concatenate([square + corner for corner in corners])
    path = Path(points, np.tile(codes, len(corners)))
    axes.add_patch(PathPatch(path, facecolor=colour, alpha=alpha, linewidth=0, zorder=2))
