"""The figures that an answer may quote, by name, and how each is put into words."""

from __future__ import annotations

from collections.abc import Callable

from reports import labels, units
from reports.book import NoFigureError, Subject, contrast, named
from reports.crossings import crossing
from reports.rows import CellRow, ContrastRow
from reports.verdicts import limit_in_words

NO_INTERVAL = "no interval yet"


def figure(subject: Subject, name: str) -> str:
    """A figure in words. Raises NoFigureError."""
    if name in FIGURES:
        return FIGURES[name](subject)
    row = subject.row()
    known = row.params | ({row.arm_field: row.arm} if row.arm_field and row.arm is not None else {}) | row.facts
    if name not in known:
        raise NoFigureError(f"{labels.plain(row.arm or row.scenario)} has no figure called {labels.plain(name)}")
    return labels.plain(units.told(name, known[name]))


def _time(subject: Subject) -> str:
    return units.seconds(subject.timed().median_s)


def _held(subject: Subject) -> str:
    row = subject.row()
    return _in_memory(row, row.held_bytes)


def _memory(subject: Subject) -> str:
    row = subject.row()
    return _in_memory(row, row.peak_bytes)


def _in_memory(row: CellRow, size: int | None) -> str:
    if size is None:
        raise NoFigureError(f"the memory of {named(row)} is not known")
    return units.memory(size)


def _traffic(subject: Subject) -> str:
    row = subject.row(subject.sizes[-1])
    if row.traffic_bytes is None:
        raise NoFigureError(f"the traffic of {named(row)} is not known")
    return units.amount(row.traffic_bytes)


def _reads(subject: Subject) -> str:
    row = subject.row()
    if row.host_reads is None:
        raise NoFigureError(f"the reads of {named(row)} are not known")
    return units.number(row.host_reads)


def _speedup(subject: Subject) -> str:
    """On the most devices, whether that is said or not."""
    most = _most(subject)
    row, base = subject.timed(most), subject.timed(subject.sizes[0])
    if row.speedup is None or row.base_world_size != base.world_size:
        raise NoFigureError(f"{named(row)} and {named(base)} have no launch in common")
    grounds = _interval(row.speedup, row.speedup_low, row.speedup_high)
    what = "the throughput" if row.scaling == "weak" else "as fast"
    than = f"of {base.world_size}" if row.scaling == "weak" else f"as on {base.world_size}"
    return f"{units.times(row.speedup)} {what} on {units.count(most, 'device')} {than} {grounds}"


def _most(subject: Subject) -> int:
    """The most devices. Raises NoFigureError where no speed-up can be told of them."""
    most = subject.sizes[-1]
    if len(subject.sizes) == 1:
        raise NoFigureError(f"only {units.count(most, 'device')} {'was' if most == 1 else 'were'} measured")
    if subject.book.shared_device:
        raise NoFigureError("several ranks shared one device")
    return most


def _ideal(subject: Subject) -> str:
    """The speed-up on the most devices that the shares of the work allow."""
    row = subject.row(_most(subject))
    if row.ideal_speedup is None:
        raise NoFigureError(f"what speed-up {named(row)} can have is not known")
    return units.times(row.ideal_speedup)


def _ceiling(subject: Subject) -> str:
    """The speed-up that this machine's most devices reach at all, in products that need nothing of one another."""
    row = subject.row(_most(subject))
    if row.ceiling_speedup is None:
        raise NoFigureError(f"what speed-up this machine allows was not measured beside {named(row)}")
    return units.times(row.ceiling_speedup)


def _versus(subject: Subject) -> str:
    """The arm against its baseline, in the words of its verdict."""
    return contrast_in_words(contrast(subject.book, subject.comparisons[0], subject.arm, subject.size))


def contrast_in_words(row: ContrastRow) -> str:
    """E.g. ``faster than each by 49 % of its time (−50 to −48 %; margin 5 %)``."""
    ratio, baseline = row.ratio or 1.0, labels.plain(row.baseline)
    if row.ratio_low is None or row.ratio_high is None:
        return f"not told apart from {baseline} ({units.change(ratio)} time, {NO_INTERVAL})"
    grounds = f"({units.change_span(ratio, row.ratio_low, row.ratio_high)}; {limit_in_words(row)})"
    change = units.change(ratio, row.ratio_low, row.ratio_high).partition(" [")[0]
    if row.verdict in ("faster", "slower"):
        return f"{row.verdict} than {baseline} by {change.lstrip(f'+{units.MINUS}')} of its time {grounds}"
    if row.verdict == "equivalent":
        return f"no different from {baseline} {grounds}"
    return f"undecided against {baseline} ({change} time, {grounds.removeprefix('(')}"


def _interval(value: float, low: float | None, high: float | None) -> str:
    return f"({NO_INTERVAL})" if low is None or high is None else f"({units.span(low, high, value)})"


def _crossover(subject: Subject) -> str:
    """Where it is, and its grounds: what is in doubt there, and the widest margin that it was judged by."""
    found = crossing(subject)
    place, _, doubt = str(found.bracket).removesuffix(")").partition(" (")
    grounds = [doubt, "" if found.sure else NO_INTERVAL, str(found.margin)]
    return f"{place} ({'; '.join(filter(None, grounds))})"


FIGURES: dict[str, Callable[[Subject], str]] = {
    "time": _time,
    "versus": _versus,
    "speedup": _speedup,
    "ideal": _ideal,
    "ceiling": _ceiling,
    "held": _held,
    "memory": _memory,
    "traffic": _traffic,
    "reads": _reads,
    "crossover": _crossover,
}
"""The figures that every arm has; any other name is a fact of its check, or an axis."""
