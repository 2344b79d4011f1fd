"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import gettempdir

from harness.files import SCRATCH
from launch.lifeline import REMOVED, afterwards

REMOVE = f'{REMOVED}; rmdir -- "${{0%/*}}"'
"""Also the run directory, on a host on which there is nothing else in it."""


def clear(folder: str) -> None:
    """Remove what the gangs of a launch have left, where they died and could not: the next ones need the room."""
    assert Path(folder).name == SCRATCH, folder
    for left in Path(folder).iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``, removed at the end. Several hosts may make it at once, on a disk that they share or not.

    Whoever removes it makes it again: once all have made it, it is there.
    """
    folder = root.resolve() / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
    with afterwards(REMOVE, str(folder)):
        yield str(folder)


@contextmanager
def lent(folder: Path, gang: str, *, first: bool) -> Iterator[str]:
    """The ``folder`` that the run's parent has made; on a host without its disk another one, for all ranks of a gang.

    There the host's ``first`` rank makes it, and it is gone with that rank.
    """
    own = Path(gettempdir()) / f"rankbench-{gang}"
    if folder.exists():
        yield str(folder)
    else:
        with scratch(own) if first else nullcontext(str(own.resolve() / "scratch")) as here:
            yield here
