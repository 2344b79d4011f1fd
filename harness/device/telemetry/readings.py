"""The poller's readings of one GPU, and their values during a span of time."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LAYOUT = np.dtype(
    [
        *(("at_s", "<f8"), ("place", "<u4"), ("mhz", "<u4"), ("held_back", "<u8")),
        *(("energy_mj", "<u8"), ("power_mw", "<u4"), ("celsius", "<i4")),
    ]
)
"""The record of ``harness.device.telemetry.poller.RECORD``."""
NEAR_S = 0.1
"""A reading farther from a sample than this says nothing about it."""


@dataclass(frozen=True)
class Readings:
    """Records in order of the host's clock."""

    table: Array

    @classmethod
    def of(cls, content: bytes, place: int) -> Self:
        """The readings of one GPU; the last record may be torn."""
        whole = len(content) // LAYOUT.itemsize * LAYOUT.itemsize
        table = np.frombuffer(content[:whole], LAYOUT)
        return cls(table[table["place"] == place])

    def during(self, start_s: float, end_s: float) -> tuple[float, int] | None:
        """The clock in MHz and the reasons to hold back, between two instants; None where nothing was read near them.

        Of several readings the clock is the mean, and a reason counts that any of them has; of none in between, the one
        that is nearest to the middle stands for them.
        """
        at_s = self.table["at_s"]
        first, last = (int(place) for place in np.searchsorted(at_s, (start_s, end_s)))
        if first == last:
            if not len(at_s):
                return None
            middle_s = (start_s + end_s) / 2
            first = int(np.argmin(np.abs(at_s - middle_s)))
            last = first + 1
            if abs(float(at_s[first]) - middle_s) > NEAR_S + (end_s - start_s) / 2:
                return None
        rows = self.table[first:last]
        mhz = float(rows["mhz"].mean())
        return (mhz, int(np.bitwise_or.reduce(rows["held_back"]))) if mhz else None

    def energy(self, start_s: float, end_s: float) -> tuple[Array, Array]:
        """When its counter of energy moved on, in seconds, and to what, in joules, between two instants."""
        at_s = self.table["at_s"]
        table = self.table[(at_s >= start_s) & (at_s <= end_s) & (self.table["energy_mj"] > 0)]
        moved = np.flatnonzero(np.diff(table["energy_mj"].astype(np.int64)) > 0) + 1
        between_s = (table["at_s"][moved] + table["at_s"][moved - 1]) / 2
        return between_s, table["energy_mj"][moved] / 1000
