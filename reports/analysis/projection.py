"""Projection: what more devices might do, by every model at once; refused where the run cannot tell.

Nothing here is measured, and nothing may be gated on it.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from reports.reading.run import Topology
from reports.schema.cases import CellRow
from reports.schema.diagnostics import HoldOut, Projected, ProjectionRow, Refusal
from reports.statistics.estimates import FEWEST_LAUNCHES, ratio
from reports.statistics.measured import Measured
from reports.text import units
from reports.text.labels import Labels

Array = npt.NDArray[np.float64]

FAMILIES: Mapping[str, Callable[[Array], Array]] = {
    "Amdahl": lambda q: np.stack([np.ones_like(q), 1 / q], axis=1),
    "USL": lambda q: np.stack([np.ones_like(q), 1 / q, q - 1], axis=1),
    "Amdahl + log": lambda q: np.stack([np.ones_like(q), 1 / q, np.log2(q)], axis=1),
}
"""The terms of each at counts q: shape [counts, terms]."""
DRAWS = 400
"""How often launches are drawn anew."""
TAIL = 0.5
"""Per cent of a family's draws that its band leaves out on each side: few, since few launches vary too little."""


def speedups(counts: Array, seconds: Array, at: Array, seed: int) -> dict[str, Array]:
    """Speed-ups over the smallest count, by family; shape [draws, at].

    ``seconds`` is what a share of work takes: shape [launches, counts], the smallest count first. A draw takes as many
    launches as there are, with replacement, all counts of each together, and fits their medians.
    """
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(seconds), (DRAWS, len(seconds)))
    medians = np.median(seconds[drawn], axis=1)
    own, others = counts / counts[0], at / counts[0]
    return {name: medians[:, :1] / (fitted(terms(own), medians) @ terms(others).T) for name, terms in FAMILIES.items()}


def fitted(terms: Array, seconds: Array) -> Array:
    """Coefficients, shape [draws, terms], of least squares of relative errors, none of them below 0.

    ``terms`` is [counts, terms] and ``seconds`` [draws, counts]. The best is best without a bound too, of those terms
    whose coefficients are above 0: all choices of terms are tried, seven of three, each for all draws at once.
    """
    relative = terms / seconds[:, :, None]
    best, least = np.zeros((len(seconds), terms.shape[1])), np.full(len(seconds), np.inf)
    places = range(terms.shape[1])
    for chosen in (list(each) for size in places for each in combinations(places, size + 1)):
        columns = relative[:, :, chosen]
        turned = columns.transpose(0, 2, 1)
        solution = np.linalg.solve(turned @ columns, turned.sum(axis=2)[:, :, None])
        off = ((columns @ solution)[:, :, 0] - 1) ** 2
        better = (solution[:, :, 0] >= 0).all(axis=1) & (off.sum(axis=1) < least)
        best[better] = 0
        best[np.ix_(better, chosen)] = solution[better, :, 0]
        least[better] = off.sum(axis=1)[better]
    return best


def band(draws: Array) -> tuple[float, float]:
    """What a family's draws leave of one number."""
    low, high = np.percentile(draws, [TAIL, 100 - TAIL])
    return float(low), float(high)


