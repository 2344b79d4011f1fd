"""Fates: what became of every rank of a gang that did not end well."""

from __future__ import annotations

from harness.harmless import harmless
from harness.plan import Record

LONGEST = 4000
"""Characters of last words that are kept: their end."""


class RankFate(Record):
    """What became of one rank."""

    rank: int
    fate: str
    """In words, e.g. ``rank 1 was killed by SIGKILL`` or ``rank 0 waits for the other ranks``."""
    words: str | None = None
    """Its last words: where it hung, its stack; else the end of its standard error, where that is known."""


def last(text: str) -> str | None:
    """The end of ``text``, as much as is kept, with nothing in it that steers a terminal; None where there is none."""
    return harmless(text[-LONGEST:]).strip() or None
