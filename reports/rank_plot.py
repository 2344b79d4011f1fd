"""The plot of ranks against their peers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from reports.canvas import HUES, INK, QUIET, RULE, blank, styled, svg
from reports.ladder import margin
from reports.plots import ratio_axis
from reports.rows import RankRow

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
