"""A channel between the parent of a run and its processes: lines of JSON over an abstract Unix socket.

Abstract: it leaves no file behind, and it is gone with its processes. Only processes of the same user are heard.
"""

import json
import os
import selectors
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from harness.common.fork_safety import keep_to_ourselves
from harness.journal.plan import Record

SEND_S = 10.0
"""Send timeout: a process that does not read for this long is given up."""

Event = tuple["Peer", Literal["line", "closed"], bytes]


@dataclass(eq=False)
class Peer:
    """One connected process."""

    socket: socket.socket
    pending: bytes = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self.socket.sendall(json.dumps(message).encode() + b"\n")


class Server:
    """The parent's end."""

    def __init__(self) -> None:
        self.address = f"rankbench-{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(f"\0{self.address}")
        self._socket.listen(256)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def events(self, timeout_s: float) -> Iterator[Event]:
        """Return the messages that have arrived; wait up to ``timeout_s`` seconds for the first."""
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if key.fileobj is self._socket:
                self._accept()
            else:
                yield from self._receive(key.data)

    def drain(self) -> None:
        """Close the connections of dead processes."""
        while list(self.events(0.0)):
            pass

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():
            connection.close()
            return
        connection.settimeout(SEND_S)
        self._selector.register(connection, selectors.EVENT_READ, Peer(connection))

    def _receive(self, peer: Peer) -> Iterator[Event]:
        try:
            data = peer.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        *lines, peer.pending = (peer.pending + data).split(b"\n")
        for line in lines:
            yield peer, "line", line
        if not data:
            self._selector.unregister(peer.socket)
            peer.socket.close()
            yield peer, "closed", b""

    def close(self) -> None:
        """Close all connections."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()


class Client:
    """The process's end."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(f"\0{address}")
        keep_to_ourselves(self._socket)
        self._turn = threading.Lock()

    def send(self, message: Record | dict[str, Any]) -> None:
        """Send one message; a record as the journal would write it. Any thread may."""
        text = message.model_dump_json(by_alias=True) if isinstance(message, Record) else json.dumps(message)
        with self._turn:
            self._socket.sendall(text.encode() + b"\n")

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages of the parent, until it closes the connection."""
        with self._socket.makefile("rb") as file:
            for line in file:
                yield json.loads(line)
