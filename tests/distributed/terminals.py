"""A command on a pseudo-terminal of a certain size, and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyte
import pytest

from tests.limits import LIMIT_S

LINES = 500
"""Of the screen: nothing that a command prints is scrolled away."""
CTRL_C = b"\x03"


@dataclass(frozen=True)
class Seen:
    """What a command that has ended showed."""

    code: int
    lines: tuple[str, ...]
    """Of the screen in the end, without blanks at their ends and empty ones below."""
    passing: str
    """Everything that was written, with what was overwritten later."""
    cursor_hidden: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def words(self) -> str:
        """The same as one line: a narrow terminal wraps."""
        return " ".join(self.text.split())


def on_a_terminal(
    command: Sequence[object],
    columns: int,
    *,
    during: Callable[[Callable[[bytes], None]], None] | None = None,
    **variables: str,
) -> Seen:
    """Run a command line of rankbench's on a terminal; ``during`` is called again and again with what types."""
    screen = pyte.Screen(columns, LINES)
    stream = pyte.ByteStream(screen)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, command)],
        stdin=slave, stdout=slave, stderr=slave, env=environment | {"TERM": "xterm-256color"} | variables,
        preexec_fn=lambda: os.login_tty(os.dup(slave)),  # noqa: PLW1509 - there is no other way to a controlling terminal
    )  # fmt: skip
    os.close(slave)
    passing = b""
    until_s = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < until_s:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    piece = os.read(master, 1 << 16)
                except OSError:  # the last process has closed its end
                    break
                passing += piece
                stream.feed(piece)
            if during is not None:
                during(lambda keys: os.write(master, keys) and None)
        else:
            pytest.fail(f"it takes too long:\n{passing[-2000:].decode(errors='replace')}")
        code = process.wait(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Seen(code, tuple(lines), passing.decode(errors="replace"), screen.cursor.hidden)
