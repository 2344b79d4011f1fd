"""How much of a file has come into this process, by reading or by mapping it into memory."""

import re
from pathlib import Path
from types import TracebackType
from typing import Self

_SELF = Path("/proc/self")


class Reading:
    """Counts, while it is entered, the bytes that this process reads, and at its end those of a file that are mapped.

    What was mapped must still be alive then. ``path`` is the file, or the folder of several.
    """

    bytes: int | None = None
    """None where this system does not tell."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._before = _read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = _read()
        if self._before is not None and now is not None:
            self.bytes = now - self._before + _mapped(self._path)


def _read() -> int | None:
    """Bytes that this process has read so far, from wherever; None where this system does not tell."""
    try:
        return int(re.findall(r"^rchar: (\d+)$", (_SELF / "io").read_text(), re.MULTILINE)[0])
    except (OSError, IndexError):
        return None


def _mapped(path: Path) -> int:
    """Bytes of a file, or of the files in a folder, that are in this process's memory as they are in the file."""
    total, ours = 0, False
    for line in (_SELF / "smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.partition("/")
            file = Path(name[1] + name[2])
            ours = path.resolve() in (file, *file.parents)
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
