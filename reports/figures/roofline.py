"""The roofline: what cases reach of what the machine reached in the same run.

Where only products were measured, a row a case with its rate and its roof. Where copies were too, the roofline of
Williams, Waterman and Patterson (CACM 2009): rate over arithmetic intensity, below a slope and a flat roof.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from reports.figures.axes import Ends, Ladder, Variants, by_size, log_ticks, margin
from reports.figures.section import Drawing, Section, on_most, span, where
from reports.figures.svg import INK, MARKERS, QUIET, blank, name_ends, styled, svg
from reports.schema.cases import CellRow, RoofRow
from reports.text import units
from reports.text.labels import variant_of

COPY = "copy"
"""The probe whose rate is the slope."""


SLOPE = (
    "FLOP/s a device, upwards, over the FLOPs a byte; shapes are numbers of devices. "
    "The slope is a copy on the device, the flat lines are large products, all measured in the same launches."
)
STROKE = (
    "The stroke is what a large product of the same type of numbers reaches on as many devices, in the same launches."
)


def roofs(section: Section) -> Drawing | None:
    """Rates of the cases that have a roof against it."""
    known = (row for row in section.cells if row.timed and row.rate is not None and row.roof is not None)
    rows = sorted(known, key=by_size)
    if not rows:
        return None
    reach = span(on_most(rows), _of_roof, units.percent)
    alone = [roof for roof in section.roofs if roof.world_size == 1]
    copied = next((roof.rate for roof in alone if roof.probe == COPY), None)
    shown = [row for row in rows if row.variant in section.drawn]
    with_bytes = [row for row in shown if row.byte_rate]
    if copied and with_bytes:
        svg, caption = _roofline(with_bytes, alone, copied, f"{section.id}r"), SLOPE
    else:
        svg, caption = _ladder(shown, f"{section.id}r"), STROKE
    sentence = f"{where(on_most(rows))} cases reach {reach} of what a large product does."
    return section.draw(("Against the roof", svg), sentence, caption, f"{section.id}-rates")


def _of_roof(row: CellRow) -> Ends:
    """The rate over the roof; its interval is the time's."""
    share, time_s = (row.rate or 0.0) / (row.roof or 1.0), row.median_s or 0.0
    low, high = (share * time_s / end if end else None for end in (row.ci_high_s, row.ci_low_s))
    return share, low, high


def _ladder(shown: Sequence[CellRow], name: str) -> str:
    variants, ladder = Variants.of(shown), Ladder.of([row.world_size for row in shown])
    names = [variant_of(row) for row in shown]
    with styled():
        figure, axes = blank(ladder.height, left=margin(names), right=92)
        for row, place in zip(shown, ladder.places, strict=True):
            axes.plot([row.roof or 0.0] * 2, [place - 0.4, place + 0.4], color=INK, linewidth=1.6)
            axes.plot([row.rate or 0.0, row.roof or 0.0], [place] * 2, color=QUIET, linewidth=0.8, dashes=(1, 2))
            axes.plot(row.rate or 0.0, place, markersize=6, zorder=4, **variants.look(row))
        ladder.label(axes, names, [units.rate(row.rate, "FLOP") for row in shown])
        _log_axis(axes, [rate for row in shown for rate in (row.rate or 0.0, row.roof or 0.0)])
        axes.set_xlabel("declared FLOPs a second, all devices", loc="left")
        return svg(figure, name, f"Rates of {units.count(len(shown), 'case')} against what a large product reaches")


def _log_axis(axes: Axes, rates: Sequence[float]) -> None:
    low, high = min(rates), max(rates)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.4, high * 1.4)
    log_ticks(axes.xaxis, (1.0,) if high > 30 * low else (1.0, 2.0, 5.0), _tick, 6)


def _tick(value: float) -> str:
    text = units.quantity(value, "")
    number, _, prefix = text.partition(units.THIN)
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{units.THIN}{prefix}".strip()


def _roofline(rows: Sequence[CellRow], alone: Sequence[RoofRow], copied: float, name: str) -> str:
    """A device's share of each rate, so that one roof holds for all; a shape a number of devices."""
    variants, sizes = Variants.of(rows), sorted({row.world_size for row in rows})
    points = [((row.rate or 0.0) / (row.byte_rate or 1.0), (row.rate or 0.0) / row.world_size) for row in rows]
    flat = [roof for roof in alone if roof.unit == "FLOP" and any(row.roof_probe == roof.probe for row in rows)]
    bends = [roof.rate / copied for roof in flat]
    low, high = min([at for at, _ in points] + bends) / 3, max([at for at, _ in points] + bends) * 3
    top = max(roof.rate for roof in flat) if flat else copied * high
    with styled():
        figure, axes = blank(250, left=52, right=104)
        axes.set_xscale("log")
        axes.set_yscale("log")
        grid = np.array([low, min(top / copied, high)])
        axes.plot(grid, grid * copied, color=QUIET, linewidth=1.2)
        for roof in flat:
            axes.plot([roof.rate / copied, high], [roof.rate] * 2, color=QUIET, linewidth=1.2)
        for row, point in zip(rows, points, strict=True):
            marker = MARKERS[sizes.index(row.world_size) % len(MARKERS)]
            axes.plot(*point, markersize=6, zorder=4, **(variants.look(row) | {"marker": marker}))
        axes.set_xlim(low, high)
        most = {
            variant_of(row): (rate, variant_of(row), variants.palette[variant_of(row)])
            for row, (_, rate) in zip(rows, points, strict=True)
        }
        name_ends(axes, [*most.values(), *((roof.rate, roof.words.rpartition(", ")[2], QUIET) for roof in flat)])
        look: dict[str, Any] = {"color": QUIET, "fontsize": 10.5, "va": "bottom"}
        axes.annotate("copy", (low, low * copied), (6, 2), textcoords="offset points", **look)
        _ticks(axes)
        return svg(figure, name, f"Roofline of one device, {units.count(len(rows), 'case')}")


def _ticks(axes: Axes) -> None:
    for axis, word in ((axes.xaxis, "{:g}".format), (axes.yaxis, _tick)):
        low, high = axis.get_view_interval()
        log_ticks(axis, (1.0,) if high > 100 * low else (1.0, 2.0, 5.0), word, 6)
    axes.set_xlabel("declared FLOPs a declared byte", loc="left")
