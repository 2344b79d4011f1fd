"""The rows of causes: of each case that scales, the one that costs it most."""

from collections.abc import Iterable, Iterator

from reports.analysis.causes.candidates import Candidate, candidates
from reports.analysis.causes.symptoms import Symptoms
from reports.schema.cases import CellRow, RankRow
from reports.schema.diagnostics import CauseRow, HealthRow, LossRow
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.statistics.measured import Measured
from reports.wording.causes import clause

EXPLAINS = 0.5
"""A cause with direct evidence explains others that take at most twice as long as it does."""


def cause_rows(
    measured: Measured,
    cells: Iterable[CellRow],
    losses: Iterable[LossRow],
    ranks: Iterable[RankRow],
    health: Iterable[HealthRow],
) -> tuple[CauseRow, ...]:
    """At most one for each row of losses; none below the launches that an interval takes."""
    by_key = {(row.comparison, row.key): row for row in cells}
    ranks, health = list(ranks), list(health)
    return tuple(
        row
        for loss in losses
        if (cell := by_key[loss.comparison, loss.key]).launches >= FEWEST_LAUNCHES
        for row in _row(measured, cell, loss, ranks, health)
    )


def _row(
    measured: Measured, cell: CellRow, loss: LossRow, ranks: Iterable[RankRow], health: Iterable[HealthRow]
) -> Iterator[CauseRow]:
    key = (cell.comparison, cell.key)
    case = measured.evidence.by_case[key][0].case
    known = candidates(
        Symptoms(measured, case, cell, loss),
        [row for row in ranks if (row.comparison, row.key) == key],
        [row for row in health if (row.comparison, row.key) == key],
        [warning.kind for warning in cell.warnings],
    )
    if known:
        first = _first(known)
        places = [measured.evidence.place(rank) for rank in first.ranks]
        yield CauseRow(
            comparison=cell.comparison,
            key=cell.key,
            world_size=cell.world_size,
            cause=first.cause,
            ranks=first.ranks,
            share=first.share,
            text=clause(first.cause, first.ranks, places),
        )


def _first(known: tuple[Candidate, ...]) -> Candidate:
    """The one with the most direct evidence of those that take about as long as the longest."""
    longest = max(each.share for each in known)
    return next(each for each in known if each.share >= EXPLAINS * longest)
