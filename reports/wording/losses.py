"""What is said of a case's losses: what takes the seconds of a step above its ideal, and whose fault it is."""

from collections.abc import Iterator, Sequence
from statistics import median

from reports.schema.cases import RankRow
from reports.schema.diagnostics import LossRow
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.text import extremes, units
from reports.wording.ranks import in_short

STRETCH = 0.10
"""It is said where watching makes a step longer by more than this, or than the noise."""
WORTH = 0.05
"""A share of the seconds above the ideal below which nobody is asked who caused an imbalance."""


def sentence(
    row: LossRow, ranks: Sequence[RankRow], *, asymmetric: bool, clocks: tuple[float, float] | None = None
) -> str:
    """The whole of it; ``ranks`` are the case's own, and ``asymmetric`` says that their work is unequal by design.

    ``clocks`` are the seconds of a step by the host's and the device's own clock, where the host's sets the time.
    """
    if row.missing_s <= row.noise_s:
        return "A step takes no measurable time above its ideal."
    return " ".join(
        [_split(row), *_hidden(row), *_launching(clocks), *_blame(row, ranks, asymmetric=asymmetric), *_stretch(row)]
    )


def _launching(clocks: tuple[float, float] | None) -> Iterator[str]:
    """Of a step that is bound by the host: launching is the same on every rank, and is not divided among them."""
    if clocks is not None:
        launching, working = map(units.seconds, clocks)
        yield (
            f"Each rank's host takes {launching} to launch a step, and its device {working} to do it: "
            "launching is not divided among devices, and stands in other."
        )


def _split(row: LossRow) -> str:
    """The parts that are surely there, the greatest first, then those that are not, then what is not known and why."""
    above = f"{units.seconds(row.missing_s)} of a step above its ideal of {units.seconds(row.ideal_s)}"
    sure = sorted(((name, part) for name, part in row.parts.items() if part.sure), key=lambda each: -each[1].seconds)
    unknown = "".join(f"; {each}" for each in _unknown(row))
    if not sure:
        return f"The {above} cannot be split: {_why_not(row)}{unknown}."
    takes = [_share(name, part.seconds, "takes", row) for name, part in sure if part.seconds > 0]
    gives = [_share(name, -part.seconds, "gives back", row) for name, part in sure if part.seconds < 0]
    clauses = [_one_verb(shares, verb) for shares, verb in ((takes, "takes"), (gives, "gives back")) if shares]
    unsure = [name for name, part in row.parts.items() if not part.sure]
    if unsure:
        clauses.append(f"{units.listed(unsure)} {'is' if len(unsure) == 1 else 'are'} not measurable")
    return f"Of the {above}, {'; '.join(clauses)}{unknown}."


def _hidden(row: LossRow) -> Iterator[str]:
    """Of communication that goes on behind work, where it is worth a word."""
    if row.basis == "collectives" and row.overlap is not None and row.overlap > WORTH:
        hidden = units.seconds(median(row.hidden_s))
        yield f"Another {hidden} of communication, {units.percent(row.overlap)} of it, is hidden behind work."


def _one_verb(shares: Sequence[str], verb: str) -> str:
    """Shares in a list, of which the first alone has the verb."""
    first, *others = shares
    return units.listed([first, *(each.replace(f" {verb} ", " ", 1) for each in others)])


def _share(name: str, seconds: float, verb: str, row: LossRow) -> str:
    shown = f"{name} {verb} {units.seconds(seconds)}"
    if name != "communication" or row.bytes_per_s is None:
        return shown
    between = f" between {extremes.hosts(row.hosts)}" if len(row.hosts) > 1 else ""
    return f"{shown} ({units.amount(row.sent_bytes)} at {units.quantity(row.bytes_per_s, 'B/s')}{between})"


def _unknown(row: LossRow) -> Iterator[str]:
    if row.contention is None:
        yield "contention is not known, which takes one device alone and independent copies"
    if row.basis == "nothing":
        yield "imbalance and communication are not known, as not all messages were watched"


def _why_not(row: LossRow) -> str:
    if row.other.low is None:
        return f"that takes {FEWEST_LAUNCHES} launches"
    return "no part of it is beyond the noise"


def _blame(row: LossRow, ranks: Sequence[RankRow], *, asymmetric: bool) -> Iterator[str]:
    """Of an imbalance that is there: a rank that is slow, the design, or nobody."""
    if row.imbalance is None or not row.imbalance.sure or row.imbalance.seconds < WORTH * row.missing_s:
        return
    if row.slow_rank is not None:
        yield f"Rank {row.slow_rank}{f' ({row.slow_device})' if row.slow_device else ''} is slow."
    elif ranks:
        yield f"{in_short(ranks)}."
    elif asymmetric:
        yield "Its ranks have unequal work by design, so none of them can be called slow."


def _stretch(row: LossRow) -> Iterator[str]:
    if row.watched_s is None or row.time_s <= 0 or row.basis != "collectives":
        return
    times = row.watched_s / row.time_s
    if times - 1 > max(STRETCH, row.noise_s / row.time_s):
        longer = f"While its messages are watched a step takes {units.times(times)} as long"
        yield f"{longer}: where that is communication, it comes back in other."
