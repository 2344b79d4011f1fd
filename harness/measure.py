"""The one timing loop of the project."""

from __future__ import annotations

from typing import Any

from harness.clocks import Lap, StartLine, Stopwatch
from harness.devices import Device
from harness.scenario import Workload


def sample(workload: Workload, inner: int, device: Device, line: StartLine, watch: Stopwatch) -> tuple[Lap, Any]:
    """One sample: state as before, idle device, aligned start, start mark, ``inner`` steps, end mark.

    Returns the lap and what the last step returned.
    """
    step, output = workload.step, None
    workload.reset()
    device.synchronize()
    line.cross()
    watch.start()
    for _ in range(inner):
        output = step()
    return watch.stop(), output
