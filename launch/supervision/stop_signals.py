"""A stop request: a first signal has the sample at hand finished and keeps what is complete, a second ends the run."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from harness.common.signals import handled, name_of
from harness.world.control import StopRequest

SAID = "finishing the sample at hand; a second signal (Ctrl-C) ends the run now"


@dataclass
class Interrupt(StopRequest):
    """The request of the user, a scheduler or a terminal to stop the run, as its parent knows it."""

    heeded: bool = False
    """Whether ranks are measuring, which can finish their samples. If not, nothing is lost by an immediate end."""
    signal: str = ""
    """The signal that requested it."""


@contextmanager
def heard(interrupt: Interrupt, say: Callable[[str], None]) -> Iterator[None]:
    """Take a first signal for a stop request while the block lasts, which ``say`` confirms; only in the main thread.

    Raises KeyboardInterrupt, with the signal's name, at the second one, and at the first where no rank is measuring.
    """

    def hear(number: signal.Signals) -> None:
        if interrupt.asked or not interrupt.heeded:
            raise KeyboardInterrupt(name_of(number))
        interrupt.asked, interrupt.signal = True, name_of(number)
        with suppress(RuntimeError):  # something else was just being said
            say(f"{interrupt.signal}: {SAID}")

    with handled(hear):
        yield
