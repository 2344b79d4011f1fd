"""How ranks are spread over hosts. It belongs to every series' key: between hosts is a network, and other hardware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

from harness.journal import LaunchRecord
from harness.plan import Record
from reports import units

Spread = tuple[int, ...]
"""How many ranks each host has, in the order of ranks: ``(8, 8)``."""


class Layout(Record):
    """Where the ranks of some launches were."""

    hosts: tuple[str, ...]
    """In the order of ranks."""
    ranks_per_host: Spread
    launches: tuple[int, ...]
    """Those that had a gang laid out so."""


def layouts(gangs: Iterable[LaunchRecord]) -> tuple[Layout, ...]:
    """Every layout once, the first gang's first."""
    found: dict[tuple[tuple[str, ...], Spread], dict[int, None]] = {}
    for gang in gangs:
        alike = [(host, len(tuple(own))) for host, own in groupby(gang.ranks, key=lambda rank: rank.host)]
        hosts, spread = tuple(host for host, _ in alike), tuple(ranks for _, ranks in alike)
        found.setdefault((hosts, spread), {})[gang.launch] = None
    return tuple(
        Layout(hosts=hosts, ranks_per_host=spread, launches=tuple(launches))
        for (hosts, spread), launches in found.items()
    )


def head(spread: Spread, ranks: int) -> Spread:
    """Where the first so many ranks are: ``(8, 4)`` for 12 of ``(8, 8)``."""
    before = accumulate(spread, initial=0)
    return tuple(min(own, ranks - used) for own, used in zip(spread, before, strict=False) if used < ranks)


def words(spread: Sequence[int]) -> str:
    """E.g. ``2 hosts of 8 ranks``, or ``1 host of 8 ranks and 1 host of 4 ranks``."""
    alike = [(ranks, len(tuple(hosts))) for ranks, hosts in groupby(spread)]
    return units.listed([f"{units.count(hosts, 'host')} of {units.count(ranks, 'rank')}" for ranks, hosts in alike])
