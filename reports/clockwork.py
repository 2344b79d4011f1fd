"""Devices' clocks, where a journal has them: how fast they ran, and whether heat or power held them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.doubts import Kind
from reports import units
from reports.taken import Taken

THROTTLING = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""NVML's reasons that mean heat or power: power cap, slowdown, thermal by software and by hardware, power brake."""
SELDOM = 0.05
"""A clock that was held back in no more than this share of a launch's samples is not worth a word."""


@dataclass(frozen=True)
class Clocks:
    """One case's clocks in one launch. Of a sample the slowest device's clock counts, as its time does."""

    mhz: float | None = None
    """Median over samples."""
    low_mhz: float | None = None
    high_mhz: float | None = None
    """The twentieth and the nineteen twentieths of the samples lie below these."""
    throttled: float | None = None
    """Share of the samples in which a device was held back against heat or power."""

    @classmethod
    def of(cls, samples: Taken | None) -> Clocks:
        """What the journal tells; nothing where nobody asked the devices."""
        made = cls()
        if samples and samples.clock_mhz is not None:
            mhz, low, high = np.quantile(np.min(samples.clock_mhz, axis=0), (0.5, 0.05, 0.95))
            made = replace(made, mhz=float(mhz), low_mhz=float(low), high_mhz=float(high))
        if samples and samples.held_back is not None:
            bits = np.bitwise_and(samples.held_back, THROTTLING)
            made = replace(made, throttled=float(np.mean(np.any(bits, axis=0))))
        return made


def doubts(launches: Sequence[Clocks], limit: float) -> Mapping[Kind, str]:
    """At most one kind: that devices were held back, or else that their clock moved by more than ``limit``."""
    among = f"of {units.count(len(launches), 'launch', 'launches')}"
    held = [each.throttled for each in launches if each.throttled is not None and each.throttled > SELDOM]
    known = [each for each in launches if each.mhz and each.low_mhz and each.high_mhz]
    top = max((each.high_mhz or 0.0 for each in known), default=0.0)
    low = min((each.low_mhz or 0.0 for each in known), default=0.0)
    moved = f"between {low:.0f} and {top:.0f}{units.THIN}MHz"
    if held and (not known or 1 - low / top > limit):
        ran = f"; its clock ran {moved}" if known else ""
        told = f"a device held its clock back in up to {units.percent(max(held))} of the samples{ran}"
        return {Kind.THROTTLED: f"in {len(held)} {among}: {told}"}
    if known and 1 - low / top > limit:
        return {Kind.UNSTEADY_CLOCK: f"the slowest device's clock ran {moved} (limit {units.percent(limit)})"}
    return {}
