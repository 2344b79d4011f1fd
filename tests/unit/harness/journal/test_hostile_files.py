"""Run directories that come from anybody: read or refused in one line, never followed, never a traceback."""

from __future__ import annotations

import itertools
import json
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fuzz
from benchmarks.damage import Original
from harness.cli import app
from harness.cli import run as running
from harness.common.errors import FullError, JournalError
from harness.common.text import harmless
from harness.journal import log, run_directory
from harness.journal.plan import MOST_CELLS
from harness.journal.run_directory import RunDir
from reports.reading.run import load
from tests import factories
from tests.hostile import CONTROL, EVERYTHING

NO_BREAK = "\N{NO-BREAK SPACE}"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return factories.build(tmp_path / "run", launches=1)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return Original(tmp_path_factory.mktemp("original"))


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_damaged_directory_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, original: Original, seed: int
) -> None:
    root = tmp_path_factory.mktemp("damaged") / "run"
    assert fuzz.read(original.damaged(root, random.Random(seed))) in ("read", "JournalError")


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_what_can_be_read_of_a_damaged_directory_is_reported_on_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, original: Original, seed: int
) -> None:
    chance = random.Random(seed)
    damaged = (original.damaged(tmp_path_factory.mktemp("damaged") / "run", chance) for _ in itertools.count())
    run = next(run for run in damaged if fuzz.read(run) == "read")
    assert fuzz.report(run) in ("reported", "no report: JournalError")


@pytest.mark.parametrize("name", ["journal.jsonl", "plan.json", "environment.json", "report.html", "logs", "other"])
def test_a_link_in_a_run_directory_is_refused_and_what_it_leads_to_untouched(
    run: RunDir, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes((run.root / name).read_bytes() if (run.root / name).exists() else b"")
    before = outside.read_bytes()
    (run.root / name).unlink(missing_ok=True)
    (run.root / name).symlink_to(outside)
    for line in (["report", str(run.root)], ["run", "--resume", str(run.root)]):
        assert app.run_app(line) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert f"{name} must be a file or a folder of the run's own, but is a symbolic link; remove it" in told
    assert outside.read_bytes() == before


def test_a_link_is_found_wherever_it_is_but_in_the_folder_of_the_scenarios(run: RunDir, tmp_path: Path) -> None:
    for name in ("scratch", "logs"):
        (run.root / name / "launch-0-0").mkdir(parents=True)
        load(run)
        (run.root / name / "launch-0-0" / "agent.log").symlink_to(tmp_path / "outside")
        if name == "scratch":
            load(run)
    with pytest.raises(JournalError, match=r"logs/launch-0-0/agent.log must be .* but is a symbolic link"):
        load(run)


def test_a_pipe_is_no_journal_and_nobody_waits_for_it(run: RunDir) -> None:
    run.journal_path.unlink()
    os.mkfifo(run.journal_path)
    with pytest.raises(JournalError, match="no regular file"):
        load(run)


@pytest.mark.parametrize("name", ["plan.json", "environment.json"])
def test_a_file_that_is_too_large_is_refused(run: RunDir, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(run_directory, "LARGEST", max(run.plan_path.stat().st_size, 10_000))
    with (run.root / name).open("ab") as file:
        file.write(b" " * run_directory.LARGEST)
    with pytest.raises(JournalError, match=rf"{name} must have at most \d+ bytes"):
        load(run)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda told: told.update(more=1), "Extra inputs are not permitted at .'more'"),
        (lambda told: told.update(budget_s=float("nan")), "budget_s"),
        (lambda told: told.update(budget_s=float("inf")), "budget_s"),
        (lambda told: told.update(threads="1"), "valid integer at .'threads'"),
        (lambda told: told.update(launches=MOST_CELLS), "at most 10000 launches"),
    ],
)
def test_a_plan_is_strict(run: RunDir, change: Any, what: str) -> None:
    changed(run.plan_path, change)
    with pytest.raises(JournalError, match=what):
        load(run)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ([], "at ()"),
        ({"sides": []}, "sides"),
        ({"host": {"cores": float("nan")}}, "expected value"),
        ({"software": "torch"}, "software"),
        ({"more": {}}, "more"),
    ],
)
def test_an_environment_is_strict(run: RunDir, told: Any, what: str) -> None:
    run.environment_path.write_text(json.dumps(told))
    with pytest.raises(JournalError, match=rf"environment.json: .*{what}.*; remove it"):
        load(run)


def test_a_launch_that_no_plan_could_have_is_refused(run: RunDir) -> None:
    factories.edit(run, lambda text: text.replace('"launch":0', f'"launch":{MOST_CELLS}'))
    with pytest.raises(JournalError, match=f"launch {MOST_CELLS} is beyond any"):
        load(run)
    assert app.run_app(["run", "--resume", str(run.root)]) == 1


