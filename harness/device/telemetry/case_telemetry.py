"""The telemetry of a case: the GPU's clock, its reasons to throttle, and the power that the case draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.device.telemetry.power import watts
from harness.device.telemetry.readings import Readings
from harness.device.timing import RankSample


@dataclass(frozen=True)
class CaseTelemetry:
    """The telemetry of one case on one rank; a field is None if it is unknown."""

    mhz: tuple[float, ...] | None = None
    """Clock in each sample."""
    held_back: tuple[int, ...] | None = None
    """Reasons to hold it back in each sample, as NVML's bits."""
    watts: float | None = None
    """Mean power during its samples."""


def telemetry(readings: Readings, cases: Sequence[Sequence[RankSample]]) -> list[CaseTelemetry]:
    """The telemetry of each case's samples, whose times are of this host's own clock."""
    spans = [[(lap.start_s, lap.end_s) for lap in laps] for laps in cases]
    every = [span for rank_spans in spans for span in rank_spans]
    if not every:
        return [CaseTelemetry() for _ in cases]
    drawn = watts(spans, *readings.energy(min(start_s for start_s, _ in every), max(end_s for _, end_s in every)))
    return [_of(readings, rank_laps, mean) for rank_laps, mean in zip(spans, drawn, strict=True)]


def _of(readings: Readings, spans: Sequence[tuple[float, float]], mean: float | None) -> CaseTelemetry:
    inside = [reading for span in spans if (reading := readings.during(*span))]
    if not inside or len(inside) < len(spans):
        return CaseTelemetry(watts=mean)
    mhz, held_back = zip(*inside, strict=True)
    return CaseTelemetry(tuple(round(clock_mhz, 1) for clock_mhz in mhz), held_back, mean)
