"""When each step of a script ends. What ends one is learned while it warms up.

A step ends with whatever was last to be seen for the first time: of two optimizers that take turns the second, of one
for each layer that of the last layer. One step before the end of the warm-up all ranks of the script agree on how many
steps follow; from then on nothing is learned any more, and the step that is left makes up for the wait.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MARKED = "marked by the script itself"
"""Ends steps where it was ever seen before the ranks agree, whatever else does."""


LEAST_SKIP = 3
"""What ends a step is seen twice before the ranks agree: by then the others were seen, where they take turns."""


class Run(Protocol):
    """What the clock tells of the course of a script on one rank."""

    def agree(self, step_s: float) -> int:
        """All ranks agree on how many steps are timed; the last one took so many seconds, 0 where nobody knows."""
        ...

    def begin(self) -> None:
        """The warm-up is over."""

    def beat(self) -> None:
        """A step has ended."""

    def finish(self) -> None:
        """The last step has ended. Raises whatever ends the script."""


@dataclass(frozen=True)
class Boundary:
    """The end of one step, and the beginning of the next one."""

    host_s: float
    mark: Any = None
    """On the device, where it has marks."""
    loader_s: float = 0.0
    """Seconds in which the step that ends here waited for a batch."""
    items: float = 0.0
    """Samples that it was handed."""


@dataclass
class StepClock:
    """Notes the end of every step of one rank."""

    skip: int
    """Steps of warm-up: at least ``LEAST_SKIP``."""
    run: Run
    now: Callable[[], float]
    mark: Callable[[], Any]
    """Sets a time mark on the device; returns None where there is none."""
    warm: int = 0
    """Steps that ended before it was known what ends one."""
    steps: int | None = None
    """How many are timed; None until the ranks have agreed."""
    _seen: set[Hashable] = field(default_factory=set)
    _closing: Hashable = None
    _boundaries: list[Boundary] = field(default_factory=list)
    _loader_s: float = 0.0
    _items: float = 0.0

    @property
    def closing(self) -> Hashable:
        """What ends steps, as far as is known."""
        return self._closing

    @property
    def ended_steps(self) -> int:
        """How many steps have ended so far, warm-up included."""
        return self.warm + len(self._boundaries)

    def ended(self, key: Hashable) -> None:
        """Something has happened that may end a step; ``key`` tells what."""
        if self.steps is None and key not in self._seen and MARKED not in self._seen:
            self._seen.add(key)
            self._closing = key
            self.warm += len(self._boundaries)
            self._boundaries.clear()
        if key == self._closing:
            self._end_step()

    def waited(self, seconds: float, items: float) -> None:
        """The step at hand has waited for a batch of so many items."""
        self._loader_s += seconds
        self._items += items

    def _end_step(self) -> None:
        self._note()
        self.run.beat()
        count = len(self._boundaries)
        if self.steps is None and count == self.skip - 1:
            self.steps = self.run.agree(self._last_s)
            self._boundaries.pop()
            self._note()  # the next step begins now
        if count == self.skip:
            self.run.begin()
        if self.steps is not None and count >= self.skip + self.steps:
            self.run.finish()

    def _note(self) -> None:
        self._boundaries.append(Boundary(self.now(), self.mark(), self._loader_s, self._items))
        self._loader_s = self._items = 0.0

    @property
    def _last_s(self) -> float:
        times = [boundary.host_s for boundary in self._boundaries[-2:]]
        return times[-1] - times[0]

    @property
    def timed(self) -> Sequence[Boundary]:
        """The end of the warm-up, and the end of each step that counts; empty before."""
        steps = self.steps or 0
        return self._boundaries[self.skip - 1 : self.skip + steps] if len(self._boundaries) >= self.skip else ()
