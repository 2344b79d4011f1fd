"""What the probes say: the machine's ceilings and the harness's floor, measured in the same launches."""

from collections.abc import Iterator
from typing import Literal

from harness.journal.records import MEASURED
from reports.reading.run import CaseId
from reports.schema.cases import FLOORS, CeilingRow, FloorRow, RoofRow
from reports.statistics.estimates import Estimate, scaled
from reports.statistics.measured import Measured

CEILINGS = ("gemm", "spin")
"""A large product, and a loop that touches no memory."""


def ceiling_rows(measured: Measured) -> tuple[CeilingRow, ...]:
    """Speed-up of each probe when all devices are busy; none where ranks share a device."""
    if measured.evidence.plan.shared_device:
        return ()
    return tuple(
        row
        for comparison, size in _places(measured)
        if size > 1
        for probe in CEILINGS
        for row in _ceiling(measured, comparison, probe, size)
    )


def floor_rows(measured: Measured) -> tuple[FloorRow, ...]:
    """Time of a step that does nothing, for each comparison and world size."""
    floors = ((place, floor_s(measured, *place)) for place in _places(measured))
    return tuple(FloorRow(comparison=place[0], world_size=place[1], median_s=floor) for place, floor in floors if floor)


def _places(measured: Measured) -> Iterator[tuple[int, int]]:
    plan = measured.evidence.plan
    return ((index, size) for index in range(len(plan.comparisons)) for size in plan.world_sizes)


def _ceiling(measured: Measured, comparison: int, probe: str, size: int) -> Iterator[CeilingRow]:
    alone, busy = (measured.probe(comparison, probe, devices) for devices in (1, size))
    speedup = ceiling_speedup(measured, comparison, probe, size)
    times = [measured.time(key) if key else None for key in (alone, busy)]
    if speedup and times[0] and times[1]:
        yield CeilingRow(
            comparison=comparison,
            probe=probe,
            world_size=size,
            base_median_s=times[0].value,
            median_s=times[1].value,
            **speedup.fields("speedup"),
        )


PRODUCTS = {"float32": "gemm", "tf32": "gemm_tf32", "bfloat16": "gemm_bf16", "float16": "gemm_fp16"}
"""The probe that multiplies numbers of a type."""
WORDS = {
    "gemm": "large product, fp32",
    "gemm_tf32": "large product, TF32",
    "gemm_bf16": "large product, bf16",
    "gemm_fp16": "large product, fp16",
    "copy": "copy on the device, read and written",
    "upload": "from the host, pinned",
    "download": "to the host, pinned",
}
"""Roofs in their order, as they are called."""


def roof_rows(measured: Measured) -> tuple[RoofRow, ...]:
    """Every roof that was measured; of CPUs there are the product's in fp32 and the copy's."""
    return tuple(_rows(measured))


def _rows(measured: Measured) -> Iterator[RoofRow]:
    for name, words in WORDS.items():
        for size in measured.evidence.plan.world_sizes:
            if greatest := _greatest(measured, name, size):
                rate, comparison, unit = greatest
                yield RoofRow(probe=name, words=words, world_size=size, unit=unit, rate=rate, comparison=comparison)


def _greatest(measured: Measured, name: str, world_size: int) -> tuple[float, int, Literal["FLOP", "B"]] | None:
    """What all ranks of a probe do in a second at most, in which comparison, and of what: FLOP, or else B."""
    return max(_rates(measured, name, world_size), default=None)


def _rates(measured: Measured, name: str, world_size: int) -> Iterator[tuple[float, int, Literal["FLOP", "B"]]]:
    for comparison in range(len(measured.evidence.plan.comparisons)):
        key = measured.probe(comparison, name, world_size)
        time = measured.time(key) if key else None
        if key and time:
            facts = measured.facts(key)
            flops, moved = sum(fact.flops for fact in facts), sum(fact.bytes for fact in facts)
            yield (flops or moved) / time.value, comparison, "FLOP" if flops else "B"


def memory_roof(measured: Measured, world_size: int) -> float | None:
    """Bytes a second, read and written, of so many devices at most: each as fast as one that copies alone."""
    rate = _greatest(measured, "copy", 1)
    return rate[0] * world_size if rate else None


def product_roof(measured: Measured, key: CaseId, world_size: int) -> tuple[str, float] | None:
    """The probe, and FLOP/s of so many devices in it, whose numbers a case multiplies; of several types the quickest.

    None where one of them has no probe. What one device does alone stands for more where they were not measured.
    """
    types = {name for fact in measured.facts(key) for name in fact.products} or {"float32"}
    probes = [probe for name in sorted(types) if (probe := PRODUCTS.get(name))]
    rates = {probe: _product_rate(measured, key[0], probe, world_size) for probe in probes}
    known = [(rate, probe) for probe, rate in rates.items() if rate is not None]
    if len(known) < len(types):
        return None
    rate, probe = max(known)
    return probe, rate


def _product_rate(measured: Measured, comparison: int, name: str, world_size: int) -> float | None:
    for size in (world_size, 1):
        for place in (comparison, 0):
            probe = measured.probe(place, name, size)
            time = measured.time(probe) if probe else None
            if probe and time:
                return sum(fact.flops for fact in measured.facts(probe)) / time.value * world_size / size
    return None


def below_resolution(measured: Measured, key: CaseId) -> bool:
    """Whether a case's time is mostly the harness's own: within three floors, or three times what marks resolve."""
    time, case = measured.time(key), measured.evidence.by_case[key][0].case
    floors = floor_s(measured, key[0], case.world_size), least_s(measured, key)
    return time is not None and any(floor is not None and time.value <= FLOORS * floor for floor in floors)


def floor_s(measured: Measured, comparison: int, world_size: int) -> float | None:
    """Seconds of a step that does nothing, where it was measured."""
    probe = measured.probe(comparison, "null", world_size)
    time = measured.time(probe) if probe else None
    return time.value if time else None


def least_s(measured: Measured, key: CaseId, *, queued: bool = False) -> float | None:
    """Seconds of one step that its device's own marks cannot tell from nothing: those of a sample, over its steps.

    ``queued``: of a sample of the device's own time, which may have fewer steps.
    """
    limits = []
    for cell in measured.evidence.by_case[key]:
        gang = measured.evidence.gangs.get(cell.launch)
        if cell.record and cell.state in MEASURED and gang:
            ranks = gang.ranks[: cell.case.world_size]
            inner = cell.record.queued.inner if queued and cell.record.queued else cell.record.inner
            limits += [rank.least_s / inner for rank in ranks if rank.least_s is not None]
    return max(limits, default=None)


def ceiling_speedup(measured: Measured, comparison: int, probe: str, world_size: int) -> Estimate | None:
    """Of a probe: p T(on one device) / T(on p devices at once); 1 on one device, None where not measured."""
    if world_size == 1:
        return Estimate(1.0, None, None, 0)
    alone, busy = (measured.probe(comparison, probe, size) for size in (1, world_size))
    ratio = measured.ratio(alone, busy) if alone and busy else None
    return scaled(ratio, world_size) if ratio else None
