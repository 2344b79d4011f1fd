"""A comparison of two runs in the terminal: one sentence, a row a case, and what stands behind them."""

from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.text import Text

from harness.common.errors import UsageError
from harness.common.text import nearest
from reports.compare import wording
from reports.compare.wording import outcome
from reports.formats import fitting
from reports.formats import markdown as md
from reports.formats.fitting import CaseTable, Column, Row, hang
from reports.formats.terminal import sentence
from reports.schema.compare import ChangeRow, Changes
from reports.statistics.verdicts import limit_in_brief
from reports.text import labels, units
from reports.text.labels import Labels

STYLES = {"broken": "red", "slower": "red", "unconfirmed": "yellow", "faster": "green"}
WORDS = {"unconfirmed": "slower*", "equivalent": "no difference"}
"""Outcomes that are said otherwise in a narrow column."""
REASONS = 12
"""Sentences on single cases that are printed; the JSON has them all."""


def show(changes: Changes, console: Console) -> None:
    """Print it all."""
    style = "red" if changes.regression else "bold"
    hang(Text(changes.headline, style), console, Text(""), 0)
    for line in (wording.differing(changes), wording.machine(changes)):
        hang(Text(line), console, Text(""), 2)
    console.print()
    fitting.show([_table(changes)], console)
    console.print()
    reasons = list(wording.reasons(changes))
    for broken, text in reasons[:REASONS]:
        hang(sentence(text, "red" if broken else ""), console)
    if len(reasons) > REASONS:
        hang(Text(f"{len(reasons) - REASONS} more of these are in --format json.", "dim"), console)
    for text in (*changes.remarks, wording.gate(changes)):
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
    names, before = wording.names(changes), None
    rows: list[Row] = []
    for row in changes.cases:
        comparison = names.comparison(row)
        if row.variant is not None and before != comparison:
            if before is not None:
                rows.append(Row())
            rows.append(Row(Text(comparison, "bold")))
        before = comparison
        name = f"  {labels.variant(row)}" if row.variant is not None else comparison
        rows.append(Row(Text(name), row.world_size, _figures(row, clocked=clocked)))
    return CaseTable(headings, rows, padding=1, name_width=16)


def _figures(row: ChangeRow, *, clocked: bool) -> tuple[Text, ...]:
    name, known = outcome(row), row.ratio is not None
    return (
        Text(units.seconds(row.base_median_s)),
        Text(units.seconds(row.new_median_s)),
        Text(units.change(row.ratio, row.ratio_low, row.ratio_high) if known else ""),
        *([Text(wording.cycles(row))] if clocked else []),
        Text(limit_in_brief(row) if known else ""),
        Text(WORDS.get(name, name), STYLES.get(name, "")),
    )


HEAD = ("case", "devices:", "BASE:", "NEW:", "NEW / BASE:", "in cycles:", "margin:", "verdict")
MARKDOWN_WORDS = {
    "broken": "**broken**",
    "slower": "**slower**",
    "unconfirmed": "slower*",
    "equivalent": "no difference",
}
"""Outcomes that are said otherwise."""


def comment(changes: Changes) -> str:
    """The comment, below GitHub's limit."""
    called = wording.names(changes)
    worse = [row for row in changes.cases if row.broken or row.confirmed]
    others = [row for row in changes.cases if row not in worse]
    opening = [
        f"### {changes.headline}",
        "",
        f"{md.sentence(wording.differing(changes))} {wording.machine(changes)}",
        *(f"\n{md.sentence(text)}" for text in changes.remarks),
    ]
    reasons = [(broken, f"- {md.sentence(text)}") for broken, text in wording.reasons(changes)]
    blocks = [
        md.Block(list(_rows(worse, called)), md.head(*HEAD)),
        md.Block([text for broken, text in reasons if broken]),
        md.Block(list(_rows(others, called)), md.head(*HEAD), f"{units.count(len(others), 'other case')}", not worse),
        md.Block([text for broken, text in reasons if not broken], title="Why others have no verdict"),
        md.Block([*filter(None, [wording.gate(changes)])], title="How it is judged"),
    ]
    return md.fitted(opening, blocks, md.COMMENT, "`--format json` has them all.")


def _rows(rows: Iterable[ChangeRow], called: Labels) -> Iterator[str]:
    for row in rows:
        name, known = outcome(row), row.ratio is not None
        yield md.row(
            md.code(called.case(row)),
            str(row.world_size),
            units.seconds(row.base_median_s),
            units.seconds(row.new_median_s),
            units.change(row.ratio, row.ratio_low, row.ratio_high) if known else "",
            wording.cycles(row),
            limit_in_brief(row) if known else "",
            MARKDOWN_WORDS.get(name, name),
        )


FORMS: dict[str, Callable[[Changes], str] | None] = {"table": None, "markdown": comment, "json": Changes.to_json}
"""What ``rankbench compare --format`` knows; None is the terminal's table."""


def known(form: str) -> None:
    """Raise UsageError for a format that is not known."""
    if form not in FORMS:
        raise UsageError("--format", "be a known format", repr(form), nearest(form, FORMS))


def printed(changes: Changes, form: str, console: Console) -> None:
    """Print it in a format that is known."""
    write = FORMS[form]
    if write is None:
        show(changes, console)
    else:
        console.file.write(write(changes))
