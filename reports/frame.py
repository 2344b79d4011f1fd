"""The journal as one tidy frame: a row a sample and rank, and one row for a cell without samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.plan import Plan
from reports.evidence import Cell, Evidence

COLUMNS = (
    *("launch", "comparison", "scenario", "arm", "world_size", "packed", "probe", "rank", "round"),
    *("sample", "position", "inner", "start_s", "seconds", "status"),
)
"""The fixed columns; a column for each parameter follows, sorted by name."""

CASE = "case"
"""For the reports alone, the last column: the case's key."""

WHOLE = ("rank", "round", "sample", "position", "inner")
"""Whole numbers, empty where a cell has no samples."""
READ = (*WHOLE, "start_s", "seconds")

Columns = dict[str, npt.NDArray[Any]]


def parameters(plan: Plan) -> dict[str, str]:
    """Column by parameter, over all scenarios; one that is named like a fixed column gets ``param_`` before it."""
    names = sorted({name for comparison in plan.comparisons for case in comparison.cases for name in case.params})
    return {name: f"param_{name}" if name in COLUMNS else name for name in names}


def frame(evidence: Evidence) -> pd.DataFrame:
    """Every sample of every rank: the columns ``COLUMNS``, the parameters, and last ``CASE``.

    ``seconds`` is one step's: the device's own time where it has one, else the host's, divided by ``inner``.
    """
    columns = parameters(evidence.plan)
    parts = [_part(cell, columns) for cell in evidence.cells]
    names = (*COLUMNS, *columns.values(), CASE)
    table = pd.DataFrame({name: _joined([part[name] for part in parts]) for name in names})
    kinds = dict.fromkeys(("launch", "comparison", "world_size"), "int64") | dict.fromkeys(("packed", "probe"), "bool")
    return table.astype(kinds | dict.fromkeys(WHOLE, "Int64") | dict.fromkeys(("start_s", "seconds"), "float64"))


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.array([], dtype=object)


def _part(cell: Cell, columns: Mapping[str, str]) -> Columns:
    """The rows of one cell."""
    case, taken = cell.case, _readings(cell)
    told = {"launch": cell.launch, "comparison": cell.comparison, "scenario": case.scenario, "arm": case.arm}
    told |= {"world_size": case.world_size, "packed": case.packed, "probe": case.probe, "status": cell.state}
    told |= {column: case.params.get(name) for name, column in columns.items()} | {CASE: case.key}
    rows = len(taken["seconds"])
    return taken | {name: np.array([value], dtype=object).repeat(rows) for name, value in told.items()}


def _readings(cell: Cell) -> Columns:
    """What the ranks of a cell read, rank by rank; one empty row where it has no samples."""
    taken, record = cell.taken, cell.record
    if taken is None or record is None or record.status != "ok":
        return {name: np.array([np.nan]) for name in READ}
    ranks, samples = taken.start_s.shape
    return {
        "rank": np.arange(ranks).repeat(samples),
        "round": np.tile(taken.round, ranks),
        "sample": np.tile(np.arange(samples), ranks),
        "position": np.tile(taken.position, ranks),
        "inner": np.full(ranks * samples, record.inner),
        "start_s": taken.start_s.ravel(),
        "seconds": taken.seconds(record.inner).ravel(),
    }
