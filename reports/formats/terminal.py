"""The terminal table: a row a case, warnings as short marks with a legend, and then the claims."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from reports.formats.fitting import CaseTable, Column, Row, hang
from reports.formats.fitting import show as show_cases
from reports.schema.cases import CellRow
from reports.schema.summary import ExerciseRow, Summary
from reports.text import labels, units
from reports.text.labels import FEW, Labels
from reports.wording.claims import SINGLE, leading
from reports.wording.columns import Entry, columns, lines
from reports.wording.tally import marks

CLAIMS = 12
"""Sentences that are printed below a table; the page has them all."""

STYLES = {"faster": "green", "slower": "red", "quiet": "dim", "bad": "yellow"}


def show(summary: Summary, console: Console) -> None:
    """Print the table, the legend of its marks, and the claims."""
    if summary.first:
        show_cases((_table(summary, wide=True), _table(summary, wide=False)), console)
        for line in _legend(summary.first):
            hang(line, console)
        console.print()
    if summary.chapter:
        _answers(summary.chapter, console)
        console.print()
    folded = SINGLE if summary.chapter and len(summary.about) > FEW else ()
    shown = leading(tuple(claim for claim in summary.claims if claim.kind not in folded), CLAIMS)
    for claim in shown:
        hang(sentence(claim.text, "red" if claim.kind == "failure" else ""), console)
    if len(shown) < len(summary.claims):
        more = units.count(len(summary.claims) - len(shown), "more claim")
        hang(Text(f"{more} {'is' if more.startswith('1 ') else 'are'} on the page.", "dim"), console)


def _answers(rows: Sequence[ExerciseRow], console: Console) -> None:
    """Each exercise's number and the sentence that answers it, its figures bold, and names, in backticks, italic."""
    room = max(len(labels.plain(row.exercise)) for row in rows) + 4
    for row in rows:
        number = Text(f"  {labels.plain(row.exercise)}".ljust(room), "" if row.answered else "red")
        hang(_answer(row), console, number, room)


def _answer(row: ExerciseRow) -> Text:
    if not row.answer:
        return Text("[not answered: the scenario has no sentence for it]", "red")
    built, name = Text(), False
    for text, quote in row.pieces:
        if quote is not None:
            built.append(text, "bold" if quote.known else "red")
            continue
        for place, part in enumerate(text.split("`")):
            name ^= place > 0
            built.append(part, "italic" if name else "")
    return built


def _table(summary: Summary, *, wide: bool) -> CaseTable:
    """The table; ``wide``: speed-ups and ratios show their intervals too."""
    names, letters = Labels.of(summary.first), marks(summary.first)
    shown, cases = columns(summary), lines(summary, summary.first)
    headings = [
        Column(
            column.heading if wide and not column.right else column.short,
            column.label,
            "right" if column.right else "left",
        )
        for column in shown
    ]
    most = max((len(row.warnings) for row in summary.first), default=0)
    rows: list[Row] = []
    before: int | None = None
    for line in cases:
        row = line.row
        if before != row.comparison and before is not None:
            rows.append(Row())
        if before != row.comparison and row.variant is not None:
            rows.append(Row(Text(names.comparison(row), "bold")))
        before = row.comparison
        name = f"  {labels.variant(row)}" if row.variant is not None else names.comparison(row)
        figures = [_figure(column.entry(line, not wide)) for column in shown]
        marked = Text("".join(sorted(letters[warning.kind] for warning in row.warnings)), "yellow")
        rows.append(Row(Text(name), row.world_size, (*figures, marked)))
    table = (*headings, Column("", "warnings", "left", most))
    return CaseTable(table, rows, padding=2 if wide else 1, name_width=18 if wide else 12, folds=not wide)


def _figure(entry: Entry) -> Text:
    figure = Text(entry.text, STYLES.get(entry.look, ""))
    return figure.append(f"{' ' if entry.text and entry.amiss else ''}{entry.amiss}", "red")


def _legend(cells: Iterable[CellRow]) -> list[Text]:
    return [Text(f"{letter} {kind}: {kind.remedy}", "yellow") for kind, letter in marks(cells).items()]


def sentence(text: str, style: str) -> Text:
    """Names stand in backticks: show them bold instead."""
    built = Text(style=style)
    for place, part in enumerate(text.split("`")):
        built.append(part, "bold" if place % 2 else "")
    return built
