"""What the command line asks of the reports; ``harness`` names these functions and loads them late."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.common.errors import UsageError
from harness.journal.log import torn_bytes
from harness.journal.run_directory import RunDir, write_whole
from reports.formats import formats, terminal
from reports.schema.cases import SideRow
from reports.schema.summary import Summary
from reports.text import units


@dataclass(frozen=True)
class Reported:
    """A run whose summary and page were written."""

    page: Path
    summary: Summary

    def show(self, console: Console) -> None:
        """Print its table, its claims, and where its page is."""
        terminal.show(self.summary, console)
        run = RunDir(self.page.parent)
        if torn := torn_bytes(run.journal_path):
            what = f"ends within a line, which is left out ({torn} bytes): --resume measures its cell again"
            text = f"{run.journal_path} {what}"
            console.print(f"\n{text}", style="yellow", highlight=False, markup=False, soft_wrap=True)
        console.print(f"\nreport: {self.page}", highlight=False, soft_wrap=True)
        if files := sum(len(row.files) for row in self.summary.profiles):
            console.print(
                f"profiles: {run.profiles_path} ({units.count(files, 'trace')})", highlight=False, soft_wrap=True
            )

    @property
    def outcome(self) -> tuple[bool, bool]:
        """Of a duel: whether a case is slower on its other side for certain, and whether anything is undecided."""
        rows = [row for row in self.summary.sides if not row.control]
        slower = any(row.confirmed for row in rows)
        return slower, any(row.verdict in ("undecided", "not comparable") or _unsure(row) for row in rows)


def report(runs: list[Path]) -> Iterator[Reported]:
    """Write summary.json and report.html of each run, one after the other."""
    from reports.page.page import write

    return (Reported(RunDir(root).page_path, write(RunDir(root))) for root in runs)


def history(reported: Sequence[Reported], console: Console) -> None:
    """Write a page of all runs that were measured alike, and say which were not, a line each."""
    from reports.compare.history import PastRun, alike, apart
    from reports.compare.history_page import write

    runs = {report.page.parent.resolve(): PastRun(RunDir(report.page.parent), report.summary) for report in reported}
    groups, alone = alike(runs.values())
    for group in groups:
        console.print(f"history of {len(group)} runs: {write(group)}", highlight=False, soft_wrap=True)
    for entry in alone:
        against = groups[0] if groups else [report for report in alone if report is not entry][:1]
        why = apart(entry, against) if against else f"{entry.run.root}: it is one run"
        console.print(f"no history of {why}", highlight=False, soft_wrap=True, markup=False)


def _unsure(row: SideRow) -> bool:
    return row.verdict == "slower" and not row.confirmed


def compare(  # noqa: PLR0913
    base: Path, new: Path, margin: float | None, form: str, console: Console, *, accept_unchecked: bool = False
) -> tuple[bool, bool]:
    """Compare two runs and print what came out; return whether NEW is worse, and whether anything is undecided."""
    from reports.compare import render
    from reports.compare.compare import compare as compared

    render.known(form)
    changes = compared(base, new, margin, accept_unchecked=accept_unchecked)
    render.printed(changes, form, console)
    return changes.regression, changes.undecided


def export(run: Path, format: str, out: Path | None) -> None:  # noqa: A002 - it is what the option is called
    """Write a run in another format to a file, or to standard output."""
    form = formats.known(format)
    text = form.write(RunDir(run))
    appended = os.environ.get(form.append_to) if form.append_to else None
    if out is not None:
        write_whole(out, text)
    elif isinstance(text, bytes):
        if sys.stdout.isatty():
            raise UsageError("--out", f"is missing, but {format} is no text", None, f"e.g. --out run.{format}")
        sys.stdout.buffer.write(text)
    elif appended:
        with Path(appended).open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
