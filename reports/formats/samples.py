"""Every sample as a table: a row a sample and rank, a row for a cell without samples; see ``reports.formats.samples``.

A case that is wrong in any launch has no seconds in any: those launches that its check let pass are no better.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.common.errors import UsageError
from harness.journal.plan import Plan
from harness.journal.records import MEASURED
from harness.journal.run_directory import RunDir
from reports.reading.run import Cell, Evidence, load

COLUMNS = (
    *("launch", "comparison", "scenario", "variant", "world_size", "packed", "probe", "rank", "round"),
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
    case, samples = cell.case, _readings(cell)
    constants = {
        "launch": cell.launch,
        "comparison": cell.comparison,
        "scenario": case.scenario,
        "variant": case.variant,
    }
    constants |= {"world_size": case.world_size, "packed": case.packed, "probe": case.probe, "status": cell.state}
    constants |= {column: case.params.get(name) for name, column in columns.items()} | {CASE: case.key}
    rows = len(samples["seconds"])
    return samples | {name: np.array([value], dtype=object).repeat(rows) for name, value in constants.items()}


def _readings(cell: Cell) -> Columns:
    """What the ranks of a cell read, rank by rank; one empty row where it has no samples."""
    values, record = cell.samples, cell.record
    if values is None or record is None or record.status not in MEASURED:
        return {name: np.array([np.nan]) for name in READ}
    ranks, samples = values.start_s.shape
    return {
        "rank": np.arange(ranks).repeat(samples),
        "round": np.tile(values.round, ranks),
        "sample": np.tile(np.arange(samples), ranks),
        "position": np.tile(values.position, ranks),
        "inner": np.full(ranks * samples, record.inner),
        "start_s": values.start_s.ravel(),
        "seconds": values.seconds(record.inner).ravel(),
    }


MORE = ("side", "shared_device", "emulated")
"""Columns of runs with several sides, of those whose ranks shared a device, and of those on emulated devices."""


def csv(run: RunDir) -> str:
    """As comma-separated values."""
    text: str = _table(run).to_csv(index=False, lineterminator="\n")
    return text


def parquet(run: RunDir) -> bytes:
    """As Parquet. Raises UsageError where pyarrow is not installed."""
    table, file = _table(run), io.BytesIO()
    kinds = dict.fromkeys(("scenario", "variant", "status"), "string")
    kinds |= {name: _kind(table[name]) for name in table.columns if name not in (*COLUMNS, *MORE)}
    try:
        table.astype(kinds).to_parquet(file, engine="pyarrow", index=False)
    except ImportError:
        remedy = "pip install -e '.[parquet]'"
        raise UsageError("--format parquet", "needs pyarrow, which is not installed", None, remedy) from None
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
    if evidence.plan.emulation:
        whole = _with(whole, "emulated", True)
    return whole.sort_values("launch", kind="stable", ignore_index=True)


def _with(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    """A column more; a parameter of that name gives way."""
    renamed = table.rename(columns={name: f"param_{name}"})
    renamed.insert(1, name, values)
    return renamed


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
