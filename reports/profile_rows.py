"""Rows of summary.json on profiles: the traces of a few steps of each case, made outside its samples."""

from __future__ import annotations

from harness.plan import Record


class ProfileRow(Record):
    """The profile of one case."""

    comparison: int
    key: str
    files: tuple[str, ...]
    """A trace a rank, in rank order, below the run's ``profiles``."""
    bytes: int
    """Of these files together."""
    steps: int
    """Steps that were traced."""
    message: str | None
    """Why there are no files, in a line."""
