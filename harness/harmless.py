"""Text that steers no terminal, wherever it is from."""

from __future__ import annotations

from unicodedata import category


def harmless(text: str) -> str:
    """Text with a sign for each character that neither is printable nor a blank, a tab or the end of a line."""
    if text.isprintable():
        return text
    return "".join(each if _is_harmless(each) else "\N{REPLACEMENT CHARACTER}" for each in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or category(character) == "Zs"  # blanks that do not break
