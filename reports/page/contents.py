"""The page's contents: links to its exercises, its comparisons and its other parts."""

from collections.abc import Iterator, Sequence

from reports.figures.section import Section
from reports.page.chapter import Solution
from reports.schema.summary import Summary
from reports.text.labels import told_apart

Link = tuple[str, str, bool]
"""Its text, where it leads, and whether something there is not as it should be."""


def contents(
    summary: Summary, parts: Sequence[Section], solved: Sequence[Solution]
) -> list[tuple[str, Sequence[Link]]]:
    """Groups of links, each with its name."""
    rest = [
        ("results", "results", True),
        ("the sides", "sides", bool(summary.sides)),
        ("what was planned", "cells", True),
        ("why not linear", "why", bool(summary.losses)),
        ("stragglers", "ranks", bool(summary.ranks)),
        ("steadiness", "steadiness", bool(summary.health)),
        ("roofline", "limits", bool(summary.floors or summary.ceilings)),
        ("projection", "projection", bool(summary.projection)),
        ("profiles", "profiles", bool(summary.profiles)),
        ("environment", "environment", True),
        ("method", "method", True),
        ("twelve rules", "audit", True),
        ("do it again", "again", True),
    ]
    groups: list[tuple[str, Sequence[Link]]] = [
        ("exercises", [(solution.row.exercise, solution.id, not solution.row.answered) for solution in solved]),
        ("comparisons", list(_compared(parts))),
        ("and", [(text, target, False) for text, target, there in rest if there]),
    ]
    return [(name, links) for name, links in groups if links]


def _compared(parts: Sequence[Section]) -> Iterator[Link]:
    names = told_apart([part.name for part in parts])
    return ((name, part.id, part.unwell > 0) for name, part in zip(names, parts, strict=True))
