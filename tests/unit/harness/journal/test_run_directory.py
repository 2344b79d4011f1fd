"""The journal: durable lines that are as they were written, one writer, and a torn tail that costs only itself."""

from __future__ import annotations

import errno
import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.cli import app
from harness.common.errors import FullError, JournalError, UsageError
from harness.journal.log import Journal, read, sealed, torn_bytes
from harness.journal.records import BeginRecord, CellRecord, Samples
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.request import RunRequest
from launch.supervision.run_state import opened
from tests import factories

begin = BeginRecord(launch=0, comparison=0, case="split@1")
LINE = sealed(begin.model_dump_json().encode())
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=4)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(times, st.sampled_from(["ok", "wrong", "died"]), st.text(max_size=50))
@in_one_folder
def test_a_record_is_read_as_it_was_written(tmp_path: Path, starts: list[float], status: str, message: str) -> None:
    count = len(starts)
    samples = Samples(round=(0,) * count, position=(1,) * count, start_s=(tuple(starts),), end_s=(tuple(starts),))
    cell = CellRecord(launch=1, comparison=0, case="a@2", status=status, message=message, samples=samples)
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        journal.append(cell)
    assert path.read_bytes().count(b"\n") == 1
    assert list(read(path)) == [cell]


def test_a_line_is_json_that_any_tool_reads() -> None:
    told = json.loads(LINE)
    assert list(told)[-1] == "crc32"
    assert told == begin.model_dump() | {"crc32": told["crc32"]}


@given(st.integers(1, len(LINE) - 1))
@in_one_folder
def test_a_torn_tail_is_set_aside_and_everything_before_it_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    path.with_suffix(".torn").unlink(missing_ok=True)
    path.write_bytes(LINE * 2 + LINE[:cut])
    assert list(read(path)) == [begin, begin]
    for _ in range(2):
        with Journal(path) as journal:
            assert journal.torn_bytes == cut
            journal.append(begin)
        with path.open("ab") as file:
            file.write(LINE[:cut])
    assert list(read(path)) == [begin] * 4
    assert path.with_suffix(".torn").read_bytes() == LINE[:cut] * 2  # what is set aside later, beside the first


@given(st.integers(0, len(LINE) - 2), st.integers(1, 255))
@in_one_folder
def test_a_byte_that_changed_is_told_by_its_line_and_nothing_is_written(
    tmp_path: Path, place: int, change: int
) -> None:
    path = tmp_path / "journal.jsonl"
    path.with_suffix(".torn").unlink(missing_ok=True)
    altered = bytearray(LINE)
    altered[place] ^= change
    path.write_bytes(LINE + altered + LINE)
    with pytest.raises(JournalError, match=r"journal.jsonl, line 2 .*; .* \(sed -i 2d .*--resume measures"):
        list(read(path))
    with pytest.raises(JournalError, match="line 2"):
        Journal(path)
    assert path.read_bytes() == LINE + altered + LINE


def test_a_last_line_whose_pages_did_not_all_reach_the_disk_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINE + bytes(20) + LINE[20:])
    assert list(read(path)) == [begin]
    Journal(path).close()
    assert path.read_bytes() == LINE
    assert path.with_suffix(".torn").read_bytes() == bytes(20) + LINE[20:]


def test_going_on_says_that_a_tail_was_torn(tmp_path: Path) -> None:
    run = factories.build(tmp_path / "run", launches=1)
    console = Console(file=io.StringIO(), width=40)
    opened(run, console).close()
    assert not console.file.getvalue()
    with run.journal_path.open("ab") as file:
        file.write(LINE[:7])
    opened(run, console).close()
    told = f"{run.journal_path} ended within a line: its 7 bytes are kept in {run.journal_path.with_suffix('.torn')}\n"
    assert console.file.getvalue() == told


