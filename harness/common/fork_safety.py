"""What a process holds that its forks must not keep: a pipe, socket or lock that they hold outlives whoever made it.

A scenario may fork (`os.fork`, data loaders): a rank whose child has its line to the parent would not be missed when
it dies, and a folder that is removed once a pipe is closed would be there for as long as that child.
"""

import os
import socket
from typing import IO, Any
from weakref import WeakSet

_OURS: WeakSet[socket.socket | IO[Any]] = WeakSet()


def keep_to_ourselves(held: socket.socket | IO[Any]) -> None:
    """Close ``held`` in every process that is forked from this one."""
    _OURS.add(held)


def _let_go() -> None:
    for held in _OURS:
        if isinstance(held, socket.socket):
            if held.fileno() >= 0:
                os.close(held.detach())  # at once, also where somebody reads it as a file
        elif not held.closed:
            held.close()


os.register_at_fork(after_in_child=_let_go)
