"""The folder for scenarios' files: on the disk of the run directory, and gone afterwards, however the run ends."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir

from harness.common.errors import RankbenchError
from harness.journal.run_directory import SCRATCH
from launch.processes.cleanup import REMOVED, afterwards

PRIVATE = 0o700
REMOVE = f'{REMOVED}; rmdir -- "${{0%/*}}"'
"""Removes ``$0``, and on a host without anything else in it the run directory too."""


def clear(folder: str) -> None:
    """Remove what the gangs of a launch have left, where they died and could not: the next ones need the room."""
    assert Path(folder).name == SCRATCH, folder
    for left in Path(folder).iterdir():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def scratch(root: Path) -> Iterator[str]:
    """A folder below ``root``, for this user alone, removed at the end. Raises RankbenchError where it is a link.

    Several hosts may make it at once, on a disk that they share or not. Whoever removes it makes it again: once all
    have made it, it is there.
    """
    folder = root.resolve() / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=PRIVATE)
    if folder.is_symlink():
        raise RankbenchError(f"{folder} must be a folder of the run's own, but is a symbolic link; remove it")
    with afterwards(REMOVE, str(folder)):
        yield str(folder)


@contextmanager
def lent(folder: Path, mark: str, *, first: bool) -> Iterator[str]:
    """The ``folder`` that the run's parent has made; on a host without its disk another one, for all ranks of a gang.

    There the host's ``first`` rank makes it, and it is gone with that rank. ``mark`` is of this gang, and known to
    nobody else: temporary files are in a folder that all users share, and other hosts may. Raises RankbenchError where
    somebody has made it.
    """
    substitute = Path(gettempdir()).resolve() / f"rankbench-{mark}-{socket.gethostname()}"
    if _ours(folder):
        yield str(folder)
    elif first:
        try:
            substitute.mkdir(mode=PRIVATE)
        except FileExistsError:
            raise RankbenchError(f"{substitute} must not be there yet, but is; remove it") from None
        with scratch(substitute) as scratch_folder:
            yield scratch_folder
    else:
        yield str(substitute / SCRATCH)


def _ours(folder: Path) -> bool:
    """Whether it is a folder of this user, and no link."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