def test_without_a_journal_nothing_is_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = factories.build(tmp_path / "run", launches=1)
    run.journal_path.unlink()
    assert torn_bytes(run.journal_path) == 0
    assert app.run_app(["report", str(run.root)]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


def test_a_report_says_that_a_tail_is_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = factories.build(tmp_path / "run", launches=1)
    assert app.run_app(["report", str(run.root)]) == 0
    assert "within a line" not in capsys.readouterr().out
    with run.journal_path.open("ab") as file:
        file.write(LINE[:7])
    assert app.run_app(["report", str(run.root)]) == 0
    told = f"{run.journal_path} ends within a line, which is left out (7 bytes): --resume measures its cell again"
    assert told in capsys.readouterr().out


@given(st.binary(max_size=40), st.integers(0, 3))
def test_a_torn_tail_is_measured_as_it_would_be_set_aside(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, lines: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    path.write_bytes(LINE * lines + tail)
    told = torn_bytes(path)
    with suppress(JournalError), Journal(path) as journal:
        assert told == journal.torn_bytes


def test_two_runs_cannot_write_one_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl"), pytest.raises(UsageError, match="running run"):
        Journal(tmp_path / "journal.jsonl")
    Journal(tmp_path / "journal.jsonl").close()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("harness.journal.log.fcntl.flock", refuse)
    run, console = factories.build(tmp_path / "run", launches=1), Console(file=io.StringIO(), width=40)
    before = len(list(run.entries()))
    with opened(run, console) as journal:
        journal.append(begin)
    assert len(list(run.entries())) == before + 1
    told = f"{run.root} cannot be locked ({os.strerror(number)}): let no other run write there meanwhile\n"
    assert console.file.getvalue() == told


def test_a_run_that_is_running_cannot_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = factories.build(tmp_path / "run", launches=1)
    before = run.journal_path.read_bytes()
    with Journal(run.journal_path):
        assert app.run_app(["run", "--resume", str(run.root)]) == 2
    assert f"run directory {run.root} belongs to a running run" in capsys.readouterr().err
    assert run.journal_path.read_bytes() == before
    assert not run.environment_path.with_suffix(".torn").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{}", "is no record: Unable to extract tag"),
        ('{"type":"cell"}', "is no record: Field required"),
        ("[1]", "is no record"),
        ('{"type":"begin","launch":0,"comparison":0,"case":"a","x":1}', "is no record: Extra inputs"),
        ('{"type":"begin","launch":"0","comparison":0,"case":"a"}', "is no record: Input should be a valid integer"),
        ('{"type":"end","launch":0,"wall_s":NaN}', "is no record: .*finite number"),
        (f"{'[' * 5000}{']' * 5000}", "is no record: .*recursion limit"),
    ],
)
def test_a_foreign_record_is_an_error_that_names_its_place(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINE + sealed(text.encode()))
    with pytest.raises(JournalError, match=f"line 2 {what}"):
        list(read(path))


def test_a_line_without_a_checksum_is_foreign_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINE + begin.model_dump_json().encode() + b"\n")
    with pytest.raises(JournalError, match="line 2 has no checksum"):
        list(read(path))


def test_a_line_that_is_longer_than_any_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.journal.log.LONGEST", 300)
    path = tmp_path / "journal.jsonl"
    for tail in (b"x" * 301, b"x" * 301 + LINE):
        path.write_bytes(LINE + tail)
        with pytest.raises(JournalError, match="line 2 is longer than any record"):
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
    monkeypatch.setattr("harness.journal.log.PATIENCE_S", 0.0)
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal._file.close()
        journal._file = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115 - the journal closes it
        with pytest.raises(FullError, match="No space left"):
            journal.append(begin)


def test_a_run_directory_whose_maker_was_killed_while_it_wrote_the_plan_is_still_an_empty_one(tmp_path: Path) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    (tmp_path / ".plan.json.4711.part").write_text(plan.to_json()[:20])
    RunDir(tmp_path).create(plan)
    assert RunDir(tmp_path).plan() == plan
    with pytest.raises(UsageError, match="new or empty folder"):
        RunDir(tmp_path).create(plan)


@pytest.mark.parametrize("links", [True, False])
def test_of_two_makers_of_a_run_directory_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", Mock(side_effect=PermissionError("no links here")))
    first, second = (make(RunRequest(names=["split"], devices="cpu:1", seed=seed)) for seed in range(2))
    RunDir(tmp_path).create(first)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))  # as it was when the other looked
    if links:
        with pytest.raises(UsageError, match="new or empty folder"):
            RunDir(tmp_path).create(second)
    monkeypatch.undo()
    assert RunDir(tmp_path).plan() == first
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_cell_that_is_longer_than_any_line_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no disk is called full."""
    monkeypatch.setattr("harness.journal.log.LONGEST", 400)
    times = (tuple(map(float, range(100))),)
    samples = Samples(round=(0,) * 100, position=(0,) * 100, start_s=times, end_s=times)
    cell = CellRecord(launch=0, comparison=0, case="a@1", status="ok", samples=samples)
    with Journal(tmp_path / "journal.jsonl") as journal:
        written = journal.append(cell)
        assert journal.append(begin) == begin
    assert list(read(tmp_path / "journal.jsonl")) == [written, begin]
    assert isinstance(written, CellRecord)
    assert (written.case, written.status, written.samples) == ("a@1", "error", None)
    assert "at most 400: use fewer devices" in (written.message or "")