def envelope(bands: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The least and the most that any family says."""
    return min(low for low, _ in bands.values()), max(high for _, high in bands.values())


FEWEST_COUNTS = 4
"""Of devices: three models cannot be told apart by fewer."""
HORIZON = (2, 4)
"""How many times the largest count may be projected to: where that one could not be foretold, and where it could."""
UNEVEN = 0.01
"""Work that divides over devices less well than this has steps that no model knows."""


@dataclass(frozen=True)
class Line:
    """One variant of a comparison at all its counts of devices, as far as it has times."""

    cells: tuple[CellRow, ...]
    counts: Array
    seconds: Array
    """What a share of work takes: [launches, counts], of the launches that have all counts."""
    seed: int

    @classmethod
    def of(cls, measured: Measured, cells: Sequence[CellRow]) -> Self:
        """From the rows of one variant. Of weak scaling, with p times the work on p devices, a share takes T(p) / p."""
        timed = sorted((row for row in cells if row.timed), key=lambda row: row.world_size)
        values = {row.world_size: measured.values((row.comparison, row.key)) for row in timed}
        counts = np.array(list(values), dtype=float)
        table = pd.DataFrame(values).dropna()
        share = counts if timed and timed[0].scaling == "weak" else np.ones_like(counts)
        name = f"{measured.evidence.plan.seed}/{cells[0].comparison}/{cells[0].variant}"
        return cls(tuple(timed), counts, table.to_numpy(dtype=float) / share, zlib.crc32(name.encode()))


def projection_rows(measured: Measured, cells: Sequence[CellRow]) -> tuple[ProjectionRow, ...]:
    """One for each variant of a comparison that claims to scale, whether it can be projected or not."""
    variants: dict[tuple[int, str | None], list[CellRow]] = {}
    for row in cells:
        if row.scaling != "none":
            variants.setdefault((row.comparison, row.variant), []).append(row)
    names, topology = Labels.of(cells), Topology.of(measured.evidence)
    return tuple(_row(measured, lines, topology, names.case(lines[0])) for lines in variants.values() if len(lines) > 1)


def _row(measured: Measured, cells: Sequence[CellRow], topology: Topology, name: str) -> ProjectionRow:
    line = Line.of(measured, cells)
    counts = tuple(int(count) for count in line.counts)
    row = ProjectionRow(
        comparison=cells[0].comparison,
        scenario=cells[0].scenario,
        variant=cells[0].variant,
        scaling=cells[0].scaling,
        base_world_size=counts[0] if counts else None,
        counts=counts,
        text="",
    )
    refusal = _refusal(measured, line)
    if refusal:
        return _refused(row, refusal, name)
    hold_out = _hold_out(line)
    row = row.model_copy(update={"hold_out": hold_out, "horizon": HORIZON[hold_out.contained] * counts[-1]})
    targets = [*_targets(counts[-1], row.horizon or 0, topology)]
    reasons = {target: topology.refusal(counts, target) for target in targets}
    allowed = [target for target, reason in reasons.items() if reason is None]
    if not allowed:
        reason = f"{targets[0]} devices are not predictable from this data: {reasons[targets[0]]}"
        return _refused(row, Refusal(kind="topology", reason=reason), name)
    row = row.model_copy(update={"points": tuple(_points(line, [counts[-1], *allowed]))})
    beyond = next((reason for reason in reasons.values() if reason), None)
    limit = f" Of more devices nothing is said: {beyond}." if beyond else ""
    return row.model_copy(update={"text": f"{_text(row, name)}{limit}"})


def _targets(most: int, horizon: int, topology: Topology) -> Iterator[int]:
    """The doubles of the largest count, and as many devices as one host has, up to the horizon."""
    doubles = (most * 2**k for k in range(1, horizon.bit_length()))
    room = [topology.room] if topology.room is not None and most < topology.room else []
    yield from sorted({target for target in (*doubles, *room) if target <= horizon})


def _refusal(measured: Measured, line: Line) -> Refusal | None:
    counts = [int(count) for count in line.counts]
    if measured.evidence.plan.shared_device:
        reason = "ranks shared devices, so that no time here is that of so many devices"
        return Refusal(kind="shared-device", reason=reason)
    if len(counts) < FEWEST_COUNTS:
        counted = f"{len(counts)} ({units.listed([str(count) for count in counts])})" if counts else "none"
        reason = f"it needs {FEWEST_COUNTS} device counts, and this run has {counted}"
        return Refusal(kind="few-counts", reason=reason)
    if len(line.seconds) < FEWEST_LAUNCHES:
        launches = units.count(len(line.seconds), "launch has", "launches have")
        reason = f"it needs {FEWEST_LAUNCHES} launches that have all counts, and {launches}"
        return Refusal(kind="few-launches", reason=reason)
    return _asymmetric(line)


def _asymmetric(line: Line) -> Refusal | None:
    for row in line.cells:
        devices = row.world_size / line.counts[0]
        if row.ideal_speedup is not None and row.ideal_speedup < (1 - UNEVEN) * devices:
            best = f"at best {units.times(row.ideal_speedup)} on {row.world_size} devices"
            return Refusal(kind="uneven-work", reason=f"its work divides unequally, {best}, and no model knows how")
    return None


def _refused(row: ProjectionRow, refusal: Refusal, name: str) -> ProjectionRow:
    text = f"`{name}`: no projection: {refusal.reason}."
    return row.model_copy(update={"refusal": refusal, "horizon": None, "text": text})


def _hold_out(line: Line) -> HoldOut:
    """The largest count, foretold from the others."""
    most, known = line.counts[-1:], line.counts[:-1]
    draws = speedups(known, line.seconds[:, :-1], most, line.seed)
    low, high = envelope({name: band(draw[:, 0]) for name, draw in draws.items()})
    speedup = ratio(*(pd.Series(line.seconds[:, place]) for place in (0, -1)))
    if speedup is None or speedup.low is None or speedup.high is None:
        raise AssertionError("fewer launches are refused before")
    middle = float(np.median(np.concatenate([draw[:, 0] for draw in draws.values()])))
    return HoldOut(
        world_size=int(most[0]),
        measured=speedup.value,
        measured_low=speedup.low,
        measured_high=speedup.high,
        low=low,
        high=high,
        contained=low <= speedup.high and speedup.low <= high,
        error=middle / speedup.value - 1,
    )


def _points(line: Line, targets: Sequence[int]) -> Iterator[Projected]:
    at = np.array([count for target in targets for count in (target, target - 1)], dtype=float)
    draws = speedups(line.counts, line.seconds, at, line.seed)
    for place, target in enumerate(targets):
        families = {name: band(draw[:, 2 * place]) for name, draw in draws.items()}
        adds = {name: band(draw[:, 2 * place] - draw[:, 2 * place + 1]) for name, draw in draws.items()}
        low, high = envelope(families)
        least, most = envelope(adds)
        share = float(line.counts[0]) / target
        yield Projected(
            world_size=target,
            speedup_low=low,
            speedup_high=high,
            efficiency_low=low * share,
            efficiency_high=high * share,
            adds_low=least,
            adds_high=most,
            families=families,
        )


def _text(row: ProjectionRow, name: str) -> str:
    """What might be, how well the same models foretold what was measured, and that nothing of it is measured."""
    base = "one" if row.base_world_size == 1 else str(row.base_world_size)
    might, than = ("have", f"that it has on {base}") if row.scaling == "weak" else ("be", f"as on {base}")
    what = "the throughput" if row.scaling == "weak" else "as fast"
    spans = [_between(point.speedup_low, point.speedup_high) for point in row.points[1:]]
    ahead = [f"{span} on {point.world_size}" for span, point in zip(spans, row.points[1:], strict=True)]
    ahead[0] = f"{spans[0]} {what} on {row.points[1].world_size} devices"
    last = row.points[-1]
    adds = f"the last of {last.world_size} {_adding(last.adds_low, last.adds_high)}"
    text = f"Not measured: `{name}` might {might} {units.listed(ahead)} {than}; {adds}."
    if row.hold_out is None:
        return text
    held = row.hold_out
    foretold = f"{_between(held.low, held.high)} on {held.world_size}"
    behind = f"From fewer devices the same models foretell {foretold}, where {units.times(held.measured)} was measured"
    limit = "" if held.contained else f", so that nothing is said beyond {row.horizon} devices"
    return f"{text} {behind} (off by {units.deviation(held.error)}){limit}."


def _between(low: float, high: float) -> str:
    return f"{units.span(low, high, high)}{units.TIMES}"


def _adding(low: float, high: float) -> str:
    if low >= 0:
        return f"adds {_between(low, high)}"
    if high <= 0:
        return f"takes {_between(-high, -low)} away"
    return f"adds up to {units.times(high)}, or takes up to {units.times(-low)} away"
