"""Markdown as GitHub shows it: foreign text can do nothing in it, and it stays below GitHub's limits.

A comment that is too long is refused, and a job summary that is too long is dropped whole: here rows are left out, and
counted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reports.text import labels, units

COMMENT = 65_000
"""Bytes of a pull-request comment; GitHub takes 65,536 characters."""
JOB_SUMMARY = 1_000_000
"""Bytes of a step's job summary; GitHub takes 1 MiB."""
LONGEST = 200
"""Characters of a piece of foreign text."""
LEFT_OUT = 120
"""Bytes that are kept free for the line that counts what was left out."""

_ACTIVE = re.compile(r"([\\*_\[\]<>#|~$^!`])")
_LINKS = re.compile(r"(?i)(www)\.|(:)//")


def code(text: str) -> str:
    """Foreign text as a code span: no HTML, links or mentions work in it; a bar would still end a table's cell."""
    shown = labels.plain(text).replace("|", "\N{BROKEN BAR}")
    return f"`{labels.cut(shown, LONGEST)}`" if shown else units.NONE


def sentence(text: str) -> str:
    """A sentence whose names stand in backticks: these become code, and the rest is shown as it is."""
    parts = text.split("`")
    return "".join(code(part) if place % 2 else inert(part) for place, part in enumerate(parts))


def inert(text: str) -> str:
    """Text in which nothing is marked up: no link, no mention, no formula."""
    shown = _ACTIVE.sub(r"\\\1", labels.printable(text))
    shown = _LINKS.sub(lambda match: f"{match[1]}\\." if match[1] else "\\://", shown)
    return shown.replace("&", "&amp;").replace("@", "@\N{ZERO WIDTH SPACE}")


@dataclass(frozen=True)
class Block:
    """A table or a list, of which rows may be left out from the end."""

    rows: Sequence[str]
    head: Sequence[str] = ()
    """Lines before the rows, e.g. those that make a table's head."""
    title: str = ""
    """Our own words; empty for a block that is not folded away."""
    open: bool = False
    """Whether a folded block starts unfolded."""

    @property
    def before(self) -> list[str]:
        """Lines that open it."""
        if not self.title:
            return [*self.head]
        return [f"<details{' open' * self.open}><summary>{self.title}</summary>", "", *self.head]

    @property
    def after(self) -> list[str]:
        """Lines that close it."""
        return ["", "</details>", ""] if self.title else [""]


def head(*columns: str) -> list[str]:
    """The head of a table; a column whose name ends in a colon is aligned to the right."""
    return [
        row(*(name.rstrip(":") for name in columns)),
        row(*("--:" if name.endswith(":") else "--" for name in columns)),
    ]


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def fitted(opening: Sequence[str], blocks: Sequence[Block], limit: int, rest: str) -> str:
    """Opening lines and blocks in at most ``limit`` bytes; ``rest`` says where what is left out can be found."""
    lines, room, left = [*opening, ""], limit - _size([*opening, ""]) - LEFT_OUT - len(rest.encode()), 0
    for block in blocks:
        room -= _size([*block.before, *block.after])
        length = 0
        while length < len(block.rows) and room >= (need := _size([block.rows[length]])):
            room -= need
            length += 1
        left += len(block.rows) - length
        if length:
            lines += [*block.before, *block.rows[:length], *block.after]
        else:
            room += _size([*block.before, *block.after])
    if left:
        lines += [f"_{units.count(left, 'row')} left out for want of room: {rest}_"]
    return "\n".join(lines).rstrip() + "\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
