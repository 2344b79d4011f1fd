"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from launch.lifeline import afterwards

REMOVE = 'until rm -rf -- "$0"; do sleep 1; done; rmdir -- "${0%/*}"'
"""Also what is still being written; and the run directory, on a host on which there is nothing else in it."""


def clear(folder: str) -> None:
    """Remove what the gangs of a launch have left, where they died and could not: the next ones need the room."""
    assert Path(folder).name == "scratch", folder
    for left in Path(folder).iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``, removed at the end. Several hosts may make it at once, on a disk that they share or not.

    Whoever removes it makes it again: once all have made it, it is there.
    """
    folder = root.resolve() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
    with afterwards(REMOVE, str(folder)):
        yield str(folder)
