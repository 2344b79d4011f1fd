"""Files of a run directory that may come from anybody: no links, nothing but files, and of bounded size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import JournalError

NAMES = ("plan.json", "environment.json", "journal.jsonl", "summary.json", "report.html")
"""Files of every run."""
SCRATCH = "scratch"
"""Folder for the files of scenarios."""
LARGEST = 64 << 20
"""Bytes of a file that is read as a whole."""


def refuse_strange(root: Path) -> None:
    """Raise JournalError where anything in a run directory leads out of it, or is no file of a run's.

    Scenarios may have whatever they like in their own folder, which is removed unread.
    """
    for kind, path in sorted(_below(root), key=lambda each: each[1]):
        if stat.S_ISREG(kind) or (stat.S_ISDIR(kind) and path.name not in NAMES):
            continue
        what = "a symbolic link" if stat.S_ISLNK(kind) else "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise JournalError(f"{path} must be a file or a folder of the run's own, but is {what}; remove it")


def _below(folder: Path) -> Iterator[tuple[int, Path]]:
    """Mode and path of all that is in a folder; a run that goes on meanwhile may remove some of it."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):
                kind = entry.stat(follow_symlinks=False).st_mode
                yield kind, Path(entry.path)
                if stat.S_ISDIR(kind) and entry.name != SCRATCH:
                    yield from _below(Path(entry.path))


def content(path: Path) -> bytes:
    """All of a file. Raises JournalError where it is too large."""
    with path.open("rb") as file:
        told = file.read(LARGEST + 1)
    if len(told) > LARGEST:
        raise JournalError(f"{path} must have at most {LARGEST} bytes, but has more; it is no file of rankbench's")
    return told
