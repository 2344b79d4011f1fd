"""Columns of a table of cases, in the terminal, in Markdown and on the page. To add one, add it to ``COLUMNS``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from harness.journal.records import MEASURED
from reports.schema.cases import CellRow, ContrastRow, InCycles
from reports.schema.summary import Summary
from reports.text import units
from reports.wording.sentences import WORDS

Look = Literal["", "quiet", "bad", "faster", "slower"]


@dataclass(frozen=True)
class Line:
    """A case, and what its figures are held against."""

    row: CellRow
    contrast: ContrastRow | None
    is_baseline: bool
    launches: int
    """That its side was to have."""

    @property
    def scales(self) -> bool:
        """Whether its scaling may be shown."""
        return self.row.efficiency is not None and not self.row.below_resolution


@dataclass(frozen=True)
class Entry:
    """What stands in one column of a line."""

    text: str = ""
    look: Look = ""
    amiss: str = ""
    """What is not as it should be, behind the text."""
    value: float | None = None
    """The figure itself, to sort by."""
    in_cycles: InCycles | None = None
    """The same in clock cycles."""


@dataclass(frozen=True)
class Column:
    """A column of figures."""

    heading: str
    short: str
    """The heading in a terminal."""
    entry: Callable[[Line, bool], Entry]
    """Of a line; with intervals, or brief."""
    label: str = ""
    """What stands before the figure in a list, where it does not speak for itself."""
    right: bool = True
    """Whether its figures are aligned on the right."""

    def entries(self, lines: Iterable[Line], *, brief: bool = False) -> list[Entry]:
        """All of them."""
        return [self.entry(line, brief) for line in lines]


def _time(line: Line, brief: bool) -> Entry:  # noqa: FBT001 - as every column's
    row = line.row
    if row.median_s is None:
        return Entry(amiss=row.status + (f" (rank {row.rank})" if row.rank is not None else ""))
    if row.below_resolution:
        return Entry("below resolution", "bad")
    short = f"{'' if row.status == 'missing' else f'{row.status} '}{row.launches}/{line.launches}"
    amiss = short if brief else f"{row.status}, {row.launches} of {line.launches}"
    if row.status in MEASURED and row.launches == line.launches:
        amiss = "" if row.status == "ok" else row.status
    return Entry(units.timed(row.median_s, row.ci_low_s, row.ci_high_s), amiss=amiss, value=row.median_s)


def _speedup(line: Line, brief: bool) -> Entry:  # noqa: FBT001
    row = line.row
    if not line.scales or row.scaling == "none":
        return Entry()
    ends = (None, None) if brief else (row.speedup_low, row.speedup_high)
    return Entry(units.times_between(row.speedup, *ends), value=row.speedup, in_cycles=row.in_cycles)


def _efficiency(line: Line, _brief: bool) -> Entry:  # noqa: FBT001
    return Entry(units.percent(line.row.efficiency), value=line.row.efficiency) if line.scales else Entry()


def _against(line: Line, brief: bool) -> Entry:  # noqa: FBT001
    row = line.contrast
    if row is None:
        return Entry("baseline", "quiet") if line.is_baseline else Entry()
    word, look = WORDS[row.verdict], row.verdict if row.verdict in ("faster", "slower") else ""
    if row.ratio is None or row.verdict == "not comparable" or brief:
        return Entry(word, look, value=row.ratio, in_cycles=row.in_cycles)
    change = units.change(row.ratio, row.ratio_low, row.ratio_high)
    return Entry(f"{word} {change}", look, value=row.ratio, in_cycles=row.in_cycles)


COLUMNS = (
    Column("time of a step", "time a step", _time),
    Column("speed-up", "speed-up", _speedup, "speed-up"),
    Column("efficiency", "eff.", _efficiency, "efficiency"),
    Column("against baseline", "baseline", _against, right=False),
)


def columns(summary: Summary) -> tuple[Column, ...]:
    """They say of what clocks their times are."""
    if summary.run.emulated is None:
        return COLUMNS
    return replace(COLUMNS[0], heading="emulated time", short="emulated time"), *COLUMNS[1:]


def lines(summary: Summary, rows: Iterable[CellRow]) -> list[Line]:
    """These cases; contrasts are those of the first side."""
    first = summary.run.sides[0].name if summary.run.sides else ""
    return [
        Line(
            row,
            summary.contrasts.get((row.comparison, row.variant, row.world_size)) if row.side == first else None,
            row.variant is not None and row.variant == summary.about[row.comparison].baseline,
            summary.run.turns_planned,
        )
        for row in rows
    ]
