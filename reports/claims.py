"""Claims: one sentence in plain English for everything that a run shows, and for what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from harness.doubts import REMEDIES, Kind
from reports import labels, units
from reports.estimates import FEWEST_LAUNCHES
from reports.labels import Labels
from reports.rows import CellRow, Claim, ContrastRow, FloorRow, Planned, RankRow, RunFacts
from reports.sentences import WORDS, comparison, scaling

TOGETHER = 3
"""So many cases that failed alike are told in one sentence."""
LONGEST = 160
"""Characters of an error message that a sentence may quote."""


@dataclass(frozen=True)
class Findings:
    """All rows of a summary that sentences are made of."""

    run: RunFacts
    strip: tuple[Planned, ...]
    cells: tuple[CellRow, ...]
    comparisons: tuple[ContrastRow, ...]
    floors: tuple[FloorRow, ...]
    ranks: tuple[RankRow, ...]
    aa: dict[int, float]


def claims(found: Findings) -> tuple[Claim, ...]:
    """Failures first, then scaling, comparisons, and what stands behind them."""
    names = Labels.of(found.cells)
    return (
        *_caveats(found),
        *_failures(found, names),
        *(scaling(row, names, found.aa[row.comparison]) for row in _widest(found.cells) if row.efficiency is not None),
        *(comparison(row, names) for row in _widest(found.comparisons)),
        *_ranks(found.ranks),
        *_load(found.cells),
        *_floor(found),
    )


Row = TypeVar("Row", CellRow, ContrastRow)


def _widest(rows: tuple[Row, ...]) -> list[Row]:
    """The most devices first, else in planned order."""
    return sorted(rows, key=lambda row: -row.world_size)


def leading(told: tuple[Claim, ...], most: int) -> tuple[Claim, ...]:
    """At most so many claims, in order: where there are too many, single cases of scaling and comparison give way."""
    if len(told) <= most:
        return told
    scaled, compared = (
        [place for place, claim in enumerate(told) if claim.kind == kind] for kind in ("scaling", "comparison")
    )
    room = max(most - (len(told) - len(scaled) - len(compared)), 2)
    first = min(max(room - len(compared), -(-room // 2)), len(scaled))
    dropped = {*scaled[first:], *compared[room - first :]}
    return tuple(claim for place, claim in enumerate(told) if place not in dropped)


def headline(found: Findings) -> str:
    """The run in one line: how far it scales, or what it compared, and whether all of it is ok."""
    bad = [cell for cell in found.strip if cell.status != "ok"]
    planned = units.count(len(found.strip), "planned cell")
    if bad:
        health = f"{len(bad)} of {planned} {'is' if len(bad) == 1 else 'are'} not ok"
    else:
        health = f"all {planned} are ok" if len(found.strip) > 1 else "the one planned cell is ok"
    return f"{_outcome(found)}; {health}."


def _outcome(found: Findings) -> str:
    names = Labels.of(found.cells)
    scaled = [
        row for row in found.cells if row.speedup is not None and row.scaling != "none" and not row.below_resolution
    ]
    if scaled:
        most = max(row.world_size for row in scaled)
        best = sorted((row for row in scaled if row.world_size == most), key=lambda row: row.speedup or 0)
        ends = [f"{units.times(row.speedup)} (`{names.case(row)}`)" for row in best]
        reach = ends[0] if len(ends) == 1 else f"from {ends[0]} to {ends[-1]}"
        return f"On {units.count(most, 'device')}: {reach}"
    verdicts = [WORDS[row.verdict] for row in found.comparisons]
    counted = [f"{verdicts.count(word)} {word}" for word in dict.fromkeys(WORDS.values()) if word in verdicts]
    if counted:
        return f"Arms against their baselines: {units.listed(counted)}"
    timed = sum(row.median_s is not None for row in found.cells)
    return f"{units.count(timed, 'case')} timed on {units.count(max(found.run.world_sizes), 'device')}"


def _caveats(found: Findings) -> Iterator[Claim]:
    if found.run.shared_device:
        yield Claim(kind="caveat", text="Several ranks shared one device, so nothing here is a scaling figure.")
    if found.run.launches_done < found.run.launches_planned:
        planned = units.count(found.run.launches_planned, "planned launch", "planned launches")
        told = f"{found.run.launches_done} of {planned}"
        yield Claim(kind="caveat", text=f"The run is not whole: {told} took place in full.")
    timed = [row for row in found.cells if row.launches]
    few = [row for row in timed if row.launches < FEWEST_LAUNCHES]
    if few:
        told = units.count(max(row.launches for row in few), "launch", "launches")
        who = (
            f"With {told} there are"
            if few == timed
            else f"For {units.count(len(few), 'case')} of {len(timed)} there are"
        )
        text = f"{who} no intervals and no verdicts: they need {FEWEST_LAUNCHES} launches (`--launches 6`)."
        yield Claim(kind="caveat", text=text)


def _failures(found: Findings, names: Labels) -> Iterator[Claim]:
    """A sentence for each case; one for all of them where several failed in the same way in the same launches."""
    by_case: dict[tuple[int, str], list[Planned]] = {}
    for cell in found.strip:
        by_case.setdefault((cell.comparison, cell.case), []).append(cell)
    rows = {(row.comparison, row.key): row for row in found.cells}
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
            yield Claim(kind="failure", text=f"{_failure(name, cells, _bad(cells), None)}{effect}")
            continue
        for key in keys:
            row, cells = rows.get(key), by_case[key]
            own = (
                f"`{names.case(row)}` on {units.count(row.world_size, 'device')}"
                if row
                else f"`{labels.plain(key[1])}`"
            )
            yield Claim(kind="failure", text=_failure(own, cells, _bad(cells), row), comparison=key[0])
    yield from _absent(found)


def _bad(cells: list[Planned]) -> list[Planned]:
    return [cell for cell in cells if cell.status not in ("ok", "missing")]


def _absent(found: Findings) -> Iterator[Claim]:
    missing = sum(cell.status == "missing" for cell in found.strip)
    if missing:
        told = f"{missing} of {units.count(len(found.strip), 'planned cell')} {'is' if missing == 1 else 'are'} missing"
        yield Claim(kind="failure", text=f"{told}: nothing was recorded for them. `--resume` measures what is missing.")


def _failure(name: str, cells: list[Planned], bad: list[Planned], row: CellRow | None) -> str:
    words = units.listed(list(dict.fromkeys(cell.status for cell in bad)))
    where = f"in {len(bad)} of {units.count(len(cells), 'launch', 'launches')}"
    first = bad[0]
    who = f"rank {first.rank}: " if first.rank is not None else ""
    message = labels.plain(first.message or "no message")
    quoted = message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    effect = "" if row is None or row.median_s is not None else " It has no time."
    return f"{name}: {words} {where} ({who}{quoted.rstrip('.')}).{effect}"


def _ranks(rows: tuple[RankRow, ...]) -> Iterator[Claim]:
    by_rank: dict[int, list[RankRow]] = {}
    for row in rows:
        if row.named:
            by_rank.setdefault(row.rank, []).append(row)
    for rank, named in sorted(by_rank.items()):
        worst = max(named, key=lambda row: row.ratio)
        told = f"{units.times_between(worst.ratio, worst.ratio_low, worst.ratio_high)} the time of its peers"
        more = f", and in {units.count(len(named) - 1, 'more case')}" if len(named) > 1 else ""
        share = f"slowest in {units.percent(worst.slowest_share)} of its samples"
        text = f"Rank {rank} ({worst.device}) is slow: {told} in `{labels.plain(worst.key)}`, {share}{more}."
        yield Claim(kind="ranks", text=text)
    if rows and not by_rank:
        able = any(row.ratio_low is not None for row in rows)
        text = (
            "No rank is slower than its peers."
            if able
            else f"No rank can be named: that takes {FEWEST_LAUNCHES} launches."
        )
        yield Claim(kind="ranks", text=text)


def _load(cells: tuple[CellRow, ...]) -> Iterator[Claim]:
    loaded = [caution for row in cells for caution in row.warnings if caution.kind is Kind.FOREIGN_LOAD]
    if loaded:
        cases = f"{len(loaded)} of {units.count(len(cells), 'case')}"
        fact = labels.plain(loaded[0].fact).replace(": e.g. ", ": ")
        text = f"Other processes disturbed {cases}, e.g. {fact}: {REMEDIES[Kind.FOREIGN_LOAD]}."
        yield Claim(kind="load", text=text)


def _floor(found: Findings) -> Iterator[Claim]:
    if not found.floors:
        return
    least, most = (end(row.median_s for row in found.floors) for end in (min, max))
    told = units.seconds(most) if units.seconds(least) == units.seconds(most) else f"at most {units.seconds(most)}"
    under = sum(row.below_resolution for row in found.cells)
    reach = f"{units.count(under, 'case')} below resolution" if under else "no time here is within its reach"
    yield Claim(kind="floor", text=f"A step that does nothing takes {told}: {reach}.")
