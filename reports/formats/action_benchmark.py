"""A run for github-action-benchmark, its ``customSmallerIsBetter`` tool: a chart a case, over the commits.

A case without a time that may be shown is left out: the action has no way to say that something failed.
"""

import json
from typing import Any

from harness.journal.run_directory import RunDir
from reports.analysis.summary import summarise
from reports.reading.run import FAILED
from reports.schema.cases import CellRow
from reports.schema.summary import Summary
from reports.text import labels, units

UNIT, SCALE = "ms", 1e3
"""One unit for all cases and for ever: the action compares bare numbers."""


def action_benchmark(run: RunDir) -> str:
    """A JSON array; names are the cases' keys, which stay the same from commit to commit."""
    summary = summarise(run)
    rows = (row for row in summary.cells if row.timed and row.status not in FAILED)
    entries = [_entry(row, row.median_s, summary) for row in rows if row.median_s is not None]
    return json.dumps(entries, indent=1) + "\n"


def _entry(row: CellRow, median_s: float, summary: Summary) -> dict[str, Any]:
    side = f" on {row.side}" if len(summary.run.sides) > 1 else ""
    emulated = " (emulated)" if summary.run.emulated is not None else ""
    name = labels.plain(f"{row.key}{side}{emulated}")
    entry: dict[str, Any] = {"name": name, "unit": UNIT, "value": median_s * SCALE}
    if row.ci_low_s is not None and row.ci_high_s is not None:
        entry["range"] = f"{units.digits(row.ci_low_s * SCALE, 4)} to {units.digits(row.ci_high_s * SCALE, 4)}"
    return entry | {"extra": "\n".join(_extra(row, summary))}


def _extra(row: CellRow, summary: Summary) -> list[str]:
    launches = units.count(row.launches, "launch")
    lines = [f"{launches}, {units.count(row.samples, 'sample')}"]
    if row.scaled:
        lines.append(f"speed-up {units.times_between(row.speedup, row.speedup_low, row.speedup_high)}")
    lines += [f"{caution.kind}: {labels.plain(caution.fact)}" for caution in row.warnings]
    return [*lines, f"environment {summary.run.fingerprint}"]
