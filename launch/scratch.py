"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from launch.lifeline import afterwards

REMOVE = 'until rm -rf -- "$0"; do sleep 1; done'
"""Also what is still being written."""


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``, removed at the end."""
    folder = root.resolve() / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with afterwards(REMOVE, str(folder)):
        yield str(folder)
