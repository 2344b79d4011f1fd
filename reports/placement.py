"""Claims about launches, and sides, whose ranks were not spread over hosts alike."""

from __future__ import annotations

from collections.abc import Iterator

from reports import units
from reports.document import Claim, SideFacts
from reports.layouts import Spread, words


def placements(sides: tuple[SideFacts, ...]) -> Iterator[Claim]:
    """A sentence for each side whose launches differ in it, and for each that differs from the first one."""
    for side in sides:
        launches = f"launches of `{side.name}`" if len(sides) > 1 else "launches"
        yield from (Claim(kind="caveat", text=text) for text in (*_launches(side, launches), *_against(sides[0], side)))


def _launches(side: SideFacts, them: str) -> Iterator[str]:
    spreads: dict[Spread, set[int]] = {}
    for layout in side.layouts:
        spreads.setdefault(layout.ranks_per_host, set()).update(layout.launches)
    if len(spreads) > 1:
        counted = ((words(spread), len(launches)) for spread, launches in spreads.items())
        told = units.listed([f"{spread} in {units.count(n, 'launch', 'launches')}" for spread, n in counted])
        yield f"Not all {them} had as many ranks on each host, so they are not of one series: {told}."
    elif len(side.layouts) > 1:
        yield f"Not all {them} were on the same hosts: what tells launches apart is hosts too."


def _against(first: SideFacts, side: SideFacts) -> Iterator[str]:
    if side.ranks_per_host and first.ranks_per_host and side.ranks_per_host != first.ranks_per_host:
        told = units.listed([f"{words(each.ranks_per_host)} on `{each.name}`" for each in (first, side)])
        yield f"What tells `{side.name}` from `{first.name}` is the number of ranks a host too: {told}."
