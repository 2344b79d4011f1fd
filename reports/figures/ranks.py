"""Ranks against their peers: each over all of its samples, and how far it lags over time."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from reports.figures.axes import ends_of, margin, ratio_axis, without_left_axis, write_left, write_right
from reports.figures.section import Drawing, Section
from reports.figures.svg import HUES, INK, QUIET, RULE, WASH, blank, styled, svg
from reports.schema.cases import RankRow
from reports.schema.diagnostics import HeatRow
from reports.text import labels, units
from reports.text.labels import variant_of
from reports.wording.ranks import in_short

LOOKS = {"named": (HUES[1], "D"), "copies": (QUIET, "s"), "gang": (HUES[0], "o")}
"""Colour and marker of a rank that is named, of one in a packed copy, and of one in a gang."""


def rank_plot(rows: Sequence[RankRow], name: str) -> str:
    """Each rank's time over its peers', a dot a case; a rank is named where its interval lies beyond its limit."""
    ranks = sorted({row.rank: row.device for row in rows}.items())
    if not ranks:
        return ""
    places = {rank: float(place) for place, (rank, _) in enumerate(ranks)}
    cases = list(dict.fromkeys((row.comparison, row.key) for row in rows))
    with styled():
        figure, axes = blank(max(len(ranks) * 26.0, 40.0) + 52, left=margin([f"rank {ranks[-1][0]}"]), right=62)
        axes.axvline(1, color=RULE, linewidth=0.8)
        limits = {round(row.limit, 2) for row in rows}
        if len(limits) == 1:  # of several limits none holds for all rows
            axes.axvline(limits.pop(), color=QUIET, linewidth=0.8, dashes=(4, 3))
        for row in rows:
            place = places[row.rank] + _spread(cases.index((row.comparison, row.key)), len(cases))
            if row.ratio_low is not None and row.ratio_high is not None:
                colour = HUES[1] if row.named else RULE
                axes.plot([row.ratio_low, row.ratio_high], [place] * 2, color=colour, linewidth=1)
            colour, marker = LOOKS["named" if row.named else "copies" if row.packed else "gang"]
            axes.scatter(row.ratio, place, color=colour, marker=marker, s=16, linewidth=0, zorder=3)
        _rank_axes(axes, ranks, rows)
        return svg(figure, name, f"Time of {len(ranks)} ranks over their peers'")


def _spread(place: int, among: int) -> float:
    return 0.0 if among < 2 else 0.5 * (place / (among - 1) - 0.5)


def _rank_axes(axes: Axes, ranks: Sequence[tuple[int, str]], rows: Sequence[RankRow]) -> None:
    axes.set_ylim(len(ranks) - 0.4, -0.6)
    without_left_axis(axes)
    for place, (rank, device) in enumerate(ranks):
        axes.annotate(
            f"rank {rank}", (0, place), (-6, 0), axes.get_yaxis_transform(), "offset points", ha="right", va="center"
        )
        write_right(axes, place, device)
    ends = ends_of((row.ratio, row.ratio_low, row.ratio_high) for row in rows) + [row.limit for row in rows]
    ratio_axis(axes, ends, max(row.limit for row in rows) - 1, "time, or time outside collectives, over its peers’")


STEPS = (0.02, 0.05, 0.1, 0.2)
"""Excesses from which on a cell is a step darker."""
SHADES = (0.18, 0.4, 0.65, 0.95)
ROW, LEAST_ROW, ROOM = 11.0, 1.2, 240.0
"""Pixels of a rank's row, at most and at least, and of all ranks of a variant, where they do not take less."""
ALL_NAMED = 8
"""Of more ranks only the first and the last are named."""
LABEL = 11.0
"""Pixels that a label takes in height."""
GAP = 0.6
"""Between launches, in bins."""
LEFT, LONGEST = 34.0, 16
"""Pixels left of the plot where ranks are numbered, and letters of a host's name where hosts are named."""


def lags(section: Section) -> Drawing | None:
    """How far each rank is behind its peers, a row a rank and a column some neighbouring samples."""
    if not section.heat:
        return None
    work = ", in its own work outside collectives" if section.heat[0][1].basis == "work" else ""
    steps = ", ".join(map(units.percent, STEPS))
    return section.draw(
        ("Ranks over time", _heat_plot(section)),
        _sentence(section),
        f"A row is a rank, a column some neighbouring samples. Darker by a step: {steps} behind the median of the "
        f"other ranks{work}.{' Lines part hosts.' if section.heat[0][1].hosts else ''}",
        f"{section.id}-heat",
    )


