"""Exports: a run in the formats of other tools. To add one, add a function to ``reports.formats`` and a line here."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.journal.run_directory import RunDir
from reports.analysis.summary import summarise
from reports.formats.action_benchmark import action_benchmark
from reports.formats.comment import SUMMARY_VARIABLE, comment, job_summary
from reports.formats.junit import junit
from reports.formats.openmetrics import openmetrics
from reports.formats.samples import csv, parquet


@dataclass(frozen=True)
class Format:
    """How a run is written in one format."""

    write: Callable[[RunDir], str | bytes]
    append_to: str | None = None
    """The environment variable that names the file to append to, where no other is asked for."""


def _json(run: RunDir) -> str:
    return summarise(run).to_json()


FORMATS: dict[str, Format] = {
    "csv": Format(csv),
    "parquet": Format(parquet),
    "json": Format(_json),
    "markdown": Format(comment),
    "github": Format(job_summary, append_to=SUMMARY_VARIABLE),
    "junit": Format(junit),
    "openmetrics": Format(openmetrics),
    "github-action-benchmark": Format(action_benchmark),
}
"""What ``rankbench export --format`` knows; its help says what each is for."""


def known(form: str) -> Format:
    """The format of that name. Raises UsageError for one that is not known."""
    if form not in FORMATS:
        raise UsageError("--format", "be a known format", repr(form), nearest(form, FORMATS))
    return FORMATS[form]


def export(run: RunDir, form: str) -> str | bytes:
    """The run in a format, as text or, where it is none, as bytes. Raises UsageError for one that is not known."""
    return known(form).write(run)
