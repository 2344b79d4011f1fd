"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.lifeline import afterwards

REMOVE = 'until rm -rf -- "$0"; do sleep 1; done'
"""Also what is still being written."""


def clear(folder: str) -> None:
    """Remove what the gangs of a launch have left, where they died and could not: the next ones need the room."""
    assert Path(folder).name == "scratch", folder
    for left in Path(folder).iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``, removed at the end."""
    folder = root.resolve() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with afterwards(REMOVE, str(folder)):
        yield str(folder)
