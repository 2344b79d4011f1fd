"""Ranks against their peers: who is slow, how surely and how often, and the right to name nobody.

Where ranks meet in collectives, their times are alike whoever is slow: there their own work is compared, as watched.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Case
from reports.analysis.communication import basis, watches
from reports.reading.run import CaseId
from reports.reading.samples import Array
from reports.schema.cases import RankBasis, RankRow
from reports.schema.diagnostics import HeatRow
from reports.statistics.estimates import FEWEST_LAUNCHES, estimate
from reports.statistics.measured import Measured

VARIATION = 0.03
"""Standard deviation of the logarithms of the paces of devices of one kind, as they are by nature."""
LEAST = 0.05
"""No rank is named below this excess over its peers, however alike they are."""
FALSE = 0.0025
"""Among devices that differ by nature only, one is named in this share of the cases at most, by either limit."""
FEWEST_PEERS = 4
"""Of so many the spread tells how much devices vary."""
EQUAL_WORK = 0.01
"""Declared work that differs by no more than this is equal."""


def rank_rows(measured: Measured) -> tuple[RankRow, ...]:
    """Each rank of each case on several devices whose ranks are declared to do equal work; gangs and packed copies.

    Copies of several ranks are compared by host.
    """
    several = ((key, case) for key, _, case in measured.evidence.cases() if case.world_size > 1 and not case.probe)
    cases = [(key, case) for key, case in several if not (case.packed and case.gang_size > 1)]
    return tuple(row for key, case in cases for row in _ranks(measured, key, case))


def own_work(measured: Measured, key: CaseId) -> tuple[RankBasis, dict[int, Array]]:
    """What a case's ranks can be compared by, and each rank's own seconds of a step [rank, sample] by launch.

    There are no seconds where ranks cannot be compared: where their declared work differs, or work cannot be
    separated from waiting.
    """
    watched = watches(measured, key)
    known = basis(measured, key, watched)
    if not equal_work(measured, key):
        return "unequal", {}
    if known == "nothing":
        return "nothing", {}
    if known == "collectives":
        return "work", {launch: watch.work_s for launch, watch in watched.items()}
    return "time", measured.readings(key)


def _ranks(measured: Measured, key: CaseId, case: Case) -> Iterator[RankRow]:
    known, by_launch = own_work(measured, key)
    if not by_launch:
        return
    slowest = np.concatenate([seconds.argmax(axis=0) for seconds in by_launch.values()])
    medians = np.array([np.median(seconds, axis=1) for seconds in by_launch.values()])
    limit = 1 + max(natural_excess(np.median(medians, axis=0)), measured.aa_by_comparison[key[0]])
    disturbed = _disturbed(measured, key)
    for rank in range(case.world_size):
        peers = np.median(np.delete(medians, rank, axis=1), axis=1)
        excess = estimate(pd.Series(medians[:, rank] / peers))
        if excess is None:
            continue
        yield RankRow(
            comparison=key[0],
            key=case.key,
            packed=case.packed,
            world_size=case.world_size,
            rank=rank,
            device=measured.evidence.place(rank),
            **excess.fields("ratio"),
            basis="work" if known == "work" else "time",
            slowest_share=float((slowest == rank).mean()),
            slowest_launches=int((medians.argmax(axis=1) == rank).sum()),
            launches=excess.launches,
            limit=limit,
            named=excess.launches >= FEWEST_LAUNCHES and excess.low is not None and excess.low > limit,
            disturbed=rank in disturbed,
        )


def natural_excess(seconds: Array) -> float:
    """By how much the slowest of so many devices may exceed the median of its peers by nature, as a fraction.

    Of a few devices, as much as their kind varies; of more it may be less: as much as they, but for the slowest, do.
    """
    peers = len(seconds) - 1
    middle = np.sqrt(1 + np.pi / (2 * peers)) if peers > 1 else np.sqrt(2.0)
    excess = VARIATION * middle * stats.norm.isf(FALSE / len(seconds))
    if peers >= FEWEST_PEERS:
        spread = np.std(np.log(np.sort(seconds)[:-1]), ddof=1)
        excess = min(excess, float(spread * middle * stats.t.isf(FALSE / len(seconds), peers - 1)))
    return max(LEAST, float(np.expm1(excess)))


def _disturbed(measured: Measured, key: CaseId) -> set[int | None]:
    """The ranks whose cores other processes used in half of the launches or more.

    In fewer, the others show as well that a rank is slow: it is named only where it is slow in all launches.
    """
    records = [cell.record for cell in measured.evidence.by_case[key] if cell.record is not None]
    loaded = Counter(
        rank
        for record in records
        for rank in {warning.rank for warning in record.warnings if warning.kind is Kind.FOREIGN_LOAD}
    )
    return {rank for rank, launches in loaded.items() if 2 * launches >= len(records)}


def equal_work(measured: Measured, key: CaseId) -> bool:
    """Whether all ranks of a case declare as much work, and none does more by design."""
    facts = measured.facts(key)
    return not any(fact.asymmetric for fact in facts) and all(
        max(work) - min(work) <= EQUAL_WORK * max(work)
        for work in ([fact.flops for fact in facts], [fact.items for fact in facts])
        if work
    )


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
        launches=tuple(launch for launch, matrix in binned.items() for _ in range(matrix.shape[1])),
        excess=tuple(tuple(round(float(value), 4) for value in rank) for rank in excess),
        hosts=_hosts(measured, case),
    )


def _hosts(measured: Measured, case: Case) -> tuple[str, ...]:
    gangs = list(measured.evidence.gangs.values())
    found = {tuple(rank.host for rank in gang.ranks[: case.world_size]) for gang in gangs}
    hosts = found.pop() if len(found) == 1 else ()
    return hosts if len(set(hosts)) > 1 else ()


def bins(seconds: Array, most: int) -> Array:
    """Medians [rank, bin] of as many runs of samples as there are samples, or as are asked for."""
    parts = np.array_split(seconds, min(most, seconds.shape[1]), axis=1)
    return np.stack([np.median(part, axis=1) for part in parts], axis=1)


def behind(seconds: Array) -> Array:
    """Of each rank and bin by how much it is over the median of the other ranks, as a fraction."""
    peers = [np.median(np.delete(seconds, rank, axis=0), axis=0) for rank in range(len(seconds))]
    return seconds / np.stack(peers) - 1
