"""One row a case: its time, and for more than one device how well it scales."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import pandas as pd

from harness.journal.plan import Case, Comparison, Value
from harness.journal.records import MEASURED, RankFacts
from reports.analysis import warnings
from reports.analysis.communication import message_rows
from reports.analysis.contrasts import margin
from reports.analysis.cycles import Clocked, faster, in_cycles
from reports.analysis.limits import below_resolution, ceiling_speedup, least_s, memory_roof, product_roof
from reports.analysis.ranks import own_work
from reports.analysis.steadiness import Health
from reports.reading.run import CaseId
from reports.schema.cases import FLOORS, CellRow, RankRow
from reports.statistics.estimates import estimate, scaled
from reports.statistics.measured import Measured
from reports.text import units


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
        "messages": message_rows(measured, key),
        "allocated_bytes": _typical([fact.allocated_bytes or None for fact in facts] for facts in launches),
        "host_reads": _typical([fact.host_reads for fact in facts] for facts in launches),
        "facts": _found([facts[0].found for facts in launches]),
    }


def _launches(measured: Measured, key: CaseId) -> list[tuple[RankFacts, ...]]:
    """Each launch's facts, an entry a rank; only of launches in which the case was ok."""
    cells = (cell for cell in measured.evidence.by_case[key] if cell.state in MEASURED)
    return [cell.record.facts for cell in cells if cell.record and cell.record.facts]


def _typical(launches: Iterable[Sequence[int | None]]) -> int | None:
    """Median over launches of the rank that has most; None where no launch tells."""
    most = [max(known) for ranks in launches if (known := [value for value in ranks if value is not None])]
    return round(median(most)) if most else None


def _energy(launches: Sequence[Sequence[RankFacts]], median_s: float) -> dict[str, object]:
    """Power of all ranks together, the median of the launches that know each rank's; and what follows from it."""
    by_rank = [[fact.watts for fact in facts if fact.watts is not None] for facts in launches]
    known = [sum(watts) for watts, facts in zip(by_rank, launches, strict=True) if len(watts) == len(facts)]
    if not known:
        return {}
    joules = median(known) * median_s
    flops = sum(fact.flops for fact in launches[0])
    return {"watts": median(known), "joules": joules, "flops_per_joule": flops / joules if flops else None}


def _found(launches: Sequence[dict[str, Value]]) -> dict[str, Value]:
    names = dict.fromkeys(name for facts in launches for name in facts)
    return {name: agreed(name, [facts[name] for facts in launches if name in facts]) for name in names}


def agreed(name: str, values: Sequence[Value]) -> Value:
    """One value for several launches: theirs where they agree; of numbers the median; of words a list of all."""
    if all((type(value), value) == (type(values[0]), values[0]) for value in values):
        return values[0]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        middle = median(float(value) for value in values)
        return int(middle) if middle.is_integer() and all(isinstance(value, int) for value in values) else middle
    counted = Counter(units.fact_value(name, value) for value in values)
    return units.listed([f"{word} in {units.count(n, 'launch')}" for word, n in counted.items()])


def cell_rows(measured: Measured, ranks: tuple[RankRow, ...], health: Health) -> tuple[CellRow, ...]:
    """Every case of the run that is neither a packed copy nor a probe, in the plan's order."""
    return tuple(_row(measured, key, case, ranks, health) for key, case in measured.gangs())


def _row(measured: Measured, key: CaseId, case: Case, ranks: tuple[RankRow, ...], health: Health) -> CellRow:
    comparison = measured.evidence.plan.comparisons[key[0]]
    fields = _identity(measured, key, case, comparison) | _time(measured, key, case)
    if fields.get("median_s") is not None:
        fields |= _scaling(measured, key, case, comparison)
        fields |= counts(measured, key, fields["median_s"])
    row = CellRow(**fields)
    return row.model_copy(update={"warnings": warnings.cautions(measured, key, row, ranks, health.facts[key])})


def _identity(measured: Measured, key: CaseId, case: Case, comparison: Comparison) -> dict[str, Any]:
    status = measured.evidence.state(key)
    worst = next(cell for cell in measured.evidence.by_case[key] if cell.state == status)
    failed = worst.record if status not in MEASURED else None
    spreads = measured.evidence.spreads(key, case.world_size)
    return {
        "comparison": key[0],
        "key": case.key,
        "scenario": case.scenario,
        "variant": case.variant,
        "variant_field": comparison.variant_field,
        "params": {name: value for name, value in case.params.items() if name != comparison.variant_field},
        "scaling": comparison.scaling,
        "world_size": case.world_size,
        "launcher": measured.evidence.side.launcher,
        "side": measured.evidence.side.name,
        "ranks_per_host": spreads.pop() if len(spreads) == 1 else (),
        "status": status,
        "rank": failed.rank if failed else None,
        "message": failed.message if failed else None,
    }


