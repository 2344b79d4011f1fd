"""Ranks against their peers: who is slow, how surely and how often, and the right to name nobody.

Where ranks meet in collectives, their times are alike whoever is slow: there their own work is compared, as watched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from harness.plan import Case
from reports.estimates import FEWEST_LAUNCHES, estimate
from reports.evidence import CaseId
from reports.measured import Measured, case_id
from reports.rows import RankRow
from reports.watched import Watch, watches

SLOW = 0.10
"""A rank is named only above this excess over its peers, or above A/A noise where that is larger."""
EQUAL_WORK = 0.01
"""Declared work that differs by no more than this is equal."""


def rank_rows(measured: Measured) -> tuple[RankRow, ...]:
    """Each rank of each case on several devices whose ranks have equal declared work; gangs and packed copies."""
    cases = [(key, case) for key, _, case in measured.evidence.cases() if case.world_size > 1 and not case.probe]
    by_case = measured.rows[measured.rows["status"] == "ok"].groupby(["comparison", "case"], sort=True)
    rows = {case_id(key): table for key, table in by_case}
    return tuple(row for key, case in cases if key in rows for row in _ranks(measured, key, case, rows[key]))


def _ranks(measured: Measured, key: CaseId, case: Case, rows: pd.DataFrame) -> Iterator[RankRow]:
    if not _equal_work(measured, key):
        return
    watched = watches(measured, key)
    samples = _work(watched) if watched else _times(rows)
    medians = samples.groupby("launch").median()
    slowest, in_launch = samples.idxmax(axis="columns"), medians.idxmax(axis="columns")
    limit = 1 + max(SLOW, measured.aa_by_comparison[key[0]])
    for rank in medians.columns:
        peers = medians.drop(columns=rank).median(axis="columns")
        found = estimate(medians[rank] / peers)
        if found is None:
            continue
        yield RankRow(
            comparison=key[0],
            key=case.key,
            packed=case.packed,
            world_size=case.world_size,
            rank=int(rank),
            device=measured.evidence.plan.devices[int(rank)],
            ratio=found.value,
            ratio_low=found.low,
            ratio_high=found.high,
            basis="work" if watched else "time",
            slowest_share=float((slowest == rank).mean()),
            slowest_launches=int((in_launch == rank).sum()),
            launches=found.launches,
            limit=limit,
            named=found.launches >= FEWEST_LAUNCHES and found.low is not None and found.low > limit,
        )


def _times(rows: pd.DataFrame) -> pd.DataFrame:
    """Each rank's time in each sample, a column a rank."""
    return rows.pivot_table(index=["launch", "sample"], columns="rank", values="seconds")


def _work(watched: Mapping[int, Watch]) -> pd.DataFrame:
    """Each rank's own work in each watched sample, a column a rank."""
    return pd.concat({launch: pd.DataFrame(watch.work_s.T) for launch, watch in watched.items()}, names=["launch"])


def _equal_work(measured: Measured, key: CaseId) -> bool:
    facts = measured.facts(key)
    return all(
        max(work) - min(work) <= EQUAL_WORK * max(work)
        for work in ([fact.flops for fact in facts], [fact.items for fact in facts])
        if work
    )
