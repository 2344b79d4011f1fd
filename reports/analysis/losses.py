"""Why not linear: the seconds of a step above its ideal, as contention, imbalance, communication and other.

Each part is a difference of times and none is divided by another, so the parts add up, in whatever order they stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from harness.journal.plan import Case
from reports.analysis.communication import Watch, basis, by_launch, per_rank, watches
from reports.analysis.ranks import equal_work
from reports.reading.run import CaseId
from reports.reading.samples import Array
from reports.schema.cases import CellRow, RankRow
from reports.schema.diagnostics import LossRow, Lost
from reports.statistics.estimates import Estimate, estimate
from reports.statistics.measured import Measured
from reports.wording.losses import sentence

RESOLUTION_S = 1e-9
"""Of times in the journal: what is shorter is no part of a step."""

Seconds = dict[str, "pd.Series[float]"]
"""Each known part's seconds in each launch, by the part's name."""


def loss_rows(measured: Measured, cells: Iterable[CellRow], ranks: Iterable[RankRow]) -> tuple[LossRow, ...]:
    """One for each case that claims to scale and has an ideal."""
    cases = dict(measured.gangs())
    compared: dict[CaseId, list[RankRow]] = {}
    for row in ranks:
        compared.setdefault((row.comparison, row.key), []).append(row)
    scaled = [row for row in cells if row.timed and row.ideal_s is not None]
    return tuple(_row(measured, cell, cases[cell.comparison, cell.key], compared) for cell in scaled)


def _row(measured: Measured, cell: CellRow, case: Case, compared: dict[CaseId, list[RankRow]]) -> LossRow:
    key = (cell.comparison, cell.key)
    time_s, ideal_s = cell.median_s or 0.0, cell.ideal_s or 0.0
    noise_s = max(RESOLUTION_S, measured.aa_by_comparison[cell.comparison] * time_s)
    watched = watches(measured, key)
    known = _known(measured, cell, case, watched)
    parts = {name: share for name, values in known.items() if (share := estimate(values))}
    parts["other"] = _other(measured, cell, case, known, time_s - ideal_s - sum(part.value for part in parts.values()))
    copies = measured.twin(case, cell.comparison, cell.world_size, packed=True)
    watched_row = compared.get(key, [])
    named = [row.rank for row in (*watched_row, *compared.get(copies or key, [])) if row.named]
    lost: dict[str, Any] = {name: _lost(part, noise_s) for name, part in parts.items()}
    row = LossRow(
        comparison=cell.comparison,
        key=cell.key,
        scenario=cell.scenario,
        variant=cell.variant,
        world_size=cell.world_size,
        efficiency=cell.efficiency or 0.0,
        time_s=time_s,
        ideal_s=ideal_s,
        missing_s=time_s - ideal_s,
        noise_s=noise_s,
        basis=basis(measured, key, watched),
        slow_rank=named[0] if named else None,
        slow_device=measured.evidence.place(named[0]) if named else None,
        text="",
        **lost,
        **_seen(watched),
        **_messages(measured, cell, parts),
    )
    text = sentence(row, watched_row, asymmetric=not equal_work(measured, key), clocks=_clocks(cell))
    return row.model_copy(update={"text": text})


def _clocks(cell: CellRow) -> tuple[float, float] | None:
    """Seconds of a step by the host's and the device's own clock, where the host's sets the time."""
    return (cell.enqueue_s or 0.0, cell.device_s or 0.0) if cell.host_bound else None


def _known(measured: Measured, cell: CellRow, case: Case, watched: dict[int, Watch]) -> Seconds:
    key = (cell.comparison, cell.key)
    known: Seconds = {}
    base, share = _base(measured, cell, case)
    copies = measured.twin(case, cell.comparison, cell.world_size, packed=True)
    if copies is not None and cell.base_world_size == 1:
        known["contention"] = ((measured.first_rank_values(copies) - base) * share).dropna()
    shares = _shares(measured, key)
    match basis(measured, key, watched):
        case "collectives":
            known["imbalance"] = by_launch(watched, lambda watch: waiting_s(watch.work_s, watch.transfer_s, shares))
            known["communication"] = by_launch(watched, lambda watch: float(np.median(watch.transfer_s)))
        case "times":
            readings = measured.readings(key).items()
            waiting = {launch: waiting_s(seconds, np.zeros_like(seconds), shares) for launch, seconds in readings}
            known["imbalance"] = pd.Series(waiting, dtype=float)
        case "nothing":
            pass
    return {name: values for name, values in known.items() if len(values)}


