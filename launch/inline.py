"""One device, in this very process: for debugging, and where no process can be started."""

from __future__ import annotations

from typing import Self

from harness import worker, world
from harness.halt import Halt
from harness.messages import Order
from launch.gangs import Ending, Hear


class Inline:
    """Measures in the parent's own process. A case that kills its process kills the run."""

    def __init__(self, halt: Halt | None = None) -> None:
        """``halt`` is asked for by whoever interrupts the run."""
        self._halt = halt or Halt()

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order here and now."""
        with world.alone(order.plan) as alone:
            alone.agreement.halt = self._halt
            worker.run(order, alone, hear)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass
