"""Plots of scaling: speed-ups against their bounds, and efficiency with what was lost."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from harness.journal.measurement_warnings import Kind
from reports.figures.axes import Ladder, Variants, by_size, fixed_ticks, margin, tick_times
from reports.figures.section import INTERVALS, Drawing, Section, on_most, span, where
from reports.figures.svg import BAD, INK, QUIET, WASH, blank, joined, name_ends, styled, svg
from reports.schema.cases import CellRow
from reports.schema.diagnostics import LossRow
from reports.text import labels, units
from reports.text.labels import variant_of

BAR = 0.62
"""Height of a bar, of a row's."""
OUTLINE: dict[str, Any] = {"height": BAR, "facecolor": "none", "edgecolor": QUIET, "linewidth": 0.6, "zorder": 2}
PARTS: dict[str, dict[str, Any]] = {
    "contention": {},
    "imbalance": {"hatch": "|||||"},
    "communication": {"hatch": "/////"},
    "other": {"facecolor": WASH},
}
"""How what each part takes looks."""

SECOND_HOST = "second host"
"""Names the line beyond which ranks are on more than one host."""


WIDE = 16
"""Beyond so many times the fewest devices both axes are logarithmic."""
NEAR = 0.055
"""Ticks that are closer than this part of an axis overlap."""
SEEN = 0.002
"""Less of a bar than this cannot be seen."""
LOSSES = {
    "contention": '<span class="swatch"></span> contention',
    "imbalance": '<span class="swatch upright"></span> waiting for the busiest rank',
    "communication": '<span class="swatch hatch"></span> communication',
    "other": '<span class="swatch wash"></span> other',
}
"""What the looks of the parts mean."""


def speedups(section: Section) -> Drawing | None:
    """Speed-up against devices: how far variants get on the most, of what the machine reaches."""
    gemm = any(row.probe == "gemm" for row in section.ceilings)
    dotted = " Dotted: what a large product, so divided, reaches with all of them busy." if gemm else ""
    sure = f" Upright lines are {INTERVALS}." if any(row.speedup_low for row in section.cells) else ""
    over = f"Over {units.count(section.base, 'device')}, in the same launches; faint dots are launches."
    if max((row.world_size for row in section.shown if row.scaled), default=1) > WIDE * section.base:
        over += " Both axes are logarithmic."
    return section.draw(
        ("Speed-up", speedup_plot(section.shown, f"{section.id}s")),
        _speedup_sentence(section),
        f"{over} Dashed: what the declared work’s division allows.{dotted}{sure}",
    )


def _speedup_sentence(section: Section) -> str:
    shown = on_most(row for row in section.cells if row.scaled)
    if not shown:
        return ""
    row, reach = shown[0], span(shown, lambda row: (row.speedup, row.speedup_low, row.speedup_high), units.times)
    if len({row.ideal_speedup for row in shown}) > 1:
        return f"{where(shown)} {reach}."
    best = "" if row.divides else f" of at best {units.times(row.ideal_speedup)}, as its work divides"
    machine = f", where a large product reaches {units.times(row.reachable)}" if row.reachable and row.divides else ""
    return f"{where(shown)} {reach}{best}{machine}."


def efficiencies(section: Section) -> Drawing | None:
    """Efficiency, and where the seconds of the least efficient case on the most devices go."""
    seen = {name for loss in section.losses.values() for name, share in losing(loss).items() if share > SEEN}
    parts = "".join(f", {words}" for name, words in LOSSES.items() if name in seen)
    return section.draw(
        ("Efficiency, and where a step’s time goes", efficiency_plot(section.shown, section.losses, f"{section.id}e")),
        _losses_sentence(section),
        Markup(f'A step’s time: <span class="swatch full"></span> its ideal{parts}.'),  # noqa: S704 - our own words
        "why" if section.losses else None,
    )


def _losses_sentence(section: Section) -> str:
    if not section.losses:
        return ""
    most = max(row.world_size for row in section.losses.values())
    worst = min((row for row in section.losses.values() if row.world_size == most), key=lambda row: row.efficiency)
    has_variants = section.about.variant_field and worst.variant is not None
    return (f"`{labels.plain(worst.variant or '')}`: " if has_variants else "") + worst.text


