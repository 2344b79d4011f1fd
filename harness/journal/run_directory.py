"""A run directory: the plan, the environment, the journal, and what was made of them."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.common.errors import JournalError, UsageError
from harness.journal import log
from harness.journal.plan import Plan
from harness.journal.records import Entry

NAMES = ("plan.json", "environment.json", "journal.jsonl", "summary.json", "report.html")
"""Files of every run."""
SCRATCH = "scratch"
"""Folder for the files of scenarios."""
LARGEST = 64 << 20
"""Bytes of a file that is read as a whole."""


def refuse_strange(root: Path) -> None:
    """Raise JournalError where anything in a run directory leads out of it, or is no file of a run's.

    Scenarios may have whatever they like in their own folder, which is removed unread.
    """
    for kind, path in sorted(_below(root), key=lambda entry: entry[1]):
        if stat.S_ISREG(kind) or (stat.S_ISDIR(kind) and path.name not in NAMES):
            continue
        what = "a symbolic link" if stat.S_ISLNK(kind) else "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise JournalError(f"{path} must be a file or a folder of the run's own, but is {what}; remove it")


def _below(folder: Path) -> Iterator[tuple[int, Path]]:
    """Mode and path of all that is in a folder; a run that goes on meanwhile may remove some of it."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                kind = entry.stat(follow_symlinks=False).st_mode
                yield kind, Path(entry.path)
                if stat.S_ISDIR(kind) and entry.name != SCRATCH:
                    yield from _below(Path(entry.path))


def content(path: Path) -> bytes:
    """All of a file. Raises JournalError where it is too large."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise JournalError(f"{path} must have at most {LARGEST} bytes, but has more; it is no file of rankbench's")
    return content


@dataclass(frozen=True)
class RunDir:
    """Paths and contents of one run."""

    root: Path

    @property
    def plan_path(self) -> Path:
        """plan.json: written first."""
        return self.root / "plan.json"

    @property
    def environment_path(self) -> Path:
        """environment.json."""
        return self.root / "environment.json"

    @property
    def journal_path(self) -> Path:
        """journal.jsonl."""
        return self.root / "journal.jsonl"

    @property
    def summary_path(self) -> Path:
        """summary.json: every number that the page shows."""
        return self.root / "summary.json"

    @property
    def page_path(self) -> Path:
        """report.html."""
        return self.root / "report.html"

    @property
    def profiles_path(self) -> Path:
        """profiles: traces of cases, where they were asked for."""
        return self.root / "profiles"

    def exists(self) -> bool:
        """Whether a run was planned here."""
        return self.plan_path.is_file()

    def create(self, plan: Plan) -> None:
        """Make the directory and write its plan. Raises UsageError where something else is there."""
        if self.root.exists() and (not self.root.is_dir() or any(map(_counts, self.root.iterdir()))):
            remedy = f"use --resume {self.root}" if self.exists() and self.plan() == plan else "choose another"
            raise UsageError("--out", "be a new or empty folder", self.root, remedy)
        log.need_room(next(folder for folder in (self.root, *self.root.absolute().parents) if folder.is_dir()))
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_whole(self.plan_path, plan.to_json(), anew=True)
        except FileExistsError:
            raise UsageError("--out", "be a new or empty folder", self.root, "choose another") from None
        except OSError as error:
            raise UsageError("--out", "be writable", f"{self.root} ({error.strerror})", "choose another") from None

    def plan(self) -> Plan:
        """The plan. Raises UsageError where there is none, JournalError where it or the directory cannot be trusted."""
        if not self.exists():
            raise UsageError("RUN", "be a run directory with a plan.json", self.root, "see `ls runs`")
        refuse_strange(self.root)
        try:
            return Plan.model_validate_json(content(self.plan_path), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise JournalError(f"{self.plan_path}: {first['msg']} at {first['loc']}") from None

    def entries(self) -> Iterator[Entry]:
        """Every record of the journal, one by one."""
        return log.read(self.journal_path)


def _counts(path: Path) -> bool:
    """Whether a file is more than what is left of a plan whose writer was killed."""
    return not re.fullmatch(r"\.plan\.json\.\d+\.part", path.name)


def write_whole(path: Path, content: str | bytes, *, anew: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises FileExistsError where it is to be written ``anew`` and somebody else was first.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if not anew:
            part.replace(path)
            return
        try:
            path.hardlink_to(part)
        except FileExistsError:
            raise
        except OSError:  # a file system that has no links
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
