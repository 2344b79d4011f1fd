"""The forest: many ratios against 1 in one plot, the surest first, each beside the margin that it has to leave."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from reports.figures.axes import Ladder, ends_of, interval_bar, margin, ratio_axis, tick_change
from reports.figures.svg import HUES, INK, QUIET, WASH, blank, styled, svg
from reports.schema.cases import ContrastRow, SideRow, Verdict
from reports.schema.summary import Summary
from reports.statistics.verdicts import band, band_in_words
from reports.text import labels, units
from reports.text.labels import Labels
from reports.wording.sentences import WORDS

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
    shown = sorted(branches, key=lambda branch: (-abs(branch.sure), -abs(math.log(branch.ratio))))[:MOST]
    return sorted_forest(shown)


def forest_plot(branches: Sequence[Branch], across: str, name: str) -> str:
    """One row a ratio with its interval and its own margin as a band; ``across`` says below what it is a ratio of."""
    if not branches:
        return ""
    shown = surest(branches)
    names = [labels.shortened(branch.name, LONGEST) for branch in shown]
    ladder = Ladder(tuple(map(float, range(len(shown)))), (), len(shown))
    with styled():
        figure, axes = blank(ladder.height + 4, left=margin(names), right=118)
        axes.axvline(1, color=QUIET, linewidth=0.8, zorder=1)
        for place, branch in enumerate(shown):
            _row(axes, place, branch)
        verdicts = [f"{units.change(branch.ratio)} {WORDS[branch.verdict]}" for branch in shown]
        ladder.label(axes, names, verdicts, rules=False)
        ends = ends_of(
            ends
            for shown_branch in shown
            for ends in ((shown_branch.ratio, shown_branch.low, shown_branch.high), (shown_branch.control, None, None))
        )
        ratio_axis(axes, ends, max(branch.margin for branch in shown), across, tick_change)
        return svg(figure, name, f"{across.capitalize()}: {units.count(len(shown), 'ratio')} with their intervals")


def _row(axes: Axes, place: int, branch: Branch) -> None:
    least, most = band(branch.margin)
    axes.add_patch(Rectangle((least, place - 0.5), most - least, 1, color=WASH, linewidth=0, zorder=0))
    colour, marker, full = LOOKS[branch.verdict]
    interval_bar(axes, place, (None, branch.low, branch.high), colour)
    if branch.control is not None:
        axes.plot([branch.control] * 2, [place - 0.3, place + 0.3], color=QUIET, linewidth=0.9, zorder=2)
    look: dict[str, Any] = {"marker": marker, "markersize": 6, "markerfacecolor": colour if full else "none"}
    axes.plot(branch.ratio, place, color=colour, linewidth=0, zorder=4, **look)


FEWEST = 2
"""A single ratio needs no plot, and a single comparison no other one than its own."""


@dataclass(frozen=True)
class Forest:
    """One forest with what is said of it."""

    id: str
    title: str
    across: str
    branches: tuple[Branch, ...]
    among: int
    """How many ratios were asked for; those that are not comparable have no branch."""
    table: str
    """The id of the table that has its numbers."""
    control: str | None = None
    """The side that is the first once more, where there is one."""

    @cached_property
    def svg(self) -> Markup:
        """The plot."""
        return Markup(forest_plot(self.branches, self.across, self.id))  # noqa: S704 - our own SVG, its text escaped

    @property
    def sentence(self) -> str:
        """How many of each verdict there are."""
        counted = Counter(branch.verdict for branch in self.branches)
        counted["not comparable"] = self.among - len(self.branches)
        kinds: list[Verdict] = [kind for kind in WORDS if counted[kind]]
        verdicts = units.listed([f"{counted[kind]} {WORDS[kind]}" for kind in kinds])
        return f"Of {units.count(self.among, 'ratio')} {verdicts}."

    @property
    def left_out(self) -> int:
        """How many are in the table alone."""
        return max(len(self.branches) - MOST, 0)

    @property
    def margins(self) -> str:
        """The narrowest and the widest band, in words."""
        ends = sorted({branch.margin for branch in self.branches})
        return ", or up to ".join(dict.fromkeys(band_in_words(end) for end in (ends[0], ends[-1])))


def variant_forest(summary: Summary) -> Forest | None:
    """Variants against baselines on the most devices of each comparison; None for one comparison, which has its own."""
    names = Labels.of(summary.first)
    most = {about.comparison: 0 for about in summary.about}
    for row in summary.comparisons:
        most[row.comparison] = max(most[row.comparison], row.world_size)
    rows = [row for row in summary.comparisons if row.world_size == most[row.comparison]]
    sizes = sorted(set(most.values()) - {0})
    branches = tuple(_branch(row, names, summary) for row in rows if row.ratio and row.verdict != "not comparable")
    if len(branches) < FEWEST or len(summary.about) < FEWEST:
        return None
    devices = units.count(sizes[-1], "device") if len(sizes) == 1 else "the most devices of each"
    return Forest(
        "verdicts",
        f"Variants against their baselines on {devices}",
        "change of time from the baseline",
        branches,
        len(rows),
        f"c{rows[0].comparison}-figures",
    )


def _branch(row: ContrastRow, names: Labels, summary: Summary) -> Branch:
    """Named by its variant, and by whatever else tells it from the others."""
    scenario, _, params = names.comparison(row).partition(" ")
    several = len({about.scenario for about in summary.about}) > 1
    name = labels.plain(" ".join(part for part in (scenario if several else "", row.variant, params) if part))
    return Branch(name, row.ratio or 1.0, row.ratio_low, row.ratio_high, row.verdict, row.margin)


def side_forests(summary: Summary) -> tuple[Forest, ...]:
    """Each other side that is no control against the first, over all cases."""
    controls = [row for row in summary.sides if row.control]
    against = {(row.comparison, row.key): row.ratio for row in controls}
    names = case_names(summary)
    forests = []
    for place, side in enumerate(dict.fromkeys(row.side for row in summary.sides if not row.control)):
        rows = [row for row in summary.sides if row.side == side]
        branches = tuple(
            _case(row, names[row.comparison, row.key], against.get((row.comparison, row.key)))
            for row in rows
            if row.ratio and row.verdict != "not comparable"
        )
        if len(branches) >= FEWEST:
            title, across = f"{side} against {rows[0].reference}", f"change of time from {rows[0].reference}"
            control = controls[0].side if controls else None
            forests.append(
                Forest(
                    f"side{place}",
                    labels.plain(title),
                    labels.plain(across),
                    branches,
                    len(rows),
                    "sides-table",
                    control,
                )
            )
    return tuple(forests)


def case_names(summary: Summary) -> dict[tuple[int, str], str]:
    """What tells a run's cases apart: variant, number of devices, parameters that vary, and the scenario if it does."""
    names = Labels.of(summary.first)
    several = len({row.scenario for row in summary.first}) > 1
    sizes = len({row.world_size for row in summary.first}) > 1
    short_names = {}
    for row in summary.first:
        scenario, _, params = names.comparison(row).partition(" ")
        parts: Sequence[str | None] = (scenario if several or row.variant is None else "", row.variant, params)
        where = f" @{row.world_size}" if sizes else ""
        short_names[row.comparison, row.key] = labels.plain(" ".join(part for part in parts if part)) + where
    return short_names


def _case(row: SideRow, name: str, control: float | None) -> Branch:
    return Branch(name, row.ratio or 1.0, row.ratio_low, row.ratio_high, row.verdict, row.margin, control)
