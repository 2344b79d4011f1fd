"""Every sample as a table: a row a sample and rank, a row for a cell without samples; see ``reports.frame``.

A case that is wrong in any launch has no seconds in any: those launches that its check let pass are no better.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import UsageError
from harness.rundir import RunDir
from reports.evidence import Evidence, load
from reports.frame import CASE, COLUMNS, frame

MORE = ("side", "shared_device")
"""Columns of runs with several sides, and of those whose ranks shared a device."""


def csv(run: RunDir) -> str:
    """As comma-separated values."""
    text: str = _table(run).to_csv(index=False, lineterminator="\n")
    return text


def parquet(run: RunDir) -> bytes:
    """As Parquet. Raises UsageError where pyarrow is not installed."""
    table, file = _table(run), io.BytesIO()
    kinds = dict.fromkeys(("scenario", "arm", "status"), "string")
    kinds |= {name: _kind(table[name]) for name in table.columns if name not in (*COLUMNS, *MORE)}
    try:
        table.astype(kinds).to_parquet(file, engine="pyarrow", index=False)
    except ImportError:
        remedy = "pip install -e '.[parquet]'"
        raise UsageError("--format parquet", "find pyarrow", "not installed", remedy) from None
    return file.getvalue()


def _table(run: RunDir) -> pd.DataFrame:
    """Several sides are told apart by a column more, and ranks that shared a device are marked by one."""
    evidence = load(run)
    sides = evidence.plan.sides
    tables = [_of_side(evidence.of(side)) for side in sides]
    whole = pd.concat(tables)
    if len(sides) > 1:
        whole = _with(whole, "side", np.repeat([side.name for side in sides], [len(table) for table in tables]))
    if evidence.plan.shared_device:
        whole = _with(whole, "shared_device", whole["world_size"] > 1)
    return whole.sort_values("launch", kind="stable", ignore_index=True)


def _with(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    """A column more; a parameter of that name gives way."""
    made = table.rename(columns={name: f"param_{name}"})
    made.insert(1, name, values)
    return made


def _of_side(evidence: Evidence) -> pd.DataFrame:
    table = frame(evidence)
    wrong = {case for case in evidence.by_case if not evidence.has_times(case)}
    if wrong:
        keys = zip(table["comparison"], table[CASE], strict=True)
        hidden = np.array([key in wrong for key in keys], dtype=bool)
        table = table.assign(seconds=table["seconds"].mask(hidden))
    return table.drop(columns=CASE)


def _kind(column: pd.Series[Any]) -> str:
    """One type for a parameter: its own where all scenarios that have it agree on one, else text."""
    values = column.dropna()
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int} and all(abs(value) < 2**63 for value in values):
        return "Int64"
    return "Float64" if float in kinds and kinds <= {int, float} else "string"
