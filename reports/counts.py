"""What was counted in one step, and what the checks established: figures that are not times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from harness.journal import RankFacts
from harness.plan import Value
from reports import units
from reports.evidence import CaseId
from reports.measured import Measured


def counts(measured: Measured, key: CaseId, median_s: float) -> dict[str, object]:
    """Memory, energy, traffic, reads and facts of a case whose step takes so long, as its row has them."""
    launches = _launches(measured, key)
    if not launches:
        return {}
    return _energy(launches, median_s) | {
        "held_bytes": _typical([fact.held_bytes for fact in facts] for facts in launches),
        "peak_bytes": _typical([fact.peak_bytes for fact in facts] for facts in launches),
        "reserved_bytes": _typical([fact.reserved_bytes for fact in facts] for facts in launches),
        "traffic_bytes": _typical([fact.traffic_bytes for fact in facts] for facts in launches),
        "host_reads": _typical([fact.host_reads for fact in facts] for facts in launches),
        "facts": _found([facts[0].found for facts in launches]),
    }


def _launches(measured: Measured, key: CaseId) -> list[tuple[RankFacts, ...]]:
    """Each launch's facts, an entry a rank; only of launches in which the case was ok."""
    cells = (cell for cell in measured.evidence.by_case[key] if cell.state == "ok")
    return [cell.record.facts for cell in cells if cell.record and cell.record.facts]


def _typical(launches: Iterable[Sequence[int | None]]) -> int | None:
    """Median over launches of the rank that has most; None where no launch tells."""
    most = [max(told) for ranks in launches if (told := [value for value in ranks if value is not None])]
    return round(median(most)) if most else None


def _energy(launches: Sequence[Sequence[RankFacts]], median_s: float) -> dict[str, object]:
    """Power of all ranks together, the median of the launches that know each rank's; and what follows from it."""
    told = [[fact.watts for fact in facts if fact.watts is not None] for facts in launches]
    known = [sum(watts) for watts, facts in zip(told, launches, strict=True) if len(watts) == len(facts)]
    if not known:
        return {}
    joules = median(known) * median_s
    flops = sum(fact.flops for fact in launches[0])
    return {"watts": median(known), "joules": joules, "flops_per_joule": flops / joules if flops else None}


def _found(launches: Sequence[dict[str, Value]]) -> dict[str, Value]:
    names = dict.fromkeys(name for found in launches for name in found)
    return {name: agreed(name, [found[name] for found in launches if name in found]) for name in names}


def agreed(name: str, values: Sequence[Value]) -> Value:
    """One value for several launches: theirs where they agree; of numbers the median; of words a list of all."""
    if all((type(value), value) == (type(values[0]), values[0]) for value in values):
        return values[0]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        middle = median(float(value) for value in values)
        return int(middle) if middle.is_integer() and all(isinstance(value, int) for value in values) else middle
    counted = Counter(units.told(name, value) for value in values)
    return units.listed([f"{word} in {units.count(n, 'launch', 'launches')}" for word, n in counted.items()])
