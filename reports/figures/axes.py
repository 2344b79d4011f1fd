"""What the plots of cases share: a look for each variant, and rows that are grouped by the number of devices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from reports.figures.svg import DASHES, HUES, MARKERS, QUIET, WASH, WIDTH
from reports.schema.cases import CellRow, ContrastRow
from reports.text import units
from reports.wording.captions import variant_of

LINE = 19.0
"""Pixels between two rows of a plot."""
LETTER = 5.9
"""Pixels that a letter of a label takes, about."""


@dataclass(frozen=True)
class Variants:
    """One look for each variant of a comparison, the same in all its plots."""

    names: tuple[str, ...]

    @property
    def palette(self) -> dict[str, str]:
        """Hue by variant."""
        return {name: HUES[place % len(HUES)] for place, name in enumerate(self.names)}

    @property
    def markers(self) -> dict[str, str]:
        """Marker by variant."""
        return {name: MARKERS[place % len(MARKERS)] for place, name in enumerate(self.names)}

    def dash(self, name: str) -> Any:
        """Dash by variant."""
        return DASHES[self.names.index(name) % len(DASHES)]

    @classmethod
    def of(cls, rows: Sequence[CellRow]) -> Self:
        """The variants of a comparison in planned order."""
        return cls(tuple(dict.fromkeys(variant_of(row) for row in rows)))


def by_size(row: CellRow | ContrastRow) -> int:
    """Sorts rows by their number of devices."""
    return row.world_size


def scatter(axes: Axes, points: pd.DataFrame, x: str, variants: Variants, **look: Any) -> None:
    """Dots at ``x`` and ``place`` in each variant's look; one call a variant keeps the drawing small."""
    for name, own in points.groupby("variant", sort=False):
        colour, marker = variants.palette[str(name)], variants.markers[str(name)]
        axes.scatter(own[x], own["place"], color=colour, marker=marker, linewidth=0, **look)


@dataclass(frozen=True)
class Ladder:
    """Rows of a plot, grouped by the number of devices under a small heading each."""

    places: tuple[float, ...]
    """The vertical place of each row, downwards from 0."""
    headings: tuple[tuple[float, str], ...]
    depth: float

    @classmethod
    def of(cls, sizes: Sequence[int]) -> Self:
        """One place for each entry of ``sizes``, which are grouped already."""
        places, headings, at, before = [], [], 0.0, 0
        for size in sizes:
            if size != before:
                at += 0.4 if before else 0.0
                headings.append((at, units.count(size, "device")))
                at, before = at + 1.0, size
            places.append(at)
            at += 1.0
        return cls(tuple(places), tuple(headings), at)

    @property
    def height(self) -> float:
        """Of a whole figure, in pixels."""
        return self.depth * LINE + 48.0

    def label(self, axes: Axes, names: Sequence[str], values: Sequence[str]) -> None:
        """Write names on the left and values on the right of the rows."""
        axes.set_ylim(self.depth - 0.4, -0.6)
        axes.yaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_visible(False)
        across = axes.get_yaxis_transform()
        left = margin(names)
        start = -left / (axes.get_position().width * WIDTH)
        for place, text in self.headings:
            axes.text(start, place, text, transform=across, color=QUIET, va="center", ha="left", fontsize=10)
        for place, name, value in zip(self.places, names, values, strict=True):
            axes.text(start, place, name, transform=across, va="center", ha="left")
            axes.text(1.02, place, value, transform=across, va="center", ha="left", fontsize=10.5)
            axes.axhline(place, color=WASH, linewidth=0.8, zorder=0)


def margin(names: Sequence[str]) -> float:
    """Room for names on the left, in pixels."""
    return min(max((len(name) for name in names), default=4) * LETTER + 12, 150.0)
