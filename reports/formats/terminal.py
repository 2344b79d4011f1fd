"""The terminal table: a row a case, warnings as short marks with a legend, and then the claims."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from harness.journal.measurement_warnings import REMEDIES
from reports.formats.fitting import CaseTable, Column, Row, hang
from reports.formats.fitting import show as show_cases
from reports.schema.cases import CellRow, ContrastRow
from reports.schema.summary import ExerciseRow, Summary
from reports.text import labels, units
from reports.text.labels import FEW, Labels
from reports.wording.claims import SINGLE, leading
from reports.wording.sentences import WORDS
from reports.wording.tally import marks

CLAIMS = 12
"""Sentences that are printed below a table; the page has them all."""

STYLES = {"faster": "green", "slower": "red"}


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
    contrasts: dict[tuple[int, str | None, int], ContrastRow] = {
        (row.comparison, row.variant, row.world_size): row for row in summary.comparisons
    }
    columns = (
        Column("time a step" if summary.run.emulated is None else "emulated time"),
        Column("speed-up", "speed-up"),
        Column("eff.", "efficiency"),
        Column("against baseline" if wide else "baseline", justify="left"),
        Column("", "warnings", "left", max((len(row.warnings) for row in summary.first), default=0)),
    )
    rows: list[Row] = []
    before: int | None = None
    for row in summary.first:
        if before != row.comparison and before is not None:
            rows.append(Row())
        if before != row.comparison and row.variant is not None:
            rows.append(Row(Text(names.comparison(row), "bold")))
        before = row.comparison
        name = f"  {labels.variant(row)}" if row.variant is not None else names.comparison(row)
        letters_of_row = "".join(sorted(letters[caution.kind] for caution in row.warnings))
        contrast = contrasts.get((row.comparison, row.variant, row.world_size))
        figures = (
            _time(row, summary.run.turns_planned),
            *map(Text, _scaling(row, wide=wide)),
            _against(row, contrast, summary, wide=wide),
            Text(letters_of_row, "yellow"),
        )
        rows.append(Row(Text(name), row.world_size, figures))
    return CaseTable(columns, rows, padding=2 if wide else 1, name_width=18 if wide else 12, folds=not wide)


def _time(row: CellRow, planned: int) -> Text:
    if row.median_s is None:
        who = f" (rank {row.rank})" if row.rank is not None else ""
        return Text(f"{row.status}{who}", "red")
    if row.below_resolution:
        return Text("below resolution", "yellow")
    text = Text(units.timed(row.median_s, row.ci_low_s, row.ci_high_s))
    if row.status == "ok":
        return text
    word = "" if row.status == "missing" else f" {row.status}"
    return text.append(f"{word} {row.launches}/{planned}", "red")


def _scaling(row: CellRow, *, wide: bool) -> tuple[str, str]:
    if row.efficiency is None or row.below_resolution:
        return "", ""
    speedup = units.times_between(row.speedup, row.speedup_low, row.speedup_high) if wide else units.times(row.speedup)
    return speedup if row.scaling != "none" else "", units.percent(row.efficiency)


def _against(row: CellRow, contrast: ContrastRow | None, summary: Summary, *, wide: bool) -> Text:
    if contrast is None:
        base = next((about.baseline for about in summary.about if about.comparison == row.comparison), None)
        return Text("baseline" if base is not None and row.variant == base else "", "dim")
    word, style = WORDS[contrast.verdict], STYLES.get(contrast.verdict, "")
    if contrast.ratio is None or not wide or contrast.verdict == "not comparable":
        return Text(word, style)
    return Text(f"{word} {units.change(contrast.ratio, contrast.ratio_low, contrast.ratio_high)}", style)


def _legend(cells: Iterable[CellRow]) -> list[Text]:
    return [Text(f"{letter} {kind}: {REMEDIES[kind]}", "yellow") for kind, letter in marks(cells).items()]


def sentence(text: str, style: str) -> Text:
    """Names stand in backticks: show them bold instead."""
    built = Text(style=style)
    for place, part in enumerate(text.split("`")):
        built.append(part, "bold" if place % 2 else "")
    return built
