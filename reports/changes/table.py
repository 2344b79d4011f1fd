"""A comparison of two runs in the terminal: one sentence, a row a case, and what stands behind them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports import labels, units
from reports.changes import sentences
from reports.changes.headline import outcome
from reports.changes.rows import ChangeRow, Changes
from reports.labels import Labels
from reports.table import hang, sentence
from reports.verdicts import limit_in_brief

STYLES = {"broken": "red", "slower": "red", "unconfirmed": "yellow", "faster": "green"}
WORDS = {"unconfirmed": "slower*", "equivalent": "no difference"}
"""Outcomes that are said otherwise in a narrow column."""
REASONS = 12
"""Sentences on single cases that are printed; the JSON has them all."""


def show(changes: Changes, console: Console) -> None:
    """Print it all."""
    style = "red" if changes.regression else "bold"
    hang(Text(changes.headline, style), console, Text(""), 0)
    for line in (sentences.differing(changes), sentences.machine(changes)):
        hang(Text(line), console, Text(""), 2)
    console.print()
    console.print(_table(changes))
    console.print()
    told = list(sentences.reasons(changes))
    for broken, text in told[:REASONS]:
        hang(sentence(text, "red" if broken else ""), console)
    if len(told) > REASONS:
        hang(Text(f"{len(told) - REASONS} more of these are in --format json.", "dim"), console)
    for text in (*changes.remarks, sentences.gate(changes)):
        if text:
            hang(sentence(text, "" if text in changes.remarks else "dim"), console)


def _table(changes: Changes) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    table.add_column("case", overflow="fold", min_width=16)
    for name in ("dev", "BASE", "NEW", "NEW / BASE"):
        table.add_column(name, justify="right", no_wrap=True)
    clocked = any(row.in_cycles for row in changes.cases)
    if clocked:
        table.add_column("in cycles", justify="right", no_wrap=True)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    called, before = sentences.names(changes), None
    for row in changes.cases:
        name = called.comparison(row)
        if row.arm is not None and before != name:
            if before is not None:
                table.add_row()
            table.add_row(Text(name, "bold"))
        before = name
        table.add_row(*_cells(row, called, clocked=clocked))
    return table


def _cells(row: ChangeRow, called: Labels, *, clocked: bool) -> tuple[Text | str, ...]:
    name, found = outcome(row), row.ratio is not None
    return (
        Text(f"  {labels.arm(row)}" if row.arm is not None else called.comparison(row)),
        str(row.world_size),
        units.seconds(row.base_median_s),
        units.seconds(row.new_median_s),
        units.change(row.ratio, row.ratio_low, row.ratio_high) if found else "",
        *([sentences.cycles(row)] if clocked else []),
        limit_in_brief(row) if found else "",
        Text(WORDS.get(name, name), STYLES.get(name, "")),
    )
