"""What stands beside a case's time: marks of its warnings, and a table of what was counted and established."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.journal.measurement_warnings import Kind
from reports.reading.run import OUTCOMES
from reports.schema.cases import CellRow
from reports.text import labels, units


def marks(cells: Iterable[CellRow]) -> dict[Kind, str]:
    """A letter for each kind of warning that occurs, in order of first appearance."""
    kinds = dict.fromkeys(warning.kind for row in cells for warning in row.warnings)
    return {kind: chr(ord("a") + place) for place, kind in enumerate(kinds)}


COUNTS = {
    "launching": "launching, by the host",
    "device": "work, by the device",
    "held": "memory held",
    "memory": "memory a step adds",
    "reserved": "reserved",
    "power": "power",
    "energy": "energy a step",
    "thrift": "FLOP/s per watt",
    "traffic": "traffic",
    "reads": "host reads",
}
"""What is counted, with the headings of the columns."""
LEAST_MEMORY = 1 << 20
"""Bytes: on a CPU memory is resident memory, which grows by pages and by what libraries set aside."""


@dataclass(frozen=True)
class Tally:
    """A table of words."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str], ...]
    """A case's name, its figures, and what became of it where it has none."""

    @property
    def differs(self) -> bool:
        """Whether any two rows differ."""
        return len({(values, outcome) for _, values, outcome in self.rows}) > 1


def tally(rows: Sequence[CellRow], names: Sequence[str]) -> Tally:
    """The counts and facts of these names, as far as any case has them."""
    known = {name for row in rows for name in row.facts}
    columns = [name for name in dict.fromkeys(names) if name in COUNTS or name in known]
    sizes = len({row.world_size for row in rows})
    return Tally(
        tuple(COUNTS.get(name, spoken(name)) for name in columns), tuple(_line(row, columns, sizes) for row in rows)
    )


def telling(rows: Sequence[CellRow]) -> Tally:
    """All counts that say something, and all facts."""
    return tally(rows, list(_telling(rows)))


def _telling(rows: Sequence[CellRow]) -> Iterator[str]:
    if any(row.enqueue_s is not None for row in rows):
        yield from ("launching", "device")
    for name, sizes in {"held": [row.held_bytes for row in rows], "memory": [row.peak_bytes for row in rows]}.items():
        if max((size or 0 for size in sizes), default=0) >= LEAST_MEMORY:
            yield name
    if any(row.reserved_bytes is not None for row in rows):
        yield "reserved"
    if any(row.watts is not None for row in rows):
        yield from ("power", "energy")
    if any(row.flops_per_joule is not None for row in rows):
        yield "thrift"
    if any(row.traffic_bytes for row in rows):
        yield "traffic"
    if any(row.host_reads for row in rows):
        yield "reads"
    yield from dict.fromkeys(name for row in rows for name in row.facts)


def _line(row: CellRow, columns: Sequence[str], sizes: int) -> tuple[str, tuple[str, ...], str]:
    name = labels.plain(row.variant or row.scenario)
    where = f" on {row.world_size}" if sizes > 1 else ""
    outcome = OUTCOMES.get(row.status, "was not measured") if row.median_s is None else ""
    return f"{name}{where}", tuple(_told(row, column) for column in columns), outcome


WORDS: dict[str, Callable[[CellRow], str]] = {
    "launching": lambda row: units.NONE if row.enqueue_s is None else units.seconds(row.enqueue_s),
    "device": lambda row: units.NONE if row.device_s is None else units.seconds(row.device_s),
    "held": lambda row: units.memory(row.held_bytes),
    "memory": lambda row: units.memory(row.peak_bytes),
    "reserved": lambda row: units.memory(row.reserved_bytes),
    "power": lambda row: units.quantity(row.watts, "W"),
    "energy": lambda row: units.quantity(row.joules, "J"),
    "thrift": lambda row: units.quantity(row.flops_per_joule, "FLOP/s/W"),
    "traffic": lambda row: units.amount(row.traffic_bytes),
    "reads": lambda row: units.NONE if row.host_reads is None else units.number(row.host_reads),
}
"""What is counted, by name."""


def _told(row: CellRow, name: str) -> str:
    if name in WORDS:
        return WORDS[name](row)
    return labels.plain(units.fact_value(name, row.facts[name])) if name in row.facts else units.NONE


def spoken(name: str) -> str:
    """A fact's name as the heading of a column; its unit stands by the figures."""
    return labels.plain(name.removesuffix("_bytes").removesuffix("_s").replace("_", " "))
