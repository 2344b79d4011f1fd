"""Standard output, as long as there is somebody who takes it: a run goes on where nobody listens."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness.harmless import harmless


class Output(io.TextIOBase):
    """Writes to standard output. Where that is closed, by a reader or a scenario, what is said is lost, not the run."""

    def write(self, text: str) -> int:
        """Write ``text``, whole or not at all."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except UnicodeError:
            raise
        except ValueError:  # it was closed in this process
            sys.stdout = _nowhere()
        except OSError:  # its reader is gone; Python would complain once more when it ends
            sys.stdout = _nowhere()
            os.dup2(sys.stdout.fileno(), 1)
        return len(text)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not sys.stdout.closed and sys.stdout.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of standard output."""
        return sys.stdout.encoding


class Terminal(Console):
    """A console whose terminal no text can steer, wherever it is from: a plugin, a journal, a file's name."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As ever, with a sign for each character that cannot be printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


def complain(text: object) -> None:
    """One line on standard error."""
    if os.environ.get("RANK", "0") == "0":  # the other ranks of somebody's torchrun have the same to say
        print(f"rankbench: {harmless(str(text))}", file=sys.stderr)  # noqa: T201


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