def _time(measured: Measured, key: CaseId, case: Case) -> dict[str, Any]:
    time, samples = measured.time(key), measured.samples(key)
    if time is None or samples is None:
        return {}
    facts = measured.facts(key)
    flops, moved, items = (sum(getattr(fact, name) for fact in facts) for name in ("flops", "bytes", "items"))
    return {
        "launches": time.launches,
        "samples": len(samples),
        "median_s": time.value,
        "ci_low_s": time.low,
        "ci_high_s": time.high,
        "launch_s": {int(str(launch)): float(value) for launch, value in measured.values(key).items()},
        "rate": flops / time.value if flops else None,
        "byte_rate": moved / time.value if moved else None,
        "byte_roof": memory_roof(measured, case.world_size) if moved else None,
        **_roof(measured, key, case, flops),
        "items_per_s": items / time.value if items else None,
        "unit": next((cell.record.unit for cell in measured.evidence.by_case[key] if cell.record), "item"),
        "rank_basis": own_work(measured, key)[0] if case.world_size > 1 else None,
        "skew_s": float(samples["skew_s"].median()) if case.world_size > 1 else None,
        "first_s": _first_s(measured, key),
        "below_resolution": below_resolution(measured, key),
        **_clocks(measured, key),
    }


def _clocks(measured: Measured, key: CaseId) -> dict[str, float]:
    """A step by the host's and by the device's own clock; not by the latter where it is nothing but its marks."""
    clocks = measured.own_clocks(key)
    if clocks is None:
        return {}
    host, device = clocks
    idle_s = FLOORS * (least_s(measured, key, queued=True) or 0.0)
    return {"enqueue_s": host.value} | ({"device_s": device.value} if device.value > idle_s else {})


def _roof(measured: Measured, key: CaseId, case: Case, flops: float) -> dict[str, Any]:
    rate = product_roof(measured, key, case.world_size) if flops else None
    return {} if rate is None else {"roof_probe": rate[0], "roof": rate[1]}


def _first_s(measured: Measured, key: CaseId) -> float | None:
    """Median over launches of the slowest rank's very first step."""
    by_launch = [cell.record.facts for cell in measured.evidence.by_case[key] if cell.record and cell.state in MEASURED]
    first = estimate(pd.Series([max(fact.first_s for fact in facts) for facts in by_launch if facts], dtype=float))
    return first.value if first else None


def _scaling(measured: Measured, key: CaseId, case: Case, comparison: Comparison) -> dict[str, Any]:
    base = _base(measured, key[0], case)
    if base is None or measured.evidence.plan.shared_device:
        return {}
    p0, base_key = base
    time, ratio = measured.time(base_key), measured.ratio(base_key, key)
    if time is None or ratio is None:
        return {}
    devices = case.world_size / p0
    weak, claims = comparison.scaling == "weak", comparison.scaling != "none"
    speedup, ideal = scaled(ratio, devices) if weak else ratio, _ideal(measured, key, base_key, devices)
    efficiency = scaled(speedup, 1 / ideal) if claims else ratio
    fields: dict[str, Any] = {"base_kind": f"wrapped-{p0}", "base_world_size": p0, "base_median_s": time.value}
    fields |= speedup.fields("speedup") | efficiency.fields("efficiency")
    fields["speedup_launches"] = ratio.launches
    clocks = in_cycles(Clocked.of(measured, key), Clocked.of(measured, base_key), margin(measured, key[0]))
    fields["in_cycles"] = faster(clocks, devices if weak else 1.0) if claims else clocks
    if claims:
        fields |= {"ideal_speedup": ideal, "ideal_s": time.value / ideal * (devices if weak else 1.0)}
        fields |= _ceiling(measured, key, case, p0)
    return fields


def _base(measured: Measured, comparison: int, case: Case) -> tuple[int, CaseId] | None:
    """The smallest world size below the case's own with the same variant and parameters that has a time."""
    for size in sorted(size for size in measured.evidence.plan.world_sizes if size < case.world_size):
        twin = measured.twin(case, comparison, size)
        if twin and measured.time(twin):
            return size, twin
    return None


def _ideal(measured: Measured, key: CaseId, base: CaseId, devices: float) -> float:
    """The greatest speed-up that the division of the declared work allows; where none is declared, that of devices."""
    amount, others = _balance(measured.facts(key)), _balance(measured.facts(base))
    return amount / others if amount and others else devices


def _ceiling(measured: Measured, key: CaseId, case: Case, p0: int) -> dict[str, float]:
    """What the machine itself allows at this many devices."""
    above, below = (ceiling_speedup(measured, key[0], "gemm", size) for size in (case.world_size, p0))
    if above is None or below is None:
        return {}
    known = {"ceiling_speedup": above.value / below.value}
    if above.low is None or above.high is None or p0 != 1:
        return known
    return known | {"ceiling_low": above.low, "ceiling_high": above.high}


def _balance(facts: tuple[RankFacts, ...]) -> float | None:
    """Sum of the ranks' declared work over the largest share."""
    work = [fact.flops for fact in facts]
    work = work if any(work) else [fact.items for fact in facts]
    return sum(work) / max(work) if work and max(work) > 0 else None
