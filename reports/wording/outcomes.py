"""Claims about what failed, and about what was never recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.journal.records import MEASURED
from reports.reading.run import WORST_FIRST, State
from reports.schema.summary import Claim, Planned, Summary
from reports.text import labels, units
from reports.text.labels import Labels

TOGETHER = 3
"""So many cases that failed alike are told in one sentence."""
LONGEST = 160
"""Characters of an error message that a sentence may quote."""


def failures(summary: Summary, names: Labels) -> Iterator[Claim]:
    """A sentence for each case; one for all of them where several failed in the same way in the same launches."""
    by_case: dict[tuple[int, str], list[Planned]] = {}
    for cell in summary.strip:
        by_case.setdefault((cell.comparison, cell.case), []).append(cell)
    rows = {(row.comparison, row.key): row for row in summary.first}
    alike: dict[tuple[object, ...], list[tuple[int, str]]] = {}
    for key, cells in by_case.items():
        ways = tuple((cell.launch, cell.status, cell.rank, cell.message) for cell in _bad(cells))
        if ways:
            alike.setdefault(ways, []).append(key)
    for keys in alike.values():
        cells = by_case[keys[0]]
        if len(keys) >= TOGETHER:
            name = f"{len(keys)} of {units.count(len(by_case), 'case')}"
            timeless = any(rows[key].median_s is None for key in keys if key in rows)
            effect = " They have no times." if timeless else ""
            resume = f" `{summary.run.program} run --resume … --retry-failed` measures them again."
            again = resume if any(cell.failed for cell in cells) else ""
            yield Claim(kind="failure", text=f"{_failure(name, cells)}{effect}{again}")
            continue
        for key in keys:
            row, cells = rows.get(key), by_case[key]
            own = (
                f"`{names.case(row)}` on {units.count(row.world_size, 'device')}"
                if row
                else f"`{labels.plain(key[1])}`"
            )
            effect = " It has no time." if row and row.median_s is None else ""
            again = f" Again: `{labels.plain(line)}`" if (line := _again(cells)) else ""
            yield Claim(kind="failure", text=f"{_failure(own, cells)}{effect}{again}", comparison=key[0])
    yield from _absent(summary)


def _again(cells: list[Planned]) -> str | None:
    return next((cell.again for cell in _bad(cells) if cell.again), None)


def _bad(cells: list[Planned]) -> list[Planned]:
    return [cell for cell in cells if cell.status not in (*MEASURED, "missing")]


def _absent(summary: Summary) -> Iterator[Claim]:
    missing = sum(cell.status == "missing" for cell in summary.strip)
    if missing:
        planned = units.count(len(summary.strip), "planned cell")
        cells = f"{missing} of {planned} {'is' if missing == 1 else 'are'} missing"
        finish = f"`{summary.run.program} run --resume …` measures what is missing."
        yield Claim(kind="failure", text=f"{cells}: nothing was recorded for them. {finish}")


def _failure(name: str, cells: list[Planned]) -> str:
    bad = _bad(cells)
    words = units.listed(list(dict.fromkeys(cell.status for cell in bad)))
    where = f"in {len(bad)} of {units.count(len(cells), 'launch')}"
    first = bad[0]
    who = f"rank {first.rank}: " if first.rank is not None else ""
    return f"{name}: {words} {where} ({who}{quoted(first.message or 'no message')})."


def quoted(message: str) -> str:
    """As much of an error message as a sentence may quote."""
    return labels.cut(labels.plain(message), LONGEST).rstrip(".")


@dataclass(frozen=True)
class Fate:
    """A planned case and its cells, a launch each."""

    comparison: int
    key: str
    cells: Sequence[Planned]

    @cached_property
    def status(self) -> State:
        """The worst of all launches."""
        return min((cell.status for cell in self.cells), key=WORST_FIRST.index)

    @property
    def words(self) -> str:
        """In how many launches that happened, and what the first failing rank said."""
        bad = [cell for cell in self.cells if cell.status == self.status]
        who = f"rank {bad[0].rank}: " if bad[0].rank is not None else ""
        message = f" ({who}{quoted(bad[0].message)})" if bad[0].message else ""
        return f"{self.status} in {len(bad)} of {units.count(len(self.cells), 'launch')}{message}"


def outcomes(summary: Summary) -> tuple[Fate, ...]:
    """Every planned case once, in the order of the plan."""
    by_case: dict[tuple[int, str], list[Planned]] = {}
    for cell in summary.strip:
        by_case.setdefault((cell.comparison, cell.case), []).append(cell)
    return tuple(Fate(comparison, key, cells) for (comparison, key), cells in by_case.items())
