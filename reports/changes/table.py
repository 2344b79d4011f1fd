"""A comparison of two runs in the terminal: one sentence, a row a case, and what stands behind them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reports import columns, labels, units
from reports.changes import sentences
from reports.changes.headline import outcome
from reports.changes.rows import ChangeRow, Changes
from reports.columns import CaseTable, Column, Row, hang
from reports.table import sentence
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
    columns.show([_table(changes)], console)
    console.print()
    told = list(sentences.reasons(changes))
    for broken, text in told[:REASONS]:
        hang(sentence(text, "red" if broken else ""), console)
    if len(told) > REASONS:
        hang(Text(f"{len(told) - REASONS} more of these are in --format json.", "dim"), console)
    for text in (*changes.remarks, sentences.gate(changes)):
        if text:
            hang(sentence(text, "" if text in changes.remarks else "dim"), console)


def _table(changes: Changes) -> CaseTable:
    clocked = any(row.in_cycles for row in changes.cases)
    headings = (
        Column("BASE", "BASE"),
        Column("NEW", "NEW"),
        Column("NEW / BASE", "NEW / BASE"),
        *([Column("in cycles", "in cycles")] if clocked else []),
        Column("margin", "margin"),
        Column("verdict", justify="left"),
    )
    names, before = sentences.names(changes), None
    rows: list[Row] = []
    for row in changes.cases:
        comparison = names.comparison(row)
        if row.arm is not None and before != comparison:
            if before is not None:
                rows.append(Row())
            rows.append(Row(Text(comparison, "bold")))
        before = comparison
        name = f"  {labels.arm(row)}" if row.arm is not None else comparison
        rows.append(Row(Text(name), row.world_size, _figures(row, clocked=clocked)))
    return CaseTable(headings, rows, padding=1, name_width=16)


def _figures(row: ChangeRow, *, clocked: bool) -> tuple[Text, ...]:
    name, known = outcome(row), row.ratio is not None
    return (
        Text(units.seconds(row.base_median_s)),
        Text(units.seconds(row.new_median_s)),
        Text(units.change(row.ratio, row.ratio_low, row.ratio_high) if known else ""),
        *([Text(sentences.cycles(row))] if clocked else []),
        Text(limit_in_brief(row) if known else ""),
        Text(WORDS.get(name, name), STYLES.get(name, "")),
    )
