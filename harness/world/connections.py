"""The connections of gloo's process groups: a rank that hangs up lets its peers go, whoever still holds the group.

``ProcessGroup.abort()`` does nothing for gloo, and a group is closed only once nothing refers to it any more, as DDP,
FSDP, device meshes and forked processes do. A connection that was shut down is closed for both its ends at once.
"""

import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOST_S, PROBES_S = 15, 3
"""TCP keepalive: a host that does not answer for this long is lost; how often an idle one is probed."""


@dataclass(frozen=True)
class Connection:
    """A connected socket of this process."""

    descriptor: int
    inode: int
    """Tells it from another file that later has the same descriptor."""

    def expect_answers(self) -> None:
        """Have the kernel give it up once its other end has not answered for ``LOST_S`` seconds, or a little longer.

        By itself it notices a host or a link that has gone when minutes have passed, or never. A process that is only
        stopped goes on to answer.
        """
        options = {
            socket.TCP_KEEPIDLE: PROBES_S,
            socket.TCP_KEEPINTVL: PROBES_S,
            socket.TCP_KEEPCNT: LOST_S // PROBES_S,
            socket.TCP_USER_TIMEOUT: LOST_S * 1000,
        }
        with suppress(OSError), _duplicate(self.descriptor) as duplicate:
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in options.items():
                duplicate.setsockopt(socket.IPPROTO_TCP, option, value)

    def hang_up(self) -> None:
        """Shut it down in both directions, unless it has been closed."""
        with suppress(OSError), _duplicate(self.descriptor) as duplicate:
            if os.fstat(duplicate.fileno()).st_ino == self.inode:
                duplicate.shutdown(socket.SHUT_RDWR)


@contextmanager
def opened(store_port: int | None = None) -> Iterator[list[Connection]]:
    """The TCP connections that this process has at the end of the block and had not at its beginning.

    Those with the store at ``store_port``, at which ranks meet, are left out.
    """
    connections: list[Connection] = []
    before = set(_sockets())
    yield connections
    new = [socket for socket in _sockets() if socket not in before]
    connections += (socket for socket in new if (ports := _ports(socket)) and store_port not in ports)


def hang_up(connections: Iterable[Connection]) -> None:
    """Shut all of them down."""
    for connection in connections:
        connection.hang_up()


def _sockets() -> Iterator[Connection]:
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):  # that of the listing itself is closed by now
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                yield Connection(descriptor, status.st_ino)


def _ports(connection: Connection) -> tuple[int, ...]:
    """The TCP ports of both its ends; none of a socket that listens, whose shutting down would end the process."""
    with suppress(OSError), _duplicate(connection.descriptor) as duplicate:
        if duplicate.family in (socket.AF_INET, socket.AF_INET6):
            return duplicate.getsockname()[1], duplicate.getpeername()[1]
    return ()


def _duplicate(descriptor: int) -> socket.socket:
    return socket.socket(fileno=os.dup(descriptor))
