"""No process outlives its run: each dies with the process that started it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from harness.common.errors import UsageError
from harness.common.fork_safety import keep_to_ourselves

PR_SET_PDEATHSIG = 1
PLACES = "/tmp", "/var/tmp", "/dev/shm"  # noqa: S108 - what is made there is nobody else's, and has a name of chance
"""Folders for temporary files if TMPDIR is unsuitable."""
SOCKET = "/rankbench-12345678/pymp-12345678/listener-12345678"
"""The file name of multiprocessing's Unix socket in the folder for temporary files."""
KILL_S = 10.0
"""How long to wait for a killed process: most end immediately, and one in a hanging driver never does."""
LONGEST = 107
"""The longest path of a Unix socket, in bytes."""
MARK = "RANKBENCH_GANGS"
"""A variable in the environment of all processes that a launcher of this host starts, by which they are found."""
KILL = 'grep -lsaF -e "$0" /proc/[0-9]*/environ | while IFS=/ read -r _ _ it _; do kill -9 "$it"; done'
_ROUNDS = 'n=0; while [ -e "$0" ] && [ $n -lt 60 ]; do n=$((n+1))'
_REMOVE = 'rm -rf -- "$0" || { chmod -R u+rwX -- "$0"; rm -rf -- "$0" || sleep 1; }'
REMOVED = f"{_ROUNDS}; {_REMOVE}; done"
"""Removes ``$0``: also what is still being written, or protected against its owner; gives up after a minute."""
SWEEP = f"{_ROUNDS}; {KILL}; {_REMOVE}; done"
"""Kills what has ``$0`` in its environment, in sessions of their own and orphans with other parents too; removes it."""


def tie_to_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies; ``parent`` is the expected parent, if known."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:  # it died before it was tied
        os._exit(70)


@contextlib.contextmanager
def afterwards(command: str, argument: str) -> Iterator[None]:
    """Run a shell command, ``$0`` its argument, when the block is left or this process ends: by a kill -9 too."""
    sweeper = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", f"cat; {command}", argument],
        stdin=subprocess.PIPE,  # its other end is closed with this process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        start_new_session=True,  # Ctrl-C is not meant for it
    )
    assert sweeper.stdin is not None
    keep_to_ourselves(sweeper.stdin)
    try:
        yield
    finally:
        sweeper.communicate()
        if sweeper.returncode:  # somebody has killed it
            subprocess.run(["/bin/sh", "-c", command, argument], stderr=subprocess.DEVNULL, check=False)  # noqa: S603


@contextlib.contextmanager
def temporary(parent: str | None = None) -> Iterator[str]:
    """A folder for temporary files, with a short path. At the end it is gone, and who has it in the environment too.

    It is below ``parent``, by default where there is room for sockets. Raises UsageError where there is no such place.
    """
    folder = tempfile.mkdtemp(prefix="rankbench-", dir=parent or _place())
    with afterwards(SWEEP, folder):
        yield folder


def _place() -> str:
    """The first folder for temporary files whose path is short enough for a socket in it."""
    places = tempfile.gettempdir(), *PLACES
    for place in places:
        if len(os.fsencode(place + SOCKET)) <= LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    rule = f"name a folder in which files can be written, with at most {LONGEST - len(SOCKET)} characters"
    raise UsageError("TMPDIR", rule, " or ".join(places), "set it to such a folder")


def kill_started(pids: Iterable[int], mark: str, themselves: bool) -> None:  # noqa: FBT001 - for Ray
    """Kill what processes have started, sessions of their own and orphans included; and them, where so told.

    ``mark`` is in the environment of what they have started. Waits until all are gone.
    """
    roots = set(pids)
    kill_all((roots if themselves else set()) | below(roots) | marked(mark))  # found before the kill: it makes orphans


def below(pids: Iterable[int]) -> set[int]:
    """All descendants of the processes, as far as the parents live."""
    descendants: set[int] = set()
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            descendants.update(process.pid for process in psutil.Process(pid).children(recursive=True))
    return descendants


def marked(mark: str) -> set[int]:
    """Processes of this user that have ``mark`` in their environment, whatever their parents."""
    processes = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                processes.add(int(folder.name))
    return processes


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes, and wait until all are dead. One that survives that is reported on standard error.

    A zombie is dead: its parent, which may never ask how it ended, is not waited for.
    """
    family = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            family.append(psutil.Process(pid))
            family[-1].kill()
    until_s = time.monotonic() + KILL_S
    while (family := _survivors(family)) and time.monotonic() < until_s:
        pass
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            print(  # noqa: T201
                f"rankbench: process {process.pid} ({process.name()}) was killed {KILL_S:g} s ago and is still "
                "there: it may hold memory of its device, which later launches lack",
                file=sys.stderr,
            )


def _survivors(family: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that are still alive after at most 0.1 s; dead children of this process are reaped."""
    _, rest = psutil.wait_procs(family, timeout=0.1)
    return [process for process in rest if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
