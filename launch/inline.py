"""One device, in this process: for debugging, and for hosts that allow no other process."""

import os
import threading
from contextlib import ExitStack
from typing import Self

from harness.common.text import first_line
from harness.device.device import Device
from harness.journal.protocol import Order
from harness.measure import worker
from harness.world import world
from harness.world.control import StopRequest
from launch.launcher import Ending, Hear, Launcher
from launch.processes.cleanup import MARK, below, kill_all, marked, temporary

BROKEN = "a case before it failed, and nothing more can be done on this process's device ({}): use --resume"

ANSWER_S = 30.0
"""A device must finish its remaining work within this time."""


class Inline(Launcher):
    """Runs one rank in the parent's own process. A case that kills its process kills the run."""

    def __init__(self, stop_request: StopRequest | None = None) -> None:
        """``stop_request`` is asked for by whoever interrupts the run."""
        self._stop_request = stop_request or StopRequest()
        self._stack = ExitStack()
        self._broken: str | None = None
        """The error of the device, once a case has broken it for this process."""

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order here and now."""
        if self._broken:
            return Ending("skipped", BROKEN.format(self._broken))
        before = below([os.getpid()])
        with world.alone(order.plan) as alone:
            alone.control.stop_request = self._stop_request
            if not worker.run(order, alone, hear):
                self._broken = _fault(alone.device)
        kill_all(below([os.getpid()]) - before | marked(self._mark))
        return None

    def __enter__(self) -> Self:
        self._mark = self._stack.enter_context(temporary())
        self._before = os.environ.get(MARK)
        os.environ[MARK] = self._mark  # what cases start has it, in whatever session
        return self

    def __exit__(self, *error: object) -> None:
        os.environ.pop(MARK, None)  # a case may have cleared it
        if self._before is not None:
            os.environ[MARK] = self._before
        self._stack.close()


def _fault(device: Device) -> str | None:
    """What a device answers that takes no more work of this process; None where it still does.

    One that hangs does not answer: it is waited for beside, where no wait in a driver can hold this thread up.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            device.synchronize()
        except RuntimeError as error:  # CUDA's own errors are such
            answers.append(first_line(error))
        else:
            answers.append(None)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    return answers[0] if answers else f"it has not ended its work within {ANSWER_S:g} s"
