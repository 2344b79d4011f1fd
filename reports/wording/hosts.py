"""What is said of hosts against each other: who is slow, that none is, or that it is undecided."""

from collections.abc import Iterator, Sequence

from reports.schema.cases import HostRow
from reports.schema.summary import Claim
from reports.text import labels, units
from reports.wording.ranks import standing


def host_claims(rows: Sequence[HostRow]) -> Iterator[Claim]:
    """Each slow host; or one sentence on all, where launches are enough for one."""
    match standing(rows) if rows else "few launches":
        case "slow":
            yield from (Claim(kind="hosts", text=text) for text in _slow(rows))
        case "nobody":
            limit = units.percent(max(row.limit for row in rows) - 1)
            text = f"Measured by itself, no host is slower than the others by more than {limit}."
            yield Claim(kind="hosts", text=text)
        case "undecided":
            row = max(rows, key=lambda row: row.ratio_high or 0.0)
            text = f"Whether a host is slow is undecided: `{row.host}` takes {_against_others(row)}."
            yield Claim(kind="hosts", text=text)


def _slow(rows: Sequence[HostRow]) -> Iterator[str]:
    by_host: dict[str, list[HostRow]] = {}
    for row in rows:
        if row.named:
            by_host.setdefault(row.host, []).append(row)
    for host, named in by_host.items():
        worst = max(named, key=lambda row: row.ratio)
        often = f"slowest in {worst.slowest_launches} of {units.count(worst.launches, 'launch')}"
        more = f", and in {units.count(len(named) - 1, 'more case')}" if len(named) > 1 else ""
        yield f"Host `{labels.plain(host)}` is slow by itself: {_against_others(worst)}, {often}{more}."


def _against_others(row: HostRow) -> str:
    ratio = units.times_between(row.ratio, row.ratio_low, row.ratio_high)
    whose = "the other host" if row.peers == 1 else "the other hosts"
    return f"{ratio} the time of {whose} in `{labels.plain(row.key)}`"
