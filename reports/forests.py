"""The page's forests: arms against their baselines, and a run's sides against its first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from reports import labels, units
from reports.document import Summary
from reports.forest_plot import MOST, Branch, forest_plot
from reports.labels import Labels
from reports.rows import ContrastRow, SideRow, Verdict
from reports.sentences import WORDS

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
        told = units.listed([f"{counted[kind]} {WORDS[kind]}" for kind in kinds])
        return f"Of {units.count(self.among, 'ratio')} {told}."

    @property
    def left_out(self) -> int:
        """How many are in the table alone."""
        return max(len(self.branches) - MOST, 0)

    @property
    def margins(self) -> str:
        """The margins, in words."""
        ends = sorted({branch.margin for branch in self.branches})
        return " to ".join(dict.fromkeys(units.percent(end) for end in (ends[0], ends[-1])))


def arm_forest(summary: Summary) -> Forest | None:
    """Arms against baselines on the most devices of each comparison; None of one comparison, which has its own plot."""
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
        f"Arms against their baselines on {devices}",
        "change of time from the baseline",
        branches,
        len(rows),
        f"c{rows[0].comparison}-figures",
    )


def _branch(row: ContrastRow, names: Labels, summary: Summary) -> Branch:
    """Named by its arm, and by whatever else tells it from the others."""
    scenario, _, params = names.comparison(row).partition(" ")
    several = len({about.scenario for about in summary.about}) > 1
    told = labels.plain(" ".join(part for part in (scenario if several else "", row.arm, params) if part))
    return Branch(told, row.ratio or 1.0, row.ratio_low, row.ratio_high, row.verdict, row.margin)


def side_forests(summary: Summary) -> tuple[Forest, ...]:
    """Each other side that is no control against the first, over all cases."""
    controls = [row for row in summary.sides if row.control]
    against = {(row.comparison, row.key): row.ratio for row in controls}
    names = case_names(summary)
    made = []
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
            made.append(
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
    return tuple(made)


def case_names(summary: Summary) -> dict[tuple[int, str], str]:
    """What tells a run's cases apart: arm, number of devices, parameters that vary, and the scenario if it does."""
    names = Labels.of(summary.first)
    several = len({row.scenario for row in summary.first}) > 1
    sizes = len({row.world_size for row in summary.first}) > 1
    found = {}
    for row in summary.first:
        scenario, _, params = names.comparison(row).partition(" ")
        parts: Sequence[str | None] = (scenario if several or row.arm is None else "", row.arm, params)
        where = f" @{row.world_size}" if sizes else ""
        found[row.comparison, row.key] = labels.plain(" ".join(part for part in parts if part)) + where
    return found


def _case(row: SideRow, name: str, control: float | None) -> Branch:
    return Branch(name, row.ratio or 1.0, row.ratio_low, row.ratio_high, row.verdict, row.margin, control)
