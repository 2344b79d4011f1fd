"""The plot of ranks against their peers."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, NullLocator

from reports.figures.axes import margin
from reports.figures.svg import HUES, INK, QUIET, RULE, WASH, WIDTH, blank, styled, svg
from reports.figures.times import ratio_axis
from reports.schema.cases import RankRow
from reports.schema.diagnostics import HeatRow
from reports.text import units

LOOKS = {"named": (HUES[1], "D"), "copies": (QUIET, "s"), "gang": (HUES[0], "o")}
"""Colour and marker of a rank that is named, of one in a packed copy, and of one in a gang."""


def rank_plot(rows: Sequence[RankRow], name: str) -> str:
    """Each rank's time over its peers', a dot a case; a rank is named where its interval lies beyond its limit."""
    ranks = sorted({row.rank: row.device for row in rows}.items())
    if not ranks:
        return ""
    places = {rank: float(place) for place, (rank, _) in enumerate(ranks)}
    offsets = {key: place for place, key in enumerate(dict.fromkeys((row.comparison, row.key) for row in rows))}
    points = pd.DataFrame(
        {
            "ratio": [row.ratio for row in rows],
            "place": [places[row.rank] + _spread(offsets[row.comparison, row.key], len(offsets)) for row in rows],
            "kind": [("named" if row.named else "copies" if row.packed else "gang") for row in rows],
        }
    )
    names = [f"rank {rank}" for rank, _ in ranks]
    with styled():
        figure, (axes,) = blank(max(len(ranks) * 26.0, 40.0) + 52, left=margin(names), right=62)
        axes.axvline(1, color=RULE, linewidth=0.8)
        limits = {row.limit for row in rows}
        if len(limits) == 1:  # of several limits none holds for all rows
            axes.axvline(limits.pop(), color=QUIET, linewidth=0.8, dashes=(4, 3))
        for row, place in zip(rows, points["place"], strict=True):
            if row.ratio_low is not None and row.ratio_high is not None:
                axes.plot(
                    [row.ratio_low, row.ratio_high], [place] * 2, color=HUES[1] if row.named else RULE, linewidth=1
                )
        for kind, own in points.groupby("kind", sort=True):
            colour, marker = LOOKS[str(kind)]
            axes.scatter(own["ratio"], own["place"], color=colour, marker=marker, s=16, linewidth=0, zorder=3)
        _rank_axes(axes, ranks, rows)
        return svg(figure, name, f"Time of {len(ranks)} ranks over their peers'")


def _spread(place: int, among: int) -> float:
    return 0.0 if among < 2 else 0.5 * (place / (among - 1) - 0.5)


def _rank_axes(axes: Axes, ranks: Sequence[tuple[int, str]], rows: Sequence[RankRow]) -> None:
    axes.set_ylim(len(ranks) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator([float(place) for place in range(len(ranks))]))
    axes.set_yticklabels([f"rank {rank}" for rank, _ in ranks], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, (_, device) in enumerate(ranks):
        axes.text(1.02, place, device, transform=axes.get_yaxis_transform(), va="center", color=QUIET, fontsize=10.5)
    ends = [end for row in rows for end in (row.ratio, row.ratio_low, row.ratio_high, row.limit) if end is not None]
    ratio_axis(axes, ends, max(row.limit for row in rows) - 1, "time, or time outside collectives, over its peers’")


STEPS = (0.02, 0.05, 0.1, 0.2)
"""Excesses from which on a cell is a step darker."""
SHADES = (0.18, 0.4, 0.65, 0.95)
ROW, LEAST_ROW, ROOM = 11.0, 3.0, 240.0
"""Pixels of a rank's row, at most and at least, and of all ranks of a variant, where they do not take less."""
ALL_NAMED = 8
"""Of more ranks only the first and the last are named."""
GAP = 0.6
"""Between launches, in bins."""
LEFT = 34.0


def heat_plot(rows: Sequence[tuple[str, HeatRow]], name: str) -> str:
    """A panel a variant: ranks downwards, samples in bins to the right, launches apart; rows come with their names."""
    if not rows:
        return ""
    ranks = rows[0][1].world_size
    tall = min(ROW, max(LEAST_ROW, ROOM / ranks))
    with styled():
        figure, (axes,) = blank(len(rows) * (ranks * tall + 22) + 36, left=LEFT, right=16, top=2.0)
        depth = ranks + 22 / tall
        for place, (variant, row) in enumerate(rows):
            _panel(axes, place * depth + 20 / tall, row, variant)
        axes.set_ylim(len(rows) * depth, 0)
        axes.set_xlim(0, max(max(_places(row)) for _, row in rows) + 1)
        axes.yaxis.set_major_locator(NullLocator())
        axes.xaxis.set_major_locator(NullLocator())
        axes.set_xlabel("samples in true order, launch by launch", loc="left")
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        return svg(figure, name, f"How far {ranks} ranks are behind their peers, {units.count(len(rows), 'variant')}")


def _places(row: HeatRow) -> list[float]:
    """Where each bin begins: launches are set apart."""
    places, at = [], 0.0
    for _, bins in groupby(row.launches):
        for _ in bins:
            places.append(at)
            at += 1.0
        at += GAP
    return places


def _panel(axes: Axes, top: float, row: HeatRow, variant: str) -> None:
    places, excess = _places(row), np.array(row.excess)
    start = -LEFT / (axes.get_position().width * WIDTH)
    axes.text(start, top - 0.3, variant, transform=axes.get_yaxis_transform(), va="bottom", ha="left", color=INK)
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