def waiting_s(work_s: Array, transfer_s: Array, shares: Array) -> float:
    """What the busiest rank makes its peers wait: seconds of the median peer in a step, median over samples.

    ``work_s`` and ``transfer_s`` are [rank, sample]; ``shares`` [rank] are the ranks' declared work over the most that
    one declares: who has less to do waits that much by design, which is no imbalance.
    """
    step_s = np.max(work_s + transfer_s, axis=0)
    idle_s = step_s - work_s - transfer_s - (1 - shares)[:, None] * work_s.max(axis=0)
    peers_s = np.sort(idle_s, axis=0)[1:]
    return float(np.median(np.median(peers_s, axis=0)))


def _shares(measured: Measured, key: CaseId) -> Array:
    facts = measured.facts(key)
    work = np.array([fact.flops for fact in facts], dtype=float)
    if not work.any():
        work = np.array([fact.items for fact in facts], dtype=float)
    return work / work.max() if work.any() else np.ones(max(len(facts), 1))


def _base(measured: Measured, cell: CellRow, case: Case) -> tuple[pd.Series[float], float]:
    """Each launch's time of the base, and what part of it the ideal is."""
    base = measured.twin(case, cell.comparison, cell.base_world_size or 1)
    return measured.values(base or (cell.comparison, cell.key)), (cell.ideal_s or 0.0) / (cell.base_median_s or 1.0)


def _other(measured: Measured, cell: CellRow, case: Case, known: Seconds, value: float) -> Estimate:
    """What the known parts leave of the seconds above the ideal; its interval is that of the launches' own."""
    base, share = _base(measured, cell, case)
    left = measured.values((cell.comparison, cell.key)) - base * share
    for values in known.values():
        left = left - values
    spread = estimate(left)
    if spread is None or spread.low is None or spread.high is None:
        return Estimate(value, None, None, spread.launches if spread else 0)
    return Estimate(value, min(spread.low, value), max(spread.high, value), spread.launches)


def _lost(part: Estimate, noise_s: float) -> Lost:
    """A part, and whether it is surely there: by its interval, which takes six launches, and beyond the noise."""
    sure = part.low is not None and part.high is not None and (part.low > 0 or part.high < 0)
    return Lost(seconds=part.value, low=part.low, high=part.high, sure=sure and abs(part.value) > noise_s)


def _messages(measured: Measured, cell: CellRow, parts: dict[str, Estimate]) -> dict[str, Any]:
    """How fast messages went, and between which hosts, where communication is known."""
    key = (cell.comparison, cell.key)
    sent = max((fact.traffic_bytes for fact in measured.facts(key)), default=0)
    communication = parts.get("communication")
    if communication is None or not sent or communication.value <= 0:
        return {}
    gangs = [gang for launch, gang in measured.evidence.gangs.items() if launch in cell.launch_s]
    hosts = {rank.host: None for gang in gangs[:1] for rank in gang.ranks[: cell.world_size]}
    return {"sent_bytes": sent, "bytes_per_s": sent / communication.value, "hosts": tuple(hosts)}


def _seen(watched: dict[int, Watch]) -> dict[str, Any]:
    if not watched:
        return {}
    return {
        "collectives": float(by_launch(watched, lambda watch: watch.collectives).median()),
        "work_s": per_rank(watched, lambda watch: watch.work_s),
        "wait_s": per_rank(watched, lambda watch: watch.wait_s),
        "transfer_s": per_rank(watched, lambda watch: watch.transfer_s),
        "hidden_s": _hidden(watched),
        "exposed_s": float(by_launch(watched, lambda watch: watch.exposed_s).median()),
        "watched_s": float(by_launch(watched, lambda watch: watch.step_s).median()),
    }


def _hidden(watched: dict[int, Watch]) -> tuple[float, ...]:
    """Each rank's hidden communication; empty where a launch does not tell."""
    known = all(watch.hidden_s is not None for watch in watched.values())
    return per_rank(watched, lambda watch: np.asarray(watch.hidden_s)) if known else ()
