"""The journal: durable lines, one writer, and a torn tail that costs only itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import JournalError, UsageError
from harness.journal import BeginRecord, CellRecord, Journal, Samples, parse, read

begin = BeginRecord(launch=0, comparison=0, case="split@1")
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=4)


@given(times, st.sampled_from(["ok", "wrong", "died"]), st.text(max_size=50))
def test_a_record_is_read_as_it_was_written(starts: list[float], status: str, message: str) -> None:
    count = len(starts)
    samples = Samples(round=(0,) * count, position=(1,) * count, start_s=(tuple(starts),), end_s=(tuple(starts),))
    cell = CellRecord(launch=1, comparison=0, case="a@2", status=status, message=message, samples=samples)
    line = cell.model_dump_json(by_alias=True)
    assert "\n" not in line
    assert parse(line) == cell


@given(st.integers(1, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_tail_is_set_aside_and_everything_before_it_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        journal.append(begin)
        journal.append(begin)
    line = begin.model_dump_json(by_alias=True).encode()
    torn = line[: min(cut, len(line))]
    with path.open("ab") as file:
        file.write(torn)
    assert list(read(path)) == [begin, begin]
    with Journal(path) as journal:
        journal.append(begin)
    assert list(read(path)) == [begin] * 3
    assert path.with_suffix(".torn").read_bytes() == torn


def test_two_runs_cannot_write_one_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl"), pytest.raises(UsageError, match="running run"):
        Journal(tmp_path / "journal.jsonl")
    Journal(tmp_path / "journal.jsonl").close()


@pytest.mark.parametrize(
    "line", ["{}", '{"type":"cell"}', "[1]", '{"type":"begin","launch":0,"comparison":0,"case":"a","x":1}']
)
def test_a_foreign_line_is_an_error_that_names_its_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(begin.model_dump_json() + "\n" + line + "\n")
    with pytest.raises(JournalError, match="line 2"):
        list(read(path))


class FullAtFirst:
    """A file on a disk that takes a few bytes, is full for two attempts, and then has room again."""

    def __init__(self, file: Any, number: int) -> None:
        self.file, self.number, self.writes = file, number, 0

    def write(self, data: memoryview) -> int:
        self.writes += 1
        if self.writes in (2, 3):
            raise OSError(self.number, os.strerror(self.number))
        return self.file.write(data[:7])

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_record_is_whole_though_the_disk_was_full_for_a_while(tmp_path: Path, number: int) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal._file = FullAtFirst(journal._file, number)
        journal.append(begin)
        journal.append(begin)
    assert list(read(tmp_path / "journal.jsonl")) == [begin, begin]


def test_a_disk_that_stays_full_is_told_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.journal.PATIENCE_S", 0.0)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal._file.close()
        journal._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115 - the journal closes it
        with pytest.raises(OSError, match="No space left"):
            journal.append(begin)
