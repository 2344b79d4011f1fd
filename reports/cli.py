"""What the command line asks of the reports; ``harness`` names these functions and loads them late."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from harness.errors import UsageError
from harness.rundir import RunDir, write_whole
from reports import exports, summary
from reports import table as terminal


def report(runs: list[Path]) -> list[Path]:
    """Write summary.json and report.html of each run; return the pages' paths."""
    from reports.page import write

    return [write(RunDir(root)) for root in runs]


def table(run: Path, console: Console) -> None:
    """Print the table and the claims of a run."""
    terminal.show(summary.summarise(RunDir(run)), console)


def compare(base: Path, new: Path, margin: float | None, form: str, console: Console) -> tuple[bool, bool]:
    """Compare two runs and print what came out; return whether NEW is worse, and whether anything is undecided."""
    from reports.changes import forms
    from reports.changes.changes import compare as compared

    forms.known(form)
    changes = compared(base, new, margin)
    forms.printed(changes, form, console)
    return changes.regression, changes.undecided


def export(run: Path, format: str, out: Path | None) -> None:  # noqa: A002 - it is what the option is called
    """Write a run in another format to a file, or to standard output."""
    form = exports.known(format)
    told = form.write(RunDir(run))
    appended = os.environ.get(form.append_to) if form.append_to else None
    if out is not None:
        write_whole(out, told)
    elif isinstance(told, bytes):
        if sys.stdout.isatty():
            raise UsageError("--out", f"be given for {format}, which is no text", "missing", f"e.g. --out run.{format}")
        sys.stdout.buffer.write(told)
    elif appended:
        with Path(appended).open("a", encoding="utf-8") as file:
            file.write(told)
    else:
        sys.stdout.write(told)
