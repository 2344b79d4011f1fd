"""Why not linear: the efficiency of a case as contention × imbalance × communication × the rest, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from harness.plan import Case
from reports import estimates
from reports.estimates import Estimate, ratio
from reports.evidence import CaseId
from reports.loss_sentences import sentence
from reports.measured import Measured
from reports.rows import CellRow, RankRow
from reports.watched import Watch, basis, by_launch, per_rank, watches
from reports.why_rows import LossRow

Factors = dict[str, tuple[Estimate, "pd.Series[float]"]]
"""By name, in the order in which they are divided out: a ratio of two times, and each launch's own."""


def loss_rows(measured: Measured, cells: Iterable[CellRow], ranks: Iterable[RankRow]) -> tuple[LossRow, ...]:
    """One for each case that claims to scale and has an efficiency."""
    named = {(row.comparison, row.key): row.rank for row in ranks if row.named}
    cases = dict(measured.gangs())
    scaled = [row for row in cells if row.efficiency is not None and row.scaling != "none"]
    return tuple(
        _row(measured, cell, cases[cell.comparison, cell.key], named) for cell in scaled if not cell.below_resolution
    )


def _row(measured: Measured, cell: CellRow, case: Case, named: dict[CaseId, int]) -> LossRow:
    key, aa = (cell.comparison, cell.key), measured.aa_by_comparison[cell.comparison]
    efficiency, devices = cell.efficiency or 0.0, cell.world_size / (cell.base_world_size or 1)
    watched = watches(measured, key)
    factors = _factors(measured, cell, case, watched)
    rest = _rest(measured, cell, case, factors)
    found = {name: factor for name, (factor, _) in factors.items()} | {"rest": rest}
    copies = measured.twin(case, cell.comparison, cell.world_size, packed=True)
    row = LossRow(
        comparison=cell.comparison,
        key=cell.key,
        scenario=cell.scenario,
        arm=cell.arm,
        world_size=cell.world_size,
        efficiency=efficiency,
        missing=devices * (1 - efficiency),
        noise=devices * aa,
        costs=_costs(devices, {name: factor.value for name, factor in found.items()}),
        sure=tuple(name for name, factor in found.items() if _sure(factor, aa)),
        basis=basis(measured, key, watched),
        slow_rank=named.get(key, named.get(copies) if copies else None),
        text="",
        **_spreads(found),
        **_seen(watched),
    )
    return row.model_copy(update={"text": sentence(row, cell)})


def _factors(measured: Measured, cell: CellRow, case: Case, watched: dict[int, Watch]) -> Factors:
    """Those that are known: mean work over the most, and that over the whole step, as the POP project has them."""
    key = (cell.comparison, cell.key)
    costs: dict[str, tuple[pd.Series[float], pd.Series[float]]] = {}
    if cell.contention is not None:
        base, copies = (measured.twin(case, key[0], size, packed=size > 1) for size in (1, cell.world_size))
        if base and copies:
            costs["contention"] = measured.values(base), measured.mean_values(copies)
    known = basis(measured, key, watched)
    if known == "collectives":
        most_s = by_launch(watched, lambda watch: watch.most_work_s)
        costs["imbalance"] = by_launch(watched, lambda watch: watch.mean_work_s), most_s
        costs["communication"] = most_s, by_launch(watched, lambda watch: watch.step_s)
    elif known == "times":  # without collectives a rank's time is its own work
        costs["imbalance"] = measured.mean_values(key), measured.values(key)
        costs["communication"] = measured.values(key), measured.values(key)
    told = {name: (ratio(above, below), above / below) for name, (above, below) in costs.items()}
    return {name: (factor, values) for name, (factor, values) in told.items() if factor}


def _rest(measured: Measured, cell: CellRow, case: Case, factors: Factors) -> Estimate:
    """What the factors leave of the efficiency; its interval is that of the launches' own."""
    size = cell.base_world_size or 1
    base = measured.twin(case, cell.comparison, size)
    share = 1.0 if cell.scaling == "weak" else size / cell.world_size
    value = cell.efficiency or 0.0
    own = measured.values(base or (cell.comparison, cell.key)) * share / measured.values((cell.comparison, cell.key))
    for factor, values in factors.values():
        value /= factor.value
        own = own / values
    spread = estimates.estimate(own)
    return Estimate(value, spread.low, spread.high, spread.launches) if spread else Estimate(value, None, None, 0)


def _costs(devices: float, factors: dict[str, float]) -> dict[str, float]:
    """What each factor takes of the speed-up that those before it leave; they add up to ``devices`` less that."""
    left, costs = devices, {}
    for name, factor in factors.items():
        costs[name] = left * (1 - factor)
        left *= factor
    return costs


def _sure(factor: Estimate, aa: float) -> bool:
    """Whether it is surely not 1: by its interval, which takes six launches, and by more than the noise."""
    if factor.low is None or factor.high is None:
        return False
    return (factor.high < 1 or factor.low > 1) and abs(1 - factor.value) > aa


def _spreads(found: dict[str, Estimate]) -> dict[str, Any]:
    ends = {f"{name}_{end}": getattr(factor, end) for name, factor in found.items() for end in ("low", "high")}
    return {name: factor.value for name, factor in found.items()} | ends


def _seen(watched: dict[int, Watch]) -> dict[str, Any]:
    if not watched:
        return {}
    return {
        "collectives": float(by_launch(watched, lambda watch: watch.collectives).median()),
        "work_s": per_rank(watched, lambda watch: watch.work_s),
        "wait_s": per_rank(watched, lambda watch: watch.wait_s),
        "transfer_s": per_rank(watched, lambda watch: watch.transfer_s),
        "watched_s": float(by_launch(watched, lambda watch: watch.step_s).median()),
    }
