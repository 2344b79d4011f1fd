"""Hosts against each other, in cases of which each host has a copy at once: one that is slow shows by itself."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from harness.journal.plan import Case
from harness.journal.records import LaunchRecord
from reports.analysis.ranks import natural_excess
from reports.reading.run import CaseId
from reports.schema.cases import HostRow
from reports.statistics.estimates import FEWEST_LAUNCHES, estimate
from reports.statistics.measured import Measured

Times = dict[str, dict[int, float]]
"""Seconds of a step by host and launch."""


def host_rows(measured: Measured) -> tuple[HostRow, ...]:
    """Each host of each case that every host measured by itself."""
    cases = [(key, case) for key, _, case in measured.evidence.cases() if case.packed and not case.probe]
    return tuple(row for key, case in cases for row in _rows(measured, key, case))


def _rows(measured: Measured, key: CaseId, case: Case) -> Iterator[HostRow]:
    times = _times(measured, key, case)
    if not times:
        return
    table = pd.DataFrame(times).sort_index(axis=0)
    limit = 1 + max(natural_excess(table.median().to_numpy()), measured.aa_by_comparison[key[0]])
    for host in times:
        peers_s = table.drop(columns=host).median(axis=1)
        ratio = estimate(table[host] / peers_s)
        if ratio is None:
            continue
        yield HostRow(
            comparison=key[0],
            key=case.key,
            host=host,
            peers=len(times) - 1,
            **ratio.fields("ratio"),
            slowest_launches=int((table.idxmax(axis=1) == host).sum()),
            launches=ratio.launches,
            limit=limit,
            named=ratio.launches >= FEWEST_LAUNCHES and ratio.low is not None and ratio.low > limit,
        )


def _times(measured: Measured, key: CaseId, case: Case) -> Times:
    """What each host takes, from launches in which every host has one copy; empty where there is no such launch.

    It is the mean over samples, since pauses, as a quota makes them, hold up all who wait for the host.
    """
    times: Times = {}
    for launch, seconds in measured.readings(key).items():
        hosts = _hosts(measured.evidence.taken_by[launch, *key], case)
        for host, host_s in zip(hosts, np.split(seconds, len(hosts)) if hosts else (), strict=True):
            times.setdefault(host, {})[launch] = float(host_s.max(axis=0).mean())
    return times


def _hosts(gang: LaunchRecord, case: Case) -> list[str]:
    """The host of each copy; nothing where copies are not one on each of several hosts."""
    hosts = [rank.host for rank in sorted(gang.ranks, key=lambda placed: placed.rank)][: case.world_size]
    copies = [set(hosts[first : first + case.copy_size]) for first in range(0, len(hosts), case.copy_size)]
    every = [host for copy in copies for host in copy]
    return every if len(copies) == len(every) == len(set(every)) > 1 else []
