"""What is said of a case's losses: what each factor costs of the speed-up that is missing, and whose fault it is."""

from __future__ import annotations

from collections.abc import Iterator

from reports import units
from reports.rows import CellRow
from reports.why_rows import LossRow

STRETCH = 0.10
"""It is said where watching makes a step longer by more than this, or than the noise."""
NOTHING = "nothing measurable"


def sentence(row: LossRow, cell: CellRow) -> str:
    """The whole of it; ``cell`` is the row of the same case."""
    if row.missing <= row.noise:
        return "Nothing measurable is missing."
    return " ".join([_costs(row), *_blame(row, cell), *_stretch(row, cell)])


def _costs(row: LossRow) -> str:
    missing = round(row.missing, 2)
    known = [name for name in row.costs if name != "rest" and not (name == "communication" and row.basis == "times")]
    unknown = [name for name in ("contention", "imbalance", "communication") if name not in row.costs]
    rest = units.listed([*unknown, "the rest"])
    sure = {name: cost for name in known if (cost := _cost(row, name)) > 0}
    left = round(missing - sum(sure.values()), 2)
    if not sure and "rest" not in row.sure:
        return f"The missing {_speedup(missing)} cannot be split into {units.listed([*known, rest])} here."
    told = [f"{name} {_speedup(sure[name]) if name in sure else NOTHING}" for name in known]
    told = [*told, f"{'and ' if told else ''}{rest} {_rest(row, left)}"]
    return f"Of the missing {_speedup(missing)}, {', '.join(told).replace(' ', ' costs ', 1)}."


def _cost(row: LossRow, name: str) -> float:
    """As it is said: 0 where it is not sure, or too little to be said."""
    return max(round(row.costs.get(name, 0.0), 2), 0.0) if name in row.sure else 0.0


def _rest(row: LossRow, left: float) -> str:
    if "rest" not in row.sure or not left:
        return NOTHING
    return _speedup(left) if left > 0 else f"gives back {_speedup(-left)}"


def _speedup(cost: float) -> str:
    return f"{cost:.2f}{units.TIMES}"


def _blame(row: LossRow, cell: CellRow) -> Iterator[str]:
    """Of an imbalance that is there: a rank that is slow, the division of the work, or nobody."""
    if not _cost(row, "imbalance"):
        return
    if row.slow_rank is not None:
        yield f"Rank {row.slow_rank} is slow."
    elif cell.ideal_speedup is not None and round(cell.ideal_speedup, 2) < _devices(cell):
        yield f"The work divides unequally: at best {units.times(cell.ideal_speedup)}."
    else:
        yield "No rank is slow by itself."


def _stretch(row: LossRow, cell: CellRow) -> Iterator[str]:
    if row.watched_s is None or cell.median_s is None:
        return
    times = row.watched_s / cell.median_s
    if times - 1 > max(STRETCH, row.noise / _devices(cell)):
        told = f"While its collectives are watched a step takes {units.times(times)} as long"
        yield f"{told}: what they overlap with otherwise counts as communication, and comes back in the rest."


def _devices(cell: CellRow) -> float:
    return cell.world_size / (cell.base_world_size or 1)
