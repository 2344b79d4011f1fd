"""Standard output, as long as there is somebody who takes it: a run goes on where nobody listens."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TextIO


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


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
