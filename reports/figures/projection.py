"""The plot of a projection: what was measured, joined; what might be, as a hatched band behind a dashed line."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from reports.figures.axes import Variants, fixed_ticks, tick_times
from reports.figures.svg import QUIET, blank, name_ends, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import ProjectionRow
from reports.text.labels import variant_of

HATCHES = ("////", "\\\\\\\\", "||||", "----")
"""Of the variants' bands, which lie on top of one another."""


def projection_plot(rows: Sequence[ProjectionRow], cells: Sequence[CellRow], name: str) -> str:
    """Speed-ups of one comparison's variants on logarithmic axes; empty where none of them can be projected."""
    projected = [row for row in rows if row.points]
    if not projected:
        return ""
    variants, base = Variants.of(cells), min(row.base_world_size or 1 for row in projected)
    by_variant = {variant_of(cell): cell.variant for cell in cells}
    most, last = max(row.points[-1].world_size for row in projected), max(row.counts[-1] for row in projected)
    with styled():
        figure, axes = blank(278, left=38, right=96, top=18.0)
        axes.plot([base, most], [1, most / base], color=QUIET, linewidth=0.9, dashes=(4, 3))
        axes.axvline(last, color=QUIET, linewidth=0.9, dashes=(1, 1.5))
        axes.text(last, 1.005, "measured up to here", transform=axes.get_xaxis_transform(), color=QUIET, ha="center")
        ends = [(most / base, "ideal", QUIET)]
        for shown, variant in by_variant.items():
            for row in (row for row in projected if row.variant == variant):
                colour = variants.palette[shown]
                _measured(axes, row, cells, colour, variants.markers[shown])
                _projected(axes, row, colour, HATCHES[variants.names.index(shown) % len(HATCHES)])
                ends.append(((row.points[-1].speedup_low * row.points[-1].speedup_high) ** 0.5, shown, colour))
        _doubling_axes(
            axes, {count for row in projected for count in (*row.counts, *(p.world_size for p in row.points))}
        )
        name_ends(axes, ends)
        return svg(
            figure, name, f"What up to {most} devices might do, which was not measured, for {len(projected)} variants"
        )


def _measured(axes: Axes, row: ProjectionRow, cells: Sequence[CellRow], colour: str, marker: str) -> None:
    measured_points = {
        cell.world_size: cell.speedup for cell in cells if cell.variant == row.variant and cell.world_size in row.counts
    }
    points = {row.base_world_size or 1: 1.0} | {
        size: value for size, value in sorted(measured_points.items()) if value is not None
    }
    axes.plot(list(points), list(points.values()), color=colour, marker=marker, markersize=5, zorder=4)


def _projected(axes: Axes, row: ProjectionRow, colour: str, hatch: str) -> None:
    sizes = [point.world_size for point in row.points]
    lows, highs = ([getattr(point, f"speedup_{end}") for point in row.points] for end in ("low", "high"))
    axes.fill_between(sizes, lows, highs, facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0, alpha=0.55)
    for edge in (lows, highs):
        axes.plot(sizes, edge, color=colour, linewidth=1.1, dashes=(4, 2))


def _doubling_axes(axes: Axes, sizes: set[int]) -> None:
    shown = sorted(sizes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    fixed_ticks(axes.xaxis, shown)
    low, high = axes.get_ylim()
    fixed_ticks(axes.yaxis, (2.0**k for k in range(-4, 20) if low <= 2.0**k <= high), tick_times)
    axes.set_xlabel("devices", loc="left")
