"""Text that steers no terminal, wherever it is from."""

import difflib
import re
from collections.abc import Iterable
from unicodedata import category

LONGEST_WORDS = 10_000
"""Characters of an exception's words that anybody looks at: some print a whole tensor."""


_GLOO = re.compile(r"^\[[^\]\n]*gloo/[^\]\n]*:\d+\] |( This is typically caused by[^\n]*| GLHF![^\n]*)", re.MULTILINE)
"""The parts that gloo adds to each error: its file, and a guess that ends in a joke."""


def harmless(text: str) -> str:
    """Text with a sign for each character that neither is printable nor a blank, a tab or the end of a line."""
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or category(character) == "Zs"  # blanks that do not break


def words_of(error: BaseException) -> str:
    """The text of an exception, without gloo's file names and jokes, or a substitute if ``str()`` of it fails."""
    try:
        return _GLOO.sub("", str(error)[:LONGEST_WORDS]).strip()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - it is a plugin's
        return "it cannot be put into words"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its kind, where it says nothing."""
    return next(iter(words_of(error).splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy for a mistyped name: the nearest known one, or all of them."""
    choices = sorted(set(known))
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(choices)}" if choices else "there are none"
