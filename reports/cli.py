"""What the command line asks of the reports; ``harness`` names these functions and loads them late."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

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
    text = exports.export(RunDir(run), format)
    if out is None:
        sys.stdout.write(text)
    else:
        write_whole(out, text)
