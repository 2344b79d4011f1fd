"""Extremes: of many ranks the few that a table or a plot shows."""

from collections.abc import Collection, Sequence

from reports.text import labels, units

MOST = 16
"""So many are all shown."""
GREATEST = 12
"""Of more, so many with the greatest values, and the rest of ``MOST`` with the least."""
MOST_HOSTS = 4
"""So many are named."""


def extremes(values: Sequence[float], always: Collection[int] = ()) -> list[int]:
    """Places of the values that are shown, in their order: of many the greatest, the least, and ``always``."""
    if len(values) <= MOST:
        return list(range(len(values)))
    order = sorted(range(len(values)), key=lambda place: values[place])
    return sorted({*order[: MOST - GREATEST], *order[-GREATEST:], *always})


def ends(names: Sequence[str]) -> str:
    """All of a few names; of many the first and the last, and how many they are."""
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]} ({len(names)})"


def hosts(names: Sequence[str]) -> str:
    """Their names; of many, how many they are."""
    return (
        units.listed([labels.plain(name) for name in names])
        if len(names) <= MOST_HOSTS
        else units.count(len(names), "host")
    )
