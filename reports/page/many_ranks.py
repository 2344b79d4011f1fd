"""What a page says of many ranks: the extremes of its tables, and hosts instead of ranks."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from reports.schema.cases import RankRow
from reports.schema.summary import RankPlace, Summary
from reports.text import units
from reports.text.extremes import GREATEST, MOST, ends, extremes


def folded(summary: Summary) -> str:
    """A sentence beside what leaves ranks out; empty where all of them are shown."""
    if max(summary.run.world_sizes, default=1) <= MOST:
        return ""
    return f" Of more than {MOST} ranks the {GREATEST} slowest and the {MOST - GREATEST} fastest are shown."


def rank_table(rows: Sequence[RankRow]) -> dict[str, list[RankRow]]:
    """The rows of each case: of many ranks the slowest, the fastest, and those that are named."""
    by_case: dict[str, list[RankRow]] = {}
    for row in rows:
        by_case.setdefault(row.key, []).append(row)
    return {key: _shown(every) for key, every in by_case.items()}


def _shown(rows: list[RankRow]) -> list[RankRow]:
    named = [place for place, row in enumerate(rows) if row.named]
    return [rows[place] for place in extremes([row.ratio for row in rows], named)]


def drawn(rows: Sequence[RankRow]) -> list[RankRow]:
    """Those of the ranks that are drawn: in any of their cases the slowest, the fastest, or named."""
    worst: dict[int, float] = {}
    for row in rows:
        worst[row.rank] = max(worst.get(row.rank, 0.0), row.ratio)
    ranks, named = sorted(worst), {row.rank for row in rows if row.named}
    places = extremes([worst[rank] for rank in ranks], [place for place, rank in enumerate(ranks) if rank in named])
    shown = {ranks[place] for place in places}
    return [row for row in rows if row.rank in shown]


def places(ranks: Sequence[RankPlace]) -> Iterator[tuple[str, str, float]]:
    """Who is where, and the error of its clock, in seconds: each of a few ranks; of many, each host with all of its."""
    if len(ranks) <= MOST:
        yield from ((f"rank {each.rank}", each.place, each.clock_error_s) for each in ranks)
        return
    for host, on_host in groupby(ranks, key=lambda each: each.place.rpartition(", ")[0]):
        every = list(on_host)
        error_s = max(each.clock_error_s for each in every)
        yield f"ranks {every[0].rank} to {every[-1].rank}", f"{host}, {units.count(len(every), 'device')}", error_s


def cores(cpus: Sequence[Sequence[int]]) -> str:
    """The cores of each rank; of many ranks those of the first and of the last."""
    each = ["+".join(map(str, own)) for own in cpus]
    return "; ".join(each) if len(each) <= MOST else ends(each)
