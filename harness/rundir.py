"""A run directory: the plan, the environment, the journal, and what was made of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness import lines
from harness.errors import JournalError, UsageError
from harness.files import content, refuse_strange
from harness.journal import Entry
from harness.plan import Plan


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
        lines.need_room(next(folder for folder in (self.root, *self.root.absolute().parents) if folder.is_dir()))
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
        return lines.read(self.journal_path)


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
