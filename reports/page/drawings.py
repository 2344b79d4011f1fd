"""The figures of a comparison, in the page's order."""

from collections.abc import Callable

from reports.figures.ranks import lags
from reports.figures.roofline import roofs
from reports.figures.scaling import efficiencies, speedups
from reports.figures.section import Drawing, Section
from reports.figures.spread import spread
from reports.figures.timeline import order
from reports.figures.times import contrasts, times

MOST_DETAILED = 24
"""Comparisons. Where there are more, what tables have too is not drawn: a figure takes a thirtieth of a second."""
FIGURES: dict[str, Callable[[Section], Drawing | None]] = {
    "contrast": contrasts,
    "time": times,
    "speedup": speedups,
    "efficiency": efficiencies,
    "roof": roofs,
    "spread": spread,
    "order": order,
    "heat": lags,
}
"""To add one, add its function here."""
DETAILS = ("roof", "spread", "heat")


def drawings(section: Section, *, many: bool = False) -> dict[str, Drawing]:
    """By name, without those that have nothing to show; ``many`` comparisons are on the page."""
    left_out = (*DETAILS, *(() if section.letters else ("order",))) if many else ()
    drawn = {name: figure(section) for name, figure in FIGURES.items() if name not in left_out}
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}
