"""Planted work: what a scenario does that takes known time, on emulated devices and on CPU cores."""

import time

from harness.device.emulated.device import current


def compute(seconds: float) -> None:
    """Launch an operation that takes so long on this process's emulated device; else keep its core busy for so long."""
    device = current()
    if device is not None:
        device.launch(seconds)
    else:
        _spin(seconds)


def longer(rank: int, slow: float, contended: float) -> float:
    """How many times longer compute takes on this process's emulated device; of real ones nobody plants that.

    It takes ``slow`` times as long on the device of ``rank``, and by the fraction ``contended`` longer for each other
    device of its host that is busy.
    """
    device = current()
    if device is None:
        return 1.0
    return (slow if device.index == rank else 1.0) * (1 + contended * device.neighbours)


def host_work(seconds: float) -> None:
    """Keep the host busy for so long, as a slow loader does; the device may have work meanwhile."""
    device = current()
    if device is not None:
        device.work(seconds)
    else:
        _spin(seconds)


def _spin(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass
