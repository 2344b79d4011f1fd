"""Steps that a script marks itself, where ``rankbench script`` cannot see them. Outside of that, these do nothing.

``for batch in rankbench_steps(loader): …`` makes each turn of the loop a step; ``with rankbench_steps(): …`` makes the
block one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_listeners: list[Callable[[], None]] = []
"""Called at the end of each step; empty outside of ``rankbench script``."""


def listen(listener: Callable[[], None]) -> None:
    """Have ``listener`` called at the end of each marked step of this process."""
    _listeners.append(listener)


class rankbench_steps(Generic[T]):  # noqa: N801 - read as a function, as contextlib's classes are
    """Marks steps: of a loop over ``items``, or of a ``with`` block.

    A block or a turn that raises is no step.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items = items

    def __iter__(self) -> Iterator[T]:
        """The items; a step ends when the next one is asked for."""
        for item in self._items:
            yield item
            _end()

    def __enter__(self) -> None:
        """Begin a step."""

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """End a step."""
        if kind is None:
            _end()


def _end() -> None:
    for listener in _listeners:
        listener()
