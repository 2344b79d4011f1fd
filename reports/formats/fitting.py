"""Cases in the terminal: a table where it fits, and a list where the terminal is too narrow for columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

ROOMY = 10_000
"""Columns of a terminal in which every table has its natural width."""


@dataclass(frozen=True)
class Column:
    """A column of figures."""

    heading: str
    label: str = ""
    """What stands before its figure in a list, where the figure does not speak for itself."""
    justify: Literal["left", "right"] = "right"
    min_width: int = 0


@dataclass(frozen=True)
class Row:
    """A case at one number of devices; without devices it is a heading, or an empty line."""

    name: Text = field(default_factory=Text)
    devices: int = 0
    figures: tuple[Text, ...] = ()


@dataclass(frozen=True)
class CaseTable:
    """Rows under columns; the first two are always the case's name and its number of devices."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    padding: int
    name_width: int
    """To how many columns names may be folded."""
    folds: bool = True
    """Whether they may be folded at all, so that the rest fits."""

    def fits(self, console: Console) -> bool:
        """Whether it can be printed with nothing cut."""
        longest = max((len(row.name) for row in self.rows), default=0)
        folded = max(0, longest - self.name_width) if self.folds else 0
        natural = self.table().__rich_measure__(console, console.options.update_width(ROOMY)).maximum
        return natural - folded <= console.width

    def table(self) -> Table:
        """The rich table."""
        table = Table(box=None, pad_edge=False, padding=(0, self.padding, 0, 0), header_style="bold", show_edge=False)
        table.add_column("case", overflow="fold", min_width=self.name_width)
        table.add_column("dev", justify="right", no_wrap=True)
        for column in self.columns:
            table.add_column(column.heading, justify=column.justify, min_width=column.min_width, no_wrap=True)
        for row in self.rows:
            figures: tuple[Text, ...] = (Text(str(row.devices)), *row.figures) if row.devices else ()
            table.add_row(row.name, *figures)
        return table

    def list(self, console: Console) -> None:
        """Print each case as an item: its name, and below it the figures for each number of devices."""
        before = Text()
        for row in self.rows:
            if not row.name:
                console.print()
            elif row.name != before:
                hang(row.name, console, Text())
            before = row.name
            if row.devices:
                figures = (
                    Text(f"{column.label} ", "dim").append_text(figure) if column.label else figure
                    for column, figure in zip(self.columns, row.figures, strict=True)
                    if figure
                )
                count = Text(f"{row.devices} device{'s' * (row.devices > 1)}: ", "dim")
                hang(count.append_text(Text(", ").join(figures)), console, Text(" " * 4), room=6)


def show(tables: Sequence[CaseTable], console: Console) -> None:
    """Print the first of several tables of the same cases that fits; the last as a list where none does."""
    for table in tables:
        if table.fits(console):
            console.print(table.table())
            return
    tables[-1].list(console)


def hang(text: Text, console: Console, lead: Text | None = None, room: int = 4) -> None:
    """Print wrapped text behind ``lead``, all of its lines but the first indented by ``room``; no trailing blanks."""
    for place, line in enumerate(text.wrap(console, max(console.width - room, 20))):
        line.rstrip()
        before = Text(" " * room) if place else Text("  ") if lead is None else lead
        console.print(before.append_text(line), soft_wrap=True)