def speedup_plot(rows: Sequence[CellRow], name: str) -> str:
    """Speed-up against devices: the ideal, what a large product reaches on as many busy devices, and each variant."""
    measured = [row for row in rows if row.scaled]
    if not measured:
        return ""
    variants, base = Variants.of(rows), min(row.base_world_size or 1 for row in measured)
    most = max(row.world_size for row in measured)
    ideals = _bounds(measured, base, lambda row: row.ideal_speedup)
    tops = [max(row.speedup_high or row.speedup or 0 for row in measured), *(line[-1][1] for line in ideals)]
    with styled():
        figure, axes = blank(268, left=34, right=96)
        if wide := most > WIDE * base:
            axes.set_xscale("log")
            axes.set_yscale("log")
        ends = []
        for line in ideals:
            axes.plot(*zip(*line, strict=True), color=QUIET, linewidth=0.9, dashes=(4, 3))
            ends.append((line[-1][1], "ideal", QUIET))
        for line in _bounds(measured, base, lambda row: row.reachable):
            axes.plot(*zip(*line, strict=True), color=QUIET, linewidth=1.2, dashes=(1, 1.5))
            ends.append((line[-1][1], "all busy", QUIET))
        for place, variant in enumerate(variants.names):
            of_variant = [row for row in measured if variant_of(row) == variant]
            if of_variant:
                aside = (place - (len(variants.names) - 1) / 2) * 0.012
                beside = partial(_beside, share=aside * math.log(most / base) if wide else aside * most, wide=wide)
                _launches(axes, of_variant, rows, variants.palette[variant], beside)
                _curve(axes, of_variant, variants, base, beside)
                ends.append((of_variant[-1].speedup or 0, variant, variants.palette[variant]))
        least = min(1.0, *(row.speedup_low or row.speedup or 1.0 for row in measured))
        axes.set_xlim(base / 1.1 if wide else 0, most * (1.1 if wide else 1.04))
        axes.set_ylim(least / 1.1 if wide else 0, max(tops) * (1.1 if wide else 1.06))
        name_ends(axes, ends)
        _host_boundary(axes, measured)
        _device_axes(axes, sorted({base, *(row.world_size for row in measured)}), base)
        return svg(figure, name, f"Speed-up on up to {most} devices, for {len(variants.names)} variants")


def _bounds(
    rows: Sequence[CellRow], base: int, bound: Callable[[CellRow], float | None]
) -> list[list[tuple[int, float]]]:
    """What bounds a speed-up on each number of devices: one line for all variants of which it is the same."""
    by_variant: dict[str | None, list[tuple[int, float]]] = {}
    for row in sorted(rows, key=by_size):
        if (most := bound(row)) is not None:
            by_variant.setdefault(row.variant, [(base, 1.0)]).append((row.world_size, round(most, 6)))
    return [list(line) for line in dict.fromkeys(map(tuple, by_variant.values()))]


def _beside(devices: int, share: float, *, wide: bool) -> float:
    """Where a variant's mark for a number of devices is: beside those of the others."""
    return devices * math.exp(share) if wide else devices + share


def _curve(axes: Axes, rows: Sequence[CellRow], variants: Variants, base: int, beside: Callable[[int], float]) -> None:
    """One variant's speed-ups, joined between measured points only; variants stand beside each other, not on top."""
    variant = variant_of(rows[0])
    devices = [base, *(beside(row.world_size) for row in rows)]
    speedups = [1.0, *(row.speedup or 0.0 for row in rows)]
    joined(axes, devices, speedups, variants.palette[variant], "-", variants.markers[variant], size=5.8)
    for row in rows:
        if row.speedup_low is not None and row.speedup_high is not None:
            at = [beside(row.world_size)] * 2
            axes.plot(at, [row.speedup_low, row.speedup_high], color=INK, linewidth=1.2, zorder=5)
        if any(caution.kind is Kind.SUPERLINEAR for caution in row.warnings):
            ring: dict[str, Any] = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "linewidth": 0}
            axes.plot(beside(row.world_size), row.speedup or 0.0, color=BAD, zorder=5, **ring)


def _launches(
    axes: Axes, rows: Sequence[CellRow], every: Sequence[CellRow], colour: str, beside: Callable[[int], float]
) -> None:
    """Each launch's own speed-up, as a faint dot: over the same variant's time on the fewest devices in that launch."""
    dots = []
    for row in rows:
        base = next(
            (one for one in every if one.variant == row.variant and one.world_size == row.base_world_size), None
        )
        factor = row.world_size / (row.base_world_size or 1) if row.scaling == "weak" else 1.0
        for launch, seconds in row.launch_s.items():
            if base and launch in base.launch_s:
                dots.append((beside(row.world_size), factor * base.launch_s[launch] / seconds))
    if dots:
        places, heights = zip(*dots, strict=True)
        axes.scatter(places, heights, s=12, color=colour, alpha=0.35, linewidths=0, zorder=3)


