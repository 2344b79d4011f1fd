"""The cell of a case that was ok, from the data that each rank has gathered."""

from collections.abc import Sequence
from typing import Any, TypeVar

from harness.device.telemetry import cpu_load
from harness.device.telemetry.case_telemetry import CaseTelemetry
from harness.device.timing import RankSample
from harness.journal.measurement_warnings import MeasurementWarning
from harness.journal.records import QueuedSamples, RankFacts, Samples
from harness.measure import collective_times, launch_ahead, process_settings
from harness.measure.case_runner import CaseRunner
from harness.measure.collective_times import Watched
from harness.work import memory
from harness.world.aligned_start import Offset

T = TypeVar("T")
Gathered = tuple[list[RankSample], RankFacts | None, list[Watched], CaseTelemetry, Offset, list[RankSample]]
"""What one rank has of one case: samples, facts (None without a part in it), watched samples, telemetry, its clock, and
samples of the device's own time."""


def cell_fields(
    runner: CaseRunner, ranks: Sequence[Gathered], origin_s: float, doubted: Sequence[MeasurementWarning]
) -> dict[str, Any]:
    """A cell's fields. Each rank has its laps, facts, waits, and readings beside them; those of the case come first."""
    laps, facts, seen, aside, offsets, queued = zip(*ranks[: runner.case.world_size], strict=True)
    warnings = cpu_load.warnings_of([cpu_load.CpuTime.of(fact) for fact in facts], shares=runner.world.shares)
    warnings += launch_ahead.warnings_of(queued)
    warnings += memory.warnings_of([fact.alloc_retries for fact in facts])
    warnings += process_settings.warnings_of([fact.settings for fact in facts])
    return {
        "unit": runner.unit,
        "inner": runner.inner,
        "samples": _samples(runner, laps, aside, origin_s),
        "queued": _queued(runner, queued) if runner.ahead else None,
        "clock_offset_s": tuple(round(offset.seconds, 9) for offset in offsets) if runner.world.leaders else None,
        "clock_error_s": tuple(round(offset.error_s, 9) for offset in offsets) if runner.world.leaders else None,
        "facts": facts,
        "waits": collective_times.split(seen, runner.inner),
        "warnings": (*warnings, *doubted),
    }


def _samples(
    runner: CaseRunner,
    laps: Sequence[Sequence[RankSample]],
    aside: Sequence[CaseTelemetry],
    origin_s: float,
) -> Samples:
    places = [(number, position) for number, position, samples in runner.visits for _ in range(samples)]
    timed = laps[0][0].device_s is not None
    return Samples(
        round=tuple(number for number, _ in places),
        position=tuple(position for _, position in places),
        start_s=tuple(tuple(round(lap.start_s - origin_s, 9) for lap in mine) for mine in laps),
        end_s=tuple(tuple(round(lap.end_s - origin_s, 9) for lap in mine) for mine in laps),
        device_s=tuple(tuple(round(lap.seconds, 9) for lap in mine) for mine in laps) if timed else None,
        enqueue_s=tuple(tuple(round(lap.enqueue_s or 0.0, 9) for lap in mine) for mine in laps) if timed else None,
        clock_mhz=_of_all([reading.mhz for reading in aside]),
        held_back=_of_all([reading.held_back for reading in aside]),
    )


def _queued(runner: CaseRunner, ranks: Sequence[Sequence[RankSample]]) -> QueuedSamples:
    inner = runner.queued_inner
    return QueuedSamples(
        inner=inner,
        head_start_s=round(runner.head_start_s, 9),
        enqueue_s=tuple(tuple(round((lap.enqueue_s or 0.0) / inner, 9) for lap in mine) for mine in ranks),
        device_s=tuple(tuple(round(lap.seconds / inner, 9) for lap in mine) for mine in ranks),
    )


def _of_all(ranks: Sequence[T | None]) -> tuple[T, ...] | None:
    """The values of all ranks; None if one of them is None."""
    known = tuple(value for value in ranks if value is not None)
    return known if len(known) == len(ranks) else None
