"""The journal as a file: one record a line, durable before the next one, and each line with a checksum of its own.

A line is the record's JSON object, whose last member is ``crc32``: that of all bytes of the line before that member's
comma, in eight hexadecimal digits. The last line alone may be torn, by whatever ended its run: it was never finished.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import disk_usage
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from zlib import crc32

from pydantic import ValidationError

from harness.common.errors import FullError, JournalError, UsageError
from harness.common.fork_safety import keep_to_ourselves
from harness.journal.full_disk import FULL
from harness.journal.plan import Record
from harness.journal.records import CellRecord, Entry, parse

PATIENCE_S = 30.0
"""A scenario that fills the disk gives it back as soon as its case has failed: the journal waits so long for that."""
LONGEST = 128 << 20
"""Bytes of a line: of a cell of 4096 ranks, 600 samples each."""
LEAST_ROOM = 1_000_000
"""Bytes that must be free before anything is measured."""
END = b',"crc32":"%08x"}\n'
END_BYTES = len(END % 0)
UNENDED, ALTERED = "does not end", "is not as it was written: its checksum differs"
TORN = (UNENDED, ALTERED)
"""The fault that only the last line may have: it was being written, and a part of it had reached the disk."""

T = TypeVar("T")


def sealed(text: bytes) -> bytes:
    """The line of a record, which is a JSON object."""
    return text[:-1] + END % crc32(memoryview(text)[:-1])


def fault(line: bytes) -> str | None:
    """The fault of a line that was read up to one byte beyond ``LONGEST``; None if it is as it was written."""
    if len(line) > LONGEST:
        return "is longer than any record"
    if not line.endswith(b"\n"):
        return UNENDED
    if line[-END_BYTES : -len("00000000'}\n")] != END[: -len("%08x'}\n")]:
        return "has no checksum"
    return None if line.endswith(END % crc32(memoryview(line)[:-END_BYTES])) else ALTERED


def texts(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line's number, from 1, and record as text; a torn last line is left out, and the file stands before it.

    Raises JournalError where another line is not as it was written.
    """
    number, start = 0, 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if (what := fault(line)) is not None:
            if what in TORN and not file.read(1):
                file.seek(start)
                return
            raise damaged(path, number, what)
        start += len(line)
        text = b"".join((memoryview(line)[:-END_BYTES], b"}"))
        del line  # it may be long
        yield number, text


def damaged(path: Path, number: int, what: str) -> JournalError:
    """The error for a line that cannot be read, and what to do then."""
    remedy = (
        f"copy it back from a backup, or take the line out (sed -i {number}d {path}): --resume measures its cell again"
    )
    return JournalError(f"{path}, line {number} {what}; {remedy}")


def read(path: Path) -> Iterator[Entry]:
    """Every record of a journal, in order; a torn last line is left out. Raises JournalError."""
    return read_by(parse, path)


def read_by(parse: Callable[[bytes], T], path: Path) -> Iterator[T]:
    """The same, each record's text by a parser that raises ValueError."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, text in texts(file, path):
            try:
                yield parse(text)
            except ValidationError as error:
                first = error.errors()[0]
                raise damaged(path, number, f"is no record: {first['msg']} at {first['loc']}") from None
            except ValueError as error:
                raise damaged(path, number, f"is no record: {error}") from None


def torn_bytes(path: Path) -> int:
    """Bytes of a last line that was never finished; 0 where there is none, or no journal."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST - 1))
        tail = file.read()
    line = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    return len(line) if line and fault(line) in TORN else 0


def need_room(folder: Path) -> None:
    """Raise UsageError for a disk on which a run would end before it has begun."""
    room = disk_usage(folder).free
    if room < LEAST_ROOM:
        rule, value = f"have room for {LEAST_ROOM // 1000} kB", f"{folder}, which has {room // 1000} kB"
        raise UsageError("run directory", rule, value, "make room, or choose another")


def _line(record: Record) -> bytes:
    return sealed(record.model_dump_json(by_alias=True).encode())


def _too_long(cell: CellRecord, size: int) -> CellRecord:
    message = f"its samples take {size} bytes of the journal, a line of which has at most {LONGEST}: use fewer devices"
    where = cell.model_dump(include={"launch", "comparison", "case"})
    return CellRecord(**where, status="error", message=message)


class Journal:
    """The writing end: one process at a time, each record durable before ``append`` returns."""

    def __init__(self, path: Path) -> None:
        """Open for appending.

        Raises UsageError if another run has it or the disk takes nothing, and JournalError where it is damaged.
        """
        self.path = path
        try:
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            remedy = "make it so, or choose another"
            raise UsageError("run directory", "be writable", f"{path.parent} ({error.strerror})", remedy) from None
        keep_to_ourselves(self._file)
        try:
            need_room(path.parent)
            self.unlocked = self._lock()
            """Why no lock keeps other runs out; None where one does."""
            self.torn_bytes = self._set_torn_tail_aside()
            """Bytes of the line that the last run did not finish: they are in ``torn_path`` now."""
        except BlockingIOError:
            self._file.close()
            fault = f"{path.parent} belongs to a running run"
            raise UsageError("run directory", fault, None, "wait for it, or choose another") from None
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> str | None:
        """Keep other runs out. Raises BlockingIOError where one has the journal; returns why there is no lock."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:  # some network file systems have none
            return error.strerror or type(error).__name__
        return None

    @property
    def torn_path(self) -> Path:
        """The file that keeps torn lines, one after the other."""
        return self.path.with_suffix(".torn")

    def append(self, record: Record) -> Record:
        """Write one record and wait until the disk has it; where it is full, wait a while for room.

        Returns what was written: in place of a cell that is longer than any line may be, an error that says so.
        Raises FullError where it cannot be written: the journal then ends with the record before.
        """
        line = _line(record)
        if len(line) > LONGEST and isinstance(record, CellRecord):
            record = _too_long(record, len(line))
            line = _line(record)
        left = memoryview(line)
        until_s = time.monotonic() + PATIENCE_S
        try:
            while left:
                try:
                    left = left[self._file.write(left) :]
                except OSError as error:
                    if error.errno not in FULL or time.monotonic() > until_s:
                        raise
                    time.sleep(0.05)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FullError(f"{self.path} cannot be written: {error.strerror}; make room on its disk") from None
        return record

    def close(self) -> None:
        """Let another process write."""
        self._file.close()

    def _set_torn_tail_aside(self) -> int:
        with self.path.open("rb") as file:
            for _ in texts(file, self.path):
                pass
            end = file.tell()
            tail = file.read()
        if tail:
            with self.torn_path.open("ab") as torn:
                torn.write(tail)
                torn.flush()
                os.fsync(torn.fileno())
            self._file.truncate(end)
        return len(tail)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
