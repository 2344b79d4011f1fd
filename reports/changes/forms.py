"""How a comparison of two runs is printed: for people, for a pull request, or for scripts."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from harness.errors import UsageError, nearest
from reports.changes.comment import comment
from reports.changes.rows import Changes
from reports.changes.table import show

FORMS: dict[str, Callable[[Changes], str] | None] = {"table": None, "markdown": comment, "json": Changes.to_json}
"""What ``rankbench compare --format`` knows; None is the terminal's table."""


def known(form: str) -> None:
    """Raise UsageError for a format that is not known."""
    if form not in FORMS:
        raise UsageError("--format", "be a known format", repr(form), nearest(form, FORMS))


def printed(changes: Changes, form: str, console: Console) -> None:
    """Print it in a format that is known."""
    write = FORMS[form]
    if write is None:
        show(changes, console)
    else:
        console.file.write(write(changes))
