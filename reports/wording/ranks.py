"""What is said of ranks against their peers: who is slow, that nobody is, or that it is undecided or not known."""

from collections.abc import Iterator, Sequence
from typing import Literal

from reports.schema.cases import CellRow, HostRow, RankRow
from reports.schema.summary import Claim
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.text import labels, units

Standing = Literal["slow", "nobody", "undecided", "few launches"]
"""What rows of ranks, or of hosts, decide: that some are slow, that none is by more than the limit, or neither."""
ENOUGH = 0.1
"""A rank is called slow without more words where it is so in this share of the cases, undisturbed."""
NOTABLE = 0.02
"""A rank that is surely slower by more than this is told even where it is below the limit."""


def standing(rows: Sequence[RankRow] | Sequence[HostRow]) -> Standing:
    """What ``rows``, at least one, say together."""
    if any(row.named for row in rows):
        return "slow"
    ends = [(row.ratio_high, row.limit) for row in rows]
    if all(high is not None and high <= limit for high, limit in ends):
        return "nobody"
    return "undecided" if any(high is not None for high, _ in ends) else "few launches"


def _by_rank(rows: Sequence[RankRow], *, sure: bool) -> dict[int, list[RankRow]]:
    """The named rows of each rank that is slow in enough cases undisturbed (``sure``), or that is not."""
    cases = len({(row.comparison, row.key) for row in rows})
    by_rank: dict[int, list[RankRow]] = {}
    for row in rows:
        if row.named:
            by_rank.setdefault(row.rank, []).append(row)
    enough = {rank: sum(not row.disturbed for row in named) >= ENOUGH * cases for rank, named in by_rank.items()}
    return {rank: named for rank, named in sorted(by_rank.items()) if enough[rank] == sure}


def in_short(rows: Sequence[RankRow]) -> str:
    """The answer as a clause that begins a sentence; every part of a report that speaks of slow ranks repeats it."""
    match standing(rows):
        case "slow":
            slow = _by_rank(rows, sure=True)
            names = units.listed([f"{rank} ({named[0].device})" for rank, named in slow.items()])
            if slow:
                return f"Rank {names} is slow" if len(slow) == 1 else f"Ranks {names} are slow"
            return "; ".join(_seldom(rank, named, rows) for rank, named in _by_rank(rows, sure=False).items())
        case "nobody":
            return f"No rank is slower than its peers by more than {units.percent(max(row.limit for row in rows) - 1)}"
        case "undecided":
            return "Whether a rank is slow is undecided"
        case "few launches":
            return f"No rank can be named: that takes {FEWEST_LAUNCHES} launches"


def rank_claims(cells: Sequence[CellRow], rows: Sequence[RankRow]) -> Iterator[Claim]:
    """The run's answer: each slow rank, or how far the slowest may be; and for how many cases it is not known."""
    if rows and standing(rows) == "slow":
        yield from (Claim(kind="ranks", text=text) for text in _named(rows))
        for rank, named in _by_rank(rows, sure=False).items():
            worst = max(named, key=lambda row: row.ratio)
            yield Claim(kind="ranks", text=f"{_seldom(rank, named, rows)}: at worst it takes {_against_peers(worst)}.")
    elif rows:
        yield Claim(kind="ranks", text=f"{in_short(rows)}{_furthest(rows)}.")
    unseen = [row for row in cells if row.rank_basis == "nothing"]
    if unseen:
        several = sum(row.rank_basis is not None for row in cells)
        which = "" if len(unseen) == several else f" in {len(unseen)} of {units.count(several, 'case')}"
        why = "not all of their messages were watched, and messages make ranks equally late"
        yield Claim(kind="ranks", text=f"Whether a rank is slow{which} on several devices is not known: {why}.")


def _named(rows: Sequence[RankRow]) -> Iterator[str]:
    for rank, named in _by_rank(rows, sure=True).items():
        worst = max(named, key=lambda row: row.ratio)
        more = f", and in {units.count(len(named) - 1, 'more case')}" if len(named) > 1 else ""
        often = f"in {worst.slowest_launches} of {units.count(worst.launches, 'launch')}"
        share = f"slowest {often} and in {units.percent(worst.slowest_share)} of the samples"
        yield f"Rank {rank} ({worst.device}) is slow: {_against_peers(worst)}, {share}{more}."


def _seldom(rank: int, named: Sequence[RankRow], rows: Sequence[RankRow]) -> str:
    """A clause about a rank that is slow in few cases, or only where other processes disturbed it."""
    cases = len({(row.comparison, row.key) for row in rows})
    where = f"In {len(named)} of {units.count(cases, 'case')} rank" if cases > 1 else "Rank"
    disturbed = sum(row.disturbed for row in named)
    which = "" if disturbed == len(named) else f" in {disturbed} of them"
    why = f", disturbed{which} by other processes" if disturbed else ""
    return f"{where} {rank} ({named[0].device}) is slower than its peers{why}"


def _furthest(rows: Sequence[RankRow]) -> str:
    """The rank that is surely slower, though not by the limit, or that may be by most; empty where nothing is sure."""
    known = [row for row in rows if row.ratio_low is not None and row.ratio_high is not None]
    surely = [row for row in known if row.ratio_low is not None and row.ratio_low > 1 + NOTABLE]
    undecided = [row for row in known if row.ratio_high is not None and row.ratio_high > row.limit]
    shown = max(undecided or surely, key=lambda row: row.ratio_high or 0.0, default=None)
    return f": rank {shown.rank} ({shown.device}) takes {_against_peers(shown)}" if shown else ""


def _against_peers(row: RankRow) -> str:
    return f"{over_peers(row)} in `{labels.plain(row.key)}`"


def over_peers(row: RankRow) -> str:
    """E.g. ``1.22× [1.20, 1.24] the time outside collectives of its peers``."""
    ratio = units.times_between(row.ratio, row.ratio_low, row.ratio_high)
    what = "time outside collectives" if row.basis == "work" else "time"
    return f"{ratio} the {what} of its peers"
