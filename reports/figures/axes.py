"""What the plots share: a look for each variant, axes with few ticks, and rows grouped by the number of devices."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from reports.figures.svg import HUES, INK, MARKERS, QUIET, WASH, WIDTH
from reports.schema.cases import CellRow, ContrastRow
from reports.statistics.verdicts import band
from reports.text import units
from reports.text.labels import variant_of

LINE = 19.0
"""Pixels between two rows of a plot."""
LETTER = 5.9
"""Pixels that a letter of a label takes, about."""
TICK = 40.0
"""Pixels that the label of a tick takes, with what keeps it from the next."""
Ends = tuple[float | None, float | None, float | None]
"""A value and its interval, where there is one."""


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

    def look(self, row: CellRow | ContrastRow) -> dict[str, Any]:
        """Colour and marker of a row's dots."""
        name = variant_of(row)
        return {"color": self.palette[name], "marker": self.markers[name], "linewidth": 0}

    @classmethod
    def of(cls, rows: Sequence[CellRow]) -> Self:
        """The variants of a comparison in planned order."""
        return cls(tuple(dict.fromkeys(variant_of(row) for row in rows)))


def by_size(row: CellRow | ContrastRow) -> int:
    """The number of devices, to sort by."""
    return row.world_size


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

    def label(self, axes: Axes, names: Sequence[str], values: Sequence[str], *, rules: bool = True) -> None:
        """Write names on the left and values on the right of the rows."""
        axes.set_ylim(self.depth - 0.4, -0.6)
        without_left_axis(axes)
        left = margin(names)
        for place, text in self.headings:
            write_left(axes, place, text, left, color=QUIET, fontsize=10)
        for place, name, value in zip(self.places, names, values, strict=True):
            write_left(axes, place, name, left)
            write_right(axes, place, value, color=INK)
            if rules:
                axes.axhline(place, color=WASH, linewidth=0.8, zorder=0)


def margin(names: Sequence[str]) -> float:
    """Room for names on the left, in pixels."""
    return min(max((len(name) for name in names), default=4) * LETTER + 12, 150.0)


def without_left_axis(axes: Axes) -> None:
    """Rows that are named have no ticks."""
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)


def write_left(axes: Axes, place: float, text: str, left: float, **look: Any) -> None:
    """Text that begins at the figure's left edge, ``left`` pixels before the axes."""
    start = -left / (axes.get_position().width * WIDTH)
    style: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
    axes.text(start, place, text, **(style | look))


def write_right(axes: Axes, place: float, text: str, **look: Any) -> None:
    """Text right of the axes."""
    style: dict[str, Any] = {"color": QUIET, "fontsize": 10.5, "va": "center", "ha": "left"}
    axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), **(style | look))


def interval_bar(axes: Axes, place: float, ends: Ends, colour: str) -> None:
    """A median as an upright stroke, and its interval, where there is one, as a line."""
    middle, low, high = ends
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    if middle is not None:
        axes.plot([middle, middle], [place - 0.32, place + 0.32], color=INK, linewidth=1.6, zorder=4)


def ends_of(rows: Iterable[Ends]) -> list[float]:
    """Every value and every end of an interval."""
    return [end for row in rows for end in row if end is not None]


def few_ticks(axis: Axis, word: Callable[[float], str]) -> None:
    """About four round numbers, or as many as there is room for."""
    axis.set_major_locator(MaxNLocator(min(4, _most_ticks(axis) - 1), steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: word(value)))


def _most_ticks(axis: Axis) -> int:
    """How many labels have room beside one another, three at least."""
    box = axis.axes.get_position()
    return max(3, int(box.width * WIDTH / TICK)) if axis is axis.axes.xaxis else 5


def log_ticks(axis: Axis, steps: Sequence[float], word: Callable[[float], str], most: int | None = None) -> None:
    """Powers of ten times ``steps``; the scale is set by the caller."""
    axis.set_major_locator(LogLocator(subs=steps, numticks=most or "auto"))  # type: ignore[arg-type]
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: word(value)))


def fixed_ticks(axis: Axis, places: Iterable[float], word: Callable[[float], str] = "{:g}".format) -> None:
    """Ticks at these places and no others."""
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: word(value)))


class Seconds(Formatter):
    """Times below an axis: all in the unit of the greatest, and with equally many digits."""

    def __call__(self, value: float, _pos: int | None = None) -> str:
        """A single time."""
        return tick_seconds(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All of an axis."""
        return units.seconds_alike(values)


def seconds_axis(axes: Axes, seconds: Iterable[float], label: str) -> None:
    """Few ticks with units; a wide range is logarithmic, and a narrow one spans at least a tenth of its value."""
    values = list(seconds)
    low, high = min(values), max(values)
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
        log_ticks(axes.xaxis, (1.0, 3.0) if high < 100 * low else (1.0,), tick_seconds)
    else:
        room = max((high - low) * 0.08, 0.05 * high)
        axes.set_xlim(max(low - room, 0), high + room)
        few_ticks(axes.xaxis, tick_seconds)
        axes.xaxis.set_major_formatter(Seconds())
    axes.set_xlabel(label, loc="left")


def ratio_axis(
    axes: Axes, ends: Sequence[float], margin: float, label: str, word: Callable[[float], str] | None = None
) -> None:
    """An axis of ratios that holds all ``ends``, 1, and a good part of the margin; wide ones are logarithmic."""
    least, most = band(min(1.5 * margin, 1.5))
    low, high = min([least, *ends]), max([most, *ends])
    room = 0.06 * (high - low)
    if max(ends) > 4 * min(ends):
        axes.set_xscale("log")
        low = max(low, LEAST_RATIO)
        clearance = max(1.2, (high / low) ** 0.08)
        axes.set_xlim(low / clearance, high * clearance)
        wide = (1, 2, 5) if _decades(low, high) * 3 <= _most_ticks(axes.xaxis) else (1, 3)
        log_ticks(axes.xaxis, wide if max(ends) < 100 * min(ends) else (1,), word or tick_times)
    else:
        axes.set_xlim(low - room, high + room)
        few_ticks(axes.xaxis, word or tick_times)
    axes.set_xlabel(label, loc="left")


LEAST_RATIO = 1e-9
"""A logarithmic axis has no 0."""


def _decades(low: float, high: float) -> float:
    return math.log10(high / low)


def tick_seconds(value: float) -> str:
    """A time below an axis: without zeros that say nothing."""
    return "0" if value == 0 else units.seconds(value).replace(".00", "").replace(".0", "")


def tick_times(value: float) -> str:
    """A ratio below an axis."""
    return f"{value:g}{units.TIMES}"


def tick_change(ratio: float) -> str:
    """A ratio of times below an axis, as a signed change of time."""
    percent = round(100 * (ratio - 1), 6)
    return f"{percent:+g}{units.THIN}%".replace("-", units.MINUS) if percent else f"0{units.THIN}%"