def _host_boundary(axes: Axes, rows: Sequence[CellRow]) -> None:
    """A line where ranks begin to be on a second host, with its name where the plot has room: above the speed-ups."""
    over = next((row for row in rows if len(row.ranks_per_host) > 1), None)
    if over is None:
        return
    at = over.ranks_per_host[0] + 0.5
    early = at < axes.transData.inverted().transform(axes.transAxes.transform((0.5, 0.5)))[0]
    axes.axvline(at, color=QUIET, linewidth=0.6, dashes=(1, 2), zorder=1)
    text = SECOND_HOST if early else f"{SECOND_HOST} \N{RIGHTWARDS ARROW}"
    look: dict[str, Any] = {"color": QUIET, "fontsize": 10, "va": "top", "ha": "left" if early else "right"}
    axes.annotate(text, (at, 1), (4 if early else -4, 0), axes.get_xaxis_transform(), "offset points", **look)


def _device_axes(axes: Axes, sizes: Sequence[int], base: int) -> None:
    places = axes.transAxes.inverted().transform(axes.transData.transform([(size, size / base) for size in sizes]))
    fixed_ticks(axes.xaxis, [sizes[place] for place in _apart(places[:, 0].tolist())])
    fixed_ticks(axes.yaxis, [sizes[place] / base for place in _apart(places[:, 1].tolist())], tick_times)
    axes.set_xlabel("devices", loc="left")


def _apart(places: Sequence[float]) -> list[int]:
    """Which of rising places are ticks: the last, and before it each that is not too near to the one after it."""
    shown: list[int] = []
    for place in reversed(range(len(places))):
        if not shown or places[shown[-1]] - places[place] > NEAR:
            shown.append(place)
    return shown[::-1]


def efficiency_plot(rows: Sequence[CellRow], losses: Mapping[str, LossRow], name: str) -> str:
    """Efficiency from zero as a full bar, and behind it what each part of a step takes; ``losses`` by key."""
    shown = sorted((row for row in rows if row.timed and row.efficiency is not None), key=by_size)
    if not shown:
        return ""
    variants, ladder = Variants.of(rows), Ladder.of([row.world_size for row in shown])
    names = [variant_of(row) for row in shown]
    with styled():
        figure, axes = blank(ladder.height, left=margin(names), right=62)
        for row, place in zip(shown, ladder.places, strict=True):
            _loss_bar(axes, row, losses.get(row.key), place, variants.palette[variant_of(row)])
        ladder.label(axes, names, [units.percent(row.efficiency) for row in shown])
        over = [place for row, place in zip(shown, ladder.places, strict=True) if len(row.ranks_per_host) > 1]
        if over:
            _host_rule(axes, over[0] - 1)
        axes.set_xlim(0, max(1.0, *(row.efficiency or 0 for row in shown)) * 1.01)
        fixed_ticks(axes.xaxis, (0, 0.25, 0.5, 0.75, 1), _tick_percent)
        axes.set_xlabel("efficiency", loc="left")
        return svg(figure, name, f"Efficiency and where the rest went, {len(shown)} cases")


def _tick_percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}" + (f"{units.THIN}%" if fraction in (0, 1) else "")


def _host_rule(axes: Axes, heading: float) -> None:
    """The same between rows: above the heading at this place, and named beside it."""
    axes.axhline(max(heading - 0.7, -0.55), color=QUIET, linewidth=0.6, dashes=(1, 2))
    across = axes.get_yaxis_transform()
    axes.text(1, heading, SECOND_HOST, transform=across, color=QUIET, va="center", ha="right", fontsize=10)


def _loss_bar(axes: Axes, row: CellRow, loss: LossRow | None, place: float, colour: str) -> None:
    """A step's time as a bar of 100 %: what is ideal, and behind it what each part takes; what gives back is not drawn.

    Where something gives back, the parts are drawn smaller, each by as much.
    """
    reached = row.efficiency or 0.0
    axes.barh(place, reached, height=BAR, color=colour, linewidth=0, zorder=2)
    shares = losing(loss)
    scale, left = min(1.0, max(1 - reached, 0.0) / (sum(shares.values()) or 1.0)), reached
    for name, share in shares.items():
        axes.barh(place, share * scale, left=left, **(OUTLINE | PARTS[name]))
        left += share * scale
    if row.efficiency_low is not None and row.efficiency_high is not None:
        axes.plot([row.efficiency_low, row.efficiency_high], [place, place], color=INK, linewidth=1.4, zorder=5)


def losing(loss: LossRow | None) -> dict[str, float]:
    """What each part takes of a step's time, without those that take nothing."""
    parts = loss.parts if loss is not None else {}
    return {name: part.seconds / loss.time_s for name, part in parts.items() if loss and part.seconds > 0}
