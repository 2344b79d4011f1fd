"""The forest: many ratios against 1 in one plot, the surest first, each beside the margin that it has to leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from reports import units
from reports.canvas import HUES, INK, QUIET, WASH, WIDTH, blank, styled, svg
from reports.ladder import LINE, margin
from reports.plots import ratio_axis, tick_change
from reports.rows import Verdict
from reports.sentences import WORDS
from reports.verdicts import band

MOST = 24
"""Ratios that are drawn at most."""
LONGEST = 23
"""Letters of a name that are shown."""
LOOKS: dict[Verdict, tuple[str, str, bool]] = {
    "faster": (HUES[2], "<", True),
    "slower": (HUES[1], ">", True),
    "equivalent": (INK, "o", True),
    "undecided": (QUIET, "o", False),
    "not comparable": (QUIET, "o", False),
}
"""Colour and marker of a verdict, and whether the marker is filled: told by its shape too, and in words beside it."""


@dataclass(frozen=True)
class Branch:
    """One ratio of a forest."""

    name: str
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict
    margin: float
    control: float | None = None
    """What the reference is over itself in the same case, where that was measured."""

    @property
    def sure(self) -> float:
        """How far its interval is away from 1, as a logarithm: negative where it is faster, 0 where 1 lies within."""
        if self.low is not None and self.low > 1:
            return math.log(self.low)
        return math.log(self.high) if self.high is not None and self.high < 1 else 0.0


def sorted_forest(branches: Sequence[Branch]) -> list[Branch]:
    """From the surely fastest to the surely slowest."""
    return sorted(branches, key=lambda branch: (branch.sure, branch.ratio))


def surest(branches: Sequence[Branch]) -> list[Branch]:
    """Sorted, and of too many those that are surely furthest from 1."""
    kept = sorted(branches, key=lambda branch: (-abs(branch.sure), -abs(math.log(branch.ratio))))[:MOST]
    return sorted_forest(kept)


def forest_plot(branches: Sequence[Branch], across: str, name: str) -> str:
    """One row a ratio with its interval and its own margin as a band; ``across`` says below what it is a ratio of."""
    if not branches:
        return ""
    shown = surest(branches)
    names = [_short(branch.name) for branch in shown]
    left = margin(names)
    with styled():
        figure, (axes,) = blank(len(shown) * LINE + 52, left=left, right=118)
        axes.axvline(1, color=QUIET, linewidth=0.8, zorder=1)
        for place, branch in enumerate(shown):
            _row(axes, place, branch)
            _words(axes, place, names[place], branch, left)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_visible(False)
        ends = [end for each in shown for end in (each.ratio, each.low, each.high, each.control) if end is not None]
        ratio_axis(axes, ends, max(branch.margin for branch in shown), across, tick_change)
        return svg(figure, name, f"{across.capitalize()}: {units.count(len(shown), 'ratio')} with their intervals")


def _row(axes: Axes, place: int, branch: Branch) -> None:
    least, most = band(branch.margin)
    axes.add_patch(Rectangle((least, place - 0.5), most - least, 1, color=WASH, linewidth=0, zorder=0))
    colour, marker, full = LOOKS[branch.verdict]
    if branch.low is not None and branch.high is not None:
        axes.plot([branch.low, branch.high], [place] * 2, color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    if branch.control is not None:
        axes.plot([branch.control] * 2, [place - 0.3, place + 0.3], color=QUIET, linewidth=0.9, zorder=2)
    axes.plot(
        branch.ratio,
        place,
        marker=marker,
        markersize=6,
        color=colour,
        markerfacecolor=colour if full else "none",
        linewidth=0,
        zorder=4,
    )


def _words(axes: Axes, place: int, name: str, branch: Branch, left: float) -> None:
    across = axes.get_yaxis_transform()
    start = -left / (axes.get_position().width * WIDTH)
    axes.text(start, place, name, transform=across, va="center", ha="left")
    told = f"{units.change(branch.ratio)} {WORDS[branch.verdict]}"
    axes.text(1.02, place, told, transform=across, va="center", ha="left", fontsize=10.5)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