def _sentence(section: Section) -> str:
    """What is known of slow ranks in the cases that are shown; then the worst of it."""
    keys = {row.key for _, row in section.heat}
    ranks = [row for row in section.ranks if row.key in keys]
    if not ranks:
        return ""
    worst, rank, variant = max(
        (max(values), rank, variant_of(cell)) for cell, row in section.heat for rank, values in enumerate(row.excess)
    )
    which = f" (`{labels.plain(variant)}`)" if len(section.heat) > 1 else ""
    furthest = f"furthest behind its peers at any time was rank {rank}{which}, by {units.percent(worst)}"
    return f"{in_short(ranks)}; {furthest}."


def _heat_plot(section: Section) -> str:
    """A panel a variant: ranks downwards, samples in bins to the right, launches apart."""
    rows = [(variant_of(cell), row) for cell, row in section.heat if cell.variant in section.drawn]
    if not rows:
        return ""
    ranks = rows[0][1].world_size
    tall = min(ROW, max(LEAST_ROW, ROOM / ranks))
    with styled():
        left = max(LEFT, margin([_brief(host) for host in rows[0][1].hosts] or [""]))
        figure, axes = blank(len(rows) * (ranks * tall + 22) + 36, left=left, right=16, top=2.0)
        depth = ranks + 22 / tall
        for place, (variant, row) in enumerate(rows):
            top = place * depth + 20 / tall
            _panel(axes, top, row)
            write_left(axes, top - 0.3, variant, left, va="bottom")
            for at, label in _labels(row, tall):
                axes.annotate(label, (0, top + at), (-5, 0), textcoords="offset points", **NAMED)
            for start in _starts(row)[1:]:
                axes.axhline(top + start, color=QUIET, linewidth=0.5, zorder=3)
        axes.set_ylim(len(rows) * depth, 0)
        axes.set_xlim(0, max(max(_places(row)) for _, row in rows) + 1)
        without_left_axis(axes)
        axes.xaxis.set_major_locator(NullLocator())
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel("samples in true order, launch by launch", loc="left")
        label = f"How far {ranks} ranks are behind their peers, {units.count(len(rows), 'variant')}"
        return svg(figure, f"{section.id}h", label)


def _places(row: HeatRow) -> list[float]:
    """Where each bin begins: launches are set apart."""
    places, at = [], 0.0
    for _, bins in groupby(row.launches):
        for _ in bins:
            places.append(at)
            at += 1.0
        at += GAP
    return places


NAMED: dict[str, Any] = {"color": QUIET, "fontsize": 9, "va": "center", "ha": "right"}


def _starts(row: HeatRow) -> list[int]:
    """The first rank of each host, where there are several."""
    return [rank for rank, host in enumerate(row.hosts) if rank == 0 or host != row.hosts[rank - 1]]


def _labels(row: HeatRow, tall: float) -> list[tuple[float, str]]:
    """Where what is written left of the rows, each of which is so many pixels tall: hosts, or else ranks."""
    starts = _starts(row)
    if not starts:
        ranks = range(row.world_size) if row.world_size <= ALL_NAMED else (0, row.world_size - 1)
        return [(rank + 0.5, str(rank)) for rank in ranks]
    middles = [(start + end) / 2 for start, end in zip(starts, [*starts[1:], row.world_size], strict=True)]
    every = -(-LABEL // (tall * row.world_size / len(starts)))
    shown = range(0, len(starts), max(1, int(every)))
    return [(middles[place], _brief(row.hosts[starts[place]])) for place in shown]


def _brief(host: str) -> str:
    """A host's name, of a long one its end, which tells it from others."""
    told = labels.plain(host)
    return told if len(told) <= LONGEST else f"…{told[1 - LONGEST :]}"


def _panel(axes: Axes, top: float, row: HeatRow) -> None:
    places, excess = _places(row), np.array(row.excess)
    shade = np.digitize(excess, STEPS)
    _cells(axes, [(place, top + rank) for rank in range(row.world_size) for place in places], WASH, 1.0)
    for step, alpha in enumerate(SHADES, start=1):
        _cells(axes, [(places[bin_], top + rank) for rank, bin_ in np.argwhere(shade == step).tolist()], INK, alpha)


def _cells(axes: Axes, corners: Sequence[tuple[float, float]], colour: str, alpha: float) -> None:
    """Unit squares, a hair apart between ranks."""
    squares = [Rectangle((left, top + 0.06), 1, 0.88) for left, top in corners]
    axes.add_collection(PatchCollection(squares, facecolor=colour, alpha=alpha, linewidth=0, zorder=2))