def test_more_launches_than_could_be_reported_on_are_refused_beforehand(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_app(["run", "tying", "--devices", "cpu:1", "--launches", "1000000000"]) == 2
    assert "--launches must be at most" in capsys.readouterr().err


def evil(root: Path, seed: int) -> RunDir:
    """A run whose every name and text steers terminals."""
    text, more = (each.replace("\ud800", "") for each in (CONTROL, EVERYTHING))  # no file can have that
    run = factories.build(
        root,
        scenario="s\x1b[2Jplit",
        title=text,
        variants=("whole", "p\x1b]0;t\x07ieces"),
        command=f"rankbench {text}",
        outcomes={(0, "s\x1b[2Jplit[how=whole,size=1024]@2"): ("error", 1, more)},
        host=lambda *_: "no\x1b[1mde",
        seed=seed,
    )
    changed(run.environment_path, lambda told: told["host"].update(cpu="C\x1b[1mPU"))
    return run


@pytest.mark.parametrize("command", ["report", "compare"])
def test_nothing_of_a_file_steers_the_terminal(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = evil(tmp_path / "a\x1b[2Jb", 1), evil(tmp_path / "other", 2)
    app.run_app([command, str(one.root), str(other.root)])
    app.run_app(["report", str(tmp_path / "none\x1b[2J")])
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert text.strip()
        assert not {each for each in text if not each.isprintable()} - {"\n", NO_BREAK}


def test_the_blanks_between_a_number_and_its_unit_are_no_signs(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    app.run_app(["report", str(run.root)])
    told = capsys.readouterr().out
    assert f"{NO_BREAK}ms" in told
    assert "\N{REPLACEMENT CHARACTER}" not in told


@given(st.text())
def test_harmless_text_is_as_long_and_the_same_but_for_what_steers(text: str) -> None:
    told = harmless(text)
    assert len(told) == len(text)
    assert harmless(told) == told
    for was, now in zip(text, told, strict=True):
        assert now == was or (now == "\N{REPLACEMENT CHARACTER}" and unicodedata.category(was)[0] in "CZ")
        assert now in "\n\t" or unicodedata.category(now) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


class Takes:
    """A file that takes so many writes, until its disk is full."""

    def __init__(self, journal: log.Journal, writes: int) -> None:
        self.file, self.left = journal._file, writes
        self.fileno, self.close = self.file.fileno, self.file.close

    def write(self, data: memoryview) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")
        return self.file.write(data)


@pytest.mark.parametrize("reports", [True, False])
def test_a_disk_that_is_full_in_the_end_ends_the_run_with_what_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reports: bool
) -> None:
    monkeypatch.setattr(log, "PATIENCE_S", 0.0)
    run = factories.build(tmp_path / "run", launches=1)
    told = factories.texts_of(run)

    def fills(directory: RunDir, *_: object) -> bool:
        directory.journal_path.unlink()
        with log.Journal(directory.journal_path) as journal:
            journal._file = Takes(journal, len(told) - 2)
            for text in told:
                journal.append(log.parse(text))
        return True

    if not reports:
        monkeypatch.setattr(
            "reports.page.page.write_whole", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
    assert running.measure(run, run.plan(), fills) == 1
    err = capsys.readouterr().err
    assert "journal.jsonl cannot be written: No space left on device; make room on its disk" in err
    assert f"rankbench run --resume {run.root}" in err
    assert ("no report:" in err) != reports
    assert len(list(run.entries())) == len(told) - 2
    assert run.page_path.exists() == reports


def test_a_disk_without_room_is_noticed_before_anything_is_measured(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "LEAST_ROOM", 1 << 80)
    assert app.run_app(["run", "--resume", str(run.root)]) == 2
    assert "run directory must have room for" in capsys.readouterr().err


def test_a_journal_that_may_not_be_written_is_noticed_before_anything_is_measured(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(run.journal_path), "open", refused)  # root may write anything, so it is acted out
    with pytest.raises(log.UsageError, match=r"run directory must be writable, but is .* \(Permission denied\)"):
        log.Journal(run.journal_path)


def test_a_record_that_cannot_be_written_is_an_error_of_the_run(tmp_path: Path) -> None:
    with log.Journal(tmp_path / "journal.jsonl") as journal:
        journal._file = Takes(journal, 0)
        journal._file.write = lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error"))
        with pytest.raises(FullError, match="Input/output error"):
            journal.append(log.parse('{"type":"end","launch":0,"wall_s":1}'))
