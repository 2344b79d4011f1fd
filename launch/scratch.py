"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SWEEP = 'cat; until rm -rf -- "$0"; do sleep 1; done'
"""Waits until nobody holds the other end of its standard input, then removes the folder, and what is still written."""


def clear(folder: str) -> None:
    """Remove what the gangs of a launch have left, where they died and could not: the next ones need the room."""
    assert Path(folder).name == "scratch", folder
    for left in Path(folder).iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``. A sweeper removes it at the end: a process of its own, so that it outlives a kill -9."""
    folder = root.resolve() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sweeper = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _SWEEP, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not meant for it
    )
    try:
        yield str(folder)
    finally:
        sweeper.communicate()
