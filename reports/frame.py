"""The journal as one tidy frame: a row a sample and rank, and one row for a cell without samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.plan import Plan
from reports.evidence import Cell, Evidence

COLUMNS = (
    *("launch", "comparison", "scenario", "arm", "world_size", "packed", "probe", "rank", "round"),
    *("sample", "position", "inner", "start_s", "seconds", "status"),
)
"""The fixed columns; a column for each parameter follows, sorted by name."""

OWN = ("case", "host_s")
"""For the reports alone: the case's key, and the host's span of the whole sample where the device told its own."""

WHOLE = ("rank", "round", "sample", "position", "inner")
"""Whole numbers, empty where a cell has no samples."""


def parameters(plan: Plan) -> dict[str, str]:
    """Column by parameter, over all scenarios; one that is named like a fixed column gets ``param_`` before it."""
    names = sorted({name for comparison in plan.comparisons for case in comparison.cases for name in case.params})
    return {name: f"param_{name}" if name in COLUMNS else name for name in names}


def frame(evidence: Evidence) -> pd.DataFrame:
    """Every sample of every rank: the columns ``COLUMNS``, the parameters, and last ``OWN``.

    ``seconds`` is one step's: the device's own time where it has one, else the host's, divided by ``inner``.
    """
    columns = parameters(evidence.plan)
    rows = (row for cell in evidence.cells for row in _rows(cell, tuple(columns)))
    table = pd.DataFrame(list(rows), columns=[*COLUMNS, *columns.values(), *OWN], dtype=object)
    kinds = dict.fromkeys(("launch", "comparison", "world_size"), "int64") | dict.fromkeys(("packed", "probe"), "bool")
    kinds |= dict.fromkeys(WHOLE, "Int64") | dict.fromkeys(("start_s", "seconds", "host_s"), "float64")
    return table.astype(kinds)


def _rows(cell: Cell, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    case, record = cell.case, cell.record
    head = (cell.launch, cell.comparison, case.scenario, case.arm, case.world_size, case.packed, case.probe)
    tail = (*(case.params.get(name) for name in names), case.key)
    if record is None or record.status != "ok" or record.samples is None:
        yield *head, *(None,) * 7, cell.state, *tail, None
        return
    taken = record.samples
    for rank, starts in enumerate(taken.start_s):
        device_s = taken.device_s[rank] if taken.device_s is not None else None
        for sample, start in enumerate(starts):
            host_s = taken.end_s[rank][sample] - start
            whole = device_s[sample] if device_s is not None else host_s
            place = (rank, taken.round[sample], sample, taken.position[sample], record.inner)
            outer = host_s if device_s is not None else None
            yield *head, *place, start, whole / record.inner, "ok", *tail, outer
