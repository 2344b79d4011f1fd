"""What the probes say: the machine's ceilings and the harness's floor, measured in the same launches."""

from __future__ import annotations

from collections.abc import Iterator

from reports import cautions
from reports.cells import ceiling_speedup
from reports.measured import Measured
from reports.rows import CeilingRow, FloorRow

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
    found = ((place, cautions.floor_s(measured, *place)) for place in _places(measured))
    return tuple(FloorRow(comparison=place[0], world_size=place[1], median_s=floor) for place, floor in found if floor)


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
            speedup=speedup.value,
            speedup_low=speedup.low,
            speedup_high=speedup.high,
        )
