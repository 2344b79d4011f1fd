"""Ranks over time: who is behind its peers, and when; in bins of neighbouring samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.plan import Case
from reports.evidence import CaseId
from reports.heat_rows import HeatRow
from reports.measured import Measured
from reports.stragglers import own_work
from reports.taken import Array

BINS = 48
"""Of all launches together, at most about."""


def heat_rows(measured: Measured) -> tuple[HeatRow, ...]:
    """The cases on the most devices of each comparison, where their ranks can be compared."""
    most: dict[int, int] = {}
    for (comparison, _), case in measured.gangs():
        most[comparison] = max(most.get(comparison, 2), case.world_size)
    cases = [(key, case) for key, case in measured.gangs() if case.world_size == most[key[0]]]
    return tuple(row for key, case in cases for row in _row(measured, key, case))


def _row(measured: Measured, key: CaseId, case: Case) -> Iterator[HeatRow]:
    known, by_launch = own_work(measured, key)
    if not by_launch:
        return
    binned = {launch: bins(seconds, max(BINS // len(by_launch), 1)) for launch, seconds in by_launch.items()}
    excess = behind(np.concatenate(list(binned.values()), axis=1))
    yield HeatRow(
        comparison=key[0],
        key=key[1],
        world_size=case.world_size,
        basis="work" if known == "work" else "time",
        launches=tuple(launch for launch, found in binned.items() for _ in range(found.shape[1])),
        excess=tuple(tuple(round(float(value), 4) for value in rank) for rank in excess),
    )


def bins(seconds: Array, most: int) -> Array:
    """Medians [rank, bin] of as many runs of samples as there are samples, or as are asked for."""
    parts = np.array_split(seconds, min(most, seconds.shape[1]), axis=1)
    return np.stack([np.median(part, axis=1) for part in parts], axis=1)


def behind(seconds: Array) -> Array:
    """Of each rank and bin by how much it is over the median of the other ranks, as a fraction."""
    peers = [np.median(np.delete(seconds, rank, axis=0), axis=0) for rank in range(len(seconds))]
    return seconds / np.stack(peers) - 1
