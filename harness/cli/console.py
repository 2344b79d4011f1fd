"""Standard output, as long as there is somebody who takes it: a run goes on where nobody listens."""

import io
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness.common.errors import UsageError
from harness.common.startup import ranks_around
from harness.common.text import harmless

FIRST_S = 30.0
"""For so long a host's first rank has the word."""
STANDARD_ERROR = 2
"""Its number; those of input and output are smaller."""


class Output(io.TextIOBase):
    """Writes to the stream that is standard output now. Once nobody reads it, text is lost and the run goes on.

    The stream is looked up once: a live display puts a proxy in the place of ``sys.stdout`` that writes to its console,
    whose file this is.
    """

    def __init__(self) -> None:
        self._stream: TextIO = sys.stdout

    def write(self, text: str) -> int:
        """Write ``text``, whole or not at all."""
        try:
            self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
            self._stream.flush()
        except ValueError:  # it was closed in this process
            self._give_up()
        except OSError:  # its reader is gone; Python would complain once more when it ends
            self._give_up()
            os.dup2(self._stream.fileno(), 1)
        return len(text)

    def _give_up(self) -> None:
        lost, self._stream = self._stream, _nowhere()
        if sys.stdout is lost:
            sys.stdout = self._stream

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self._stream.closed and self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._stream.encoding or "utf-8"


class Terminal(Console):
    """A console whose terminal no text can steer, wherever it is from: a plugin, a journal, a file's name."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As ever, with a sign for each character that cannot be printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))


def complain(text: object) -> None:
    """One line on standard error. Of somebody's torchrun, that is for the first rank on each host to say.

    A rank that ended would have torchrun end the others there, so they leave it the word until it has ended.
    """
    try:
        ranks = ranks_around()
    except UsageError:  # these are no ranks, and perhaps that is what is said
        ranks = None
    if ranks and ranks.local_rank:
        time.sleep(FIRST_S)
    if ranks and ranks.rank:
        text = f"rank {ranks.rank}: {text}"
    try:
        print(f"rankbench: {harmless(str(text))}", file=sys.stderr, flush=True)  # noqa: T201
    except ValueError:  # it was closed in this process
        sys.stderr = _nowhere()
    except OSError:  # its terminal is gone; Python would complain once more when it ends
        sys.stderr = _nowhere()
        os.dup2(sys.stderr.fileno(), STANDARD_ERROR)


def open_standard_streams() -> None:
    """Have something at standard input, output and error where nothing is: else files of the run take their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
