"""The readings of an emulated device: the planted clock, and the planted reasons to throttle."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Self

import numpy as np

from harness.device.emulated.device import EmulatedDevice
from harness.device.telemetry.readings import LAYOUT, Array, Readings

THERMAL = 0x40
"""NVML's bit for a clock that is lower because the device is hot (nvmlClocksEventReasonHwThermalSlowdown)."""


@dataclass(frozen=True)
class PlantedReadings(Readings):
    """Known at every instant of the emulated clock; of power nothing is planted."""

    mhz: float
    """The clock of a device that is not held back."""
    changes: tuple[tuple[float, float], ...]
    """From when it was how many times slower, in order."""

    @classmethod
    def of_device(cls, device: EmulatedDevice) -> Self:
        """All readings since the device was made."""
        return cls(np.empty(0, LAYOUT), float(device.emulation.clock_mhz), tuple(device.readings))

    def during(self, start_s: float, end_s: float) -> tuple[float, int] | None:
        """The lowest clock in MHz and the reasons to hold back, between two instants."""
        at_s = [since_s for since_s, _ in self.changes]
        first, last = (max(0, bisect_right(at_s, instant_s) - 1) for instant_s in (start_s, end_s))
        slower = max((factor for _, factor in self.changes[first : last + 1]), default=1.0)
        return self.mhz / slower, THERMAL if slower > 1 else 0

    def energy(self, start_s: float, end_s: float) -> tuple[Array, Array]:
        """Empty: an emulated device has no counter of energy."""
        del start_s, end_s
        return np.empty(0), np.empty(0)
