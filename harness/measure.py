"""The one timing loop of the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.clocks import Lap, StartLine, Stopwatch
from harness.devices import Device


def sample(step: Callable[[], Any], inner: int, device: Device, line: StartLine, watch: Stopwatch) -> tuple[Lap, Any]:
    """One sample: idle device, aligned start, start mark, ``inner`` steps, end mark.

    Returns the lap and what the last step returned.
    """
    output = None
    device.synchronize()
    line.cross()
    watch.start()
    for _ in range(inner):
        output = step()
    return watch.stop(), output
