"""Claims about launches, and sides, whose ranks were not spread over hosts alike, or stood behind other processes."""

from __future__ import annotations

from collections.abc import Iterator

from reports import units
from reports.document import Claim, SideFacts
from reports.layouts import Spread, words


def placements(sides: tuple[SideFacts, ...]) -> Iterator[Claim]:
    """Sentences for each side whose launches differ in it, that differs from the first one, or whose ranks gave way."""
    for side in sides:
        whose = f" of `{side.name}`" if len(sides) > 1 else ""
        texts = (*_launches(side, f"launches{whose}"), *_against(sides[0], side), *_behind(side, f"ranks{whose}"))
        yield from (Claim(kind="caveat", text=text) for text in texts)


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


def _behind(side: SideFacts, them: str) -> Iterator[str]:
    if side.niceness > 0:
        remedy = (
            "start the cluster's nodes with `RAY_worker_niceness=0`"
            if side.launcher == "ray"
            else "start it without `nice`"
        )
        yield f"The {them} had a niceness of {side.niceness}, so that other processes went first: {remedy}."
