"""No process outlives its run: each dies with the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator

import psutil

PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies; ``parent`` is who that should be, where it is known."""
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
    try:
        yield
    finally:
        sweeper.communicate()


def kill_tree(pid: int) -> None:
    """Kill a process and everything below it, sessions of their own included, and wait until all are gone."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]  # before the kill: afterwards orphans have other parents
    except psutil.NoSuchProcess:
        return
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)
