"""Ctrl-C: once, the sample at hand is finished and what is complete is kept; twice, the run ends now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from harness.halt import Halt

SAID = "finishing the sample at hand; Ctrl-C once more ends the run now"


@dataclass
class Interrupt(Halt):
    """What the user wants of the run, as its parent knows it."""

    heeded: bool = False
    """Whether ranks are measuring, who can finish what they do. Where none are, nothing is lost by ending now."""


@contextmanager
def heard(interrupt: Interrupt, say: Callable[[str], None]) -> Iterator[None]:
    """Have Ctrl-C heard so while the block lasts; ``say`` tells the user of it. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(number: int, frame: FrameType | None) -> None:
        del number, frame
        if interrupt.asked or not interrupt.heeded:
            raise KeyboardInterrupt
        interrupt.asked = True
        with suppress(RuntimeError):  # something else was just being said
            say(SAID)

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
