"""Files of a run that is about to begin, or to go on: its journal is opened, and its environment written."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from harness import environment
from harness.lines import Journal
from harness.plan import Plan, Side
from harness.rundir import RunDir, write_whole


def opened(run: RunDir, console: Console) -> Journal:
    """The journal of a run; says so where its last line was torn, or where no lock keeps other runs out of it.

    Raises UsageError and JournalError as it does.
    """
    journal = Journal(run.journal_path)
    if journal.unlocked:
        told = f"{run.root} cannot be locked ({journal.unlocked}): let no other run write there meanwhile"
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if journal.torn_bytes:
        told = f"{journal.path} ended within a line: its {journal.torn_bytes} bytes are kept in {journal.torn_path}"
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return journal


def fingerprints(run: RunDir, plan: Plan) -> dict[str, str]:
    """Write environment.json: the first side's, and what the others have otherwise. Returns each side's hash."""
    first, *others = ((side.name, _described(side, plan)) for side in plan.sides)
    told = first[1] | (
        {"sides": {name: environment.differences(first[1], its) for name, its in others}} if others else {}
    )
    write_whole(run.environment_path, json.dumps(told, indent=1) + "\n")
    return {name: str(its["hash"]) for name, its in (first, *others)}


def _described(side: Side, plan: Plan) -> dict[str, Any]:
    own = side.python or side.variables
    return (
        environment.described_by(side, plan.devices, environment.code_of(plan))
        if own
        else environment.describe(plan.devices)
    )
