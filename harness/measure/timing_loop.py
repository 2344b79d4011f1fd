"""The one timing loop of the project."""

from typing import Any

from harness.device.device import Device
from harness.device.timing import RankSample, StartLine, Timer
from harness.scenario import Workload


def sample(  # noqa: PLR0913
    workload: Workload, inner: int, device: Device, line: StartLine, watch: Timer, *, cold: bool = False
) -> tuple[RankSample, Any]:
    """One sample: state as before, idle device, aligned start, start mark, ``inner`` steps, end mark.

    ``cold``: the device's cache holds nothing of the state. Returns the lap and what the last step returned.
    """
    step, output = workload.step, None
    workload.reset()
    if cold:
        device.flush()
    device.synchronize()
    line.cross()
    watch.start()
    for _ in range(inner):
        output = step()
    return watch.stop(), output
