"""Telemetry as the ranks use it: one poller a host, away from their cores, and read by all of them."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.common.packages import within_reach
from harness.device.telemetry.readings import LAYOUT, Readings
from harness.world.control import ControlPlane

TOKEN = 32
"""Bytes of the token at the head of the file, which proves that the file is the poller's."""

Read = Callable[[], Readings]
"""Returns the readings of this rank's GPU since the last call."""


@dataclass(frozen=True)
class _Place:
    """The place of a rank, as all ranks of a launch know it."""

    host: str
    uuid: str
    """UUID of its GPU, as NVML writes it."""
    cpus: tuple[int, ...]


@contextmanager
def gauged(control: ControlPlane, uuid: str | None, cpus: Sequence[int], free: Sequence[int]) -> Iterator[Read | None]:
    """Have the GPUs of this launch read meanwhile; None where this rank's GPU cannot be. Every rank calls this.

    ``uuid`` is this rank's GPU as NVML writes it, None where it does not tell; ``cpus`` are this rank's own, and
    ``free`` all that this host's processes may use.
    """
    ranks: list[_Place | None] = control.gather(
        _Place(socket.gethostname(), uuid, tuple(cpus)) if uuid else None, _Place | None
    )
    mine = ranks[control.rank]
    peers = [rank for rank, place in enumerate(ranks) if place and mine and place.host == mine.host]
    here = [ranks[peer] for peer in peers]
    uuids = list(dict.fromkeys(place.uuid for place in here if place))
    ours = {cpu for place in here if place for cpu in place.cpus}
    process, source = None, None
    if peers and peers[0] == control.rank:
        process, source = _start(uuids, [cpu for cpu in free if cpu not in ours] or list(free))
    everywhere = control.gather(source, tuple[int, int, str] | None)
    try:
        yield _reader(everywhere[peers[0]], uuids.index(mine.uuid)) if peers and mine else None
    finally:
        if process is not None:
            process.communicate()  # closes its standard input, at which it ends


def _start(uuids: Sequence[str], cpus: Sequence[int]) -> tuple[subprocess.Popen[bytes], tuple[int, int, str]]:
    """Start a gauge on these CPUs; with it returns the process and file descriptor to read from, and its token."""
    token = secrets.token_hex(TOKEN // 2)
    file = os.memfd_create("rankbench-gauge", 0)  # memory without a name to leave behind
    os.write(file, token.encode())
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", "harness.device.telemetry.poller", str(file), *uuids],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=within_reach(),
        pass_fds=[file],
    )
    os.close(file)
    itself = psutil.Process(process.pid)
    itself.cpu_affinity(list(cpus))
    itself.nice(10)
    return process, (process.pid, file, token)


def _reader(source: tuple[int, int, str], place: int) -> Read:
    """Reads the memory of a process of this host, as far as it is there and can be read from here."""
    pid, number, text = source
    token = text.encode()
    path, position = Path(f"/proc/{pid}/fd/{number}"), TOKEN

    def read() -> Readings:
        nonlocal position
        content = b""
        with suppress(OSError), path.open("rb") as file:
            if file.read(TOKEN) == token:
                file.seek(position)
                content = file.read()
        content = content[: len(content) // LAYOUT.itemsize * LAYOUT.itemsize]  # the last record may be torn
        position += len(content)
        return Readings.of(content, place)

    return read
