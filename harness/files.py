"""Files of a run directory that may come from anybody: no links, nothing but files, and of bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.errors import JournalError

NAMES = ("plan.json", "environment.json", "journal.jsonl", "summary.json", "report.html")
"""Files of every run."""
LARGEST = 64 << 20
"""Bytes of a file that is read as a whole."""


def refuse_strange(root: Path) -> None:
    """Raise JournalError where anything in a run directory leads out of it, or is no file of a run's."""
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        kind = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(kind) or (stat.S_ISDIR(kind) and entry.name not in NAMES):
            continue
        what = "a symbolic link" if stat.S_ISLNK(kind) else "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise JournalError(f"{entry.path} must be a file or a folder of the run's own, but is {what}; remove it")


def content(path: Path) -> bytes:
    """All of a file. Raises JournalError where it is too large."""
    with path.open("rb") as file:
        told = file.read(LARGEST + 1)
    if len(told) > LARGEST:
        raise JournalError(f"{path} must have at most {LARGEST} bytes, but has more; it is no file of rankbench's")
    return told
