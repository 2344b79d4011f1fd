"""Exports: a run in the formats of other tools. To add one, add a function and its name to ``FORMATS``."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import UsageError, nearest
from harness.rundir import RunDir
from reports.evidence import load
from reports.frame import OWN, frame


def csv(run: RunDir) -> str:
    """Long and tidy: a row a sample and rank, a row for a cell without samples; see ``reports.frame``."""
    table = frame(load(run)).drop(columns=list(OWN))
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


FORMATS: dict[str, Callable[[RunDir], str]] = {"csv": csv}
"""What ``rankbench export --format`` knows."""


def export(run: RunDir, form: str) -> str:
    """The run as text in a format. Raises UsageError for one that is not known."""
    if form not in FORMATS:
        raise UsageError("--format", "be a known format", repr(form), nearest(form, FORMATS))
    return FORMATS[form](run)
