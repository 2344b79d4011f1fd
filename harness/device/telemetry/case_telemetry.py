"""What was read of a GPU beside its samples: its clock, why it held back, and the power that each case draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.device.telemetry.power import watts
from harness.device.telemetry.readings import Readings
from harness.device.timing import RankSample


@dataclass(frozen=True)
class CaseTelemetry:
    """Of one case on one rank; None where it cannot be told."""

    mhz: tuple[float, ...] | None = None
    """Clock in each sample."""
    held_back: tuple[int, ...] | None = None
    """Reasons to hold it back in each sample, as NVML's bits."""
    watts: float | None = None
    """Mean power during its samples."""


def telemetry(readings: Readings, cases: Sequence[Sequence[RankSample]]) -> list[CaseTelemetry]:
    """What the readings say of the samples of each case, which were timed by this host's own clock, as they were."""
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
