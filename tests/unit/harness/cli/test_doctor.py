"""The doctor: what a run would founder on, and who else is measuring, is said before it is begun."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.cli import doctor
from harness.device import host_limits, other_runs


@pytest.mark.parametrize(("hard", "ranks"), [(1024, 96), (100, 4), (30, 0), (resource.RLIM_INFINITY, 2**31)])
def test_open_files_allow_so_many_ranks(monkeypatch: pytest.MonkeyPatch, hard: int, ranks: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    assert host_limits.ranks() == ranks
    assert host_limits.open_files().startswith("256 a process")
    assert (f"enough for {ranks} ranks" in host_limits.open_files()) == (hard != resource.RLIM_INFINITY)
    (finding,) = [each for each in doctor._limits() if each.subject == "open files"]
    assert finding.grade == ("warn" if ranks == 0 else finding.grade)


def test_shared_memory_that_is_not_there_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_limits.shared_memory() is None
    told = host_limits.shared_memory(Path("/proc/nowhere"))
    assert told is not None and "/proc/nowhere cannot be written" in told
    monkeypatch.setattr(host_limits, "shared_memory", lambda: told)
    assert [each.grade for each in doctor._limits() if each.subject == "shared memory"] == ["warn"]


def test_a_folder_for_temporary_files_may_be_too_long_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def told(folder: object) -> str | None:
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        return host_limits.temporary_files()

    assert told("/tmp") is None
    long = Path(tempfile.mkdtemp(dir="/tmp", prefix="x" * 30))
    longer = Path(tempfile.mkdtemp(dir="/tmp", prefix="x" * 80))
    try:
        assert "too many for the sockets of Ray" in str(told(long))
        assert "too many for sockets" in str(told(longer))
    finally:
        long.rmdir()
        longer.rmdir()
    assert f"TMPDIR ({tmp_path / 'none'}) is no folder that can be written" in str(told(tmp_path / "none"))


def test_a_file_system_without_locks_is_no_place_for_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert host_limits.locks(tmp_path) is None
    assert "cannot be written (No such file or directory)" in str(host_limits.locks(tmp_path / "none"))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert "takes no locks (Function not implemented)" in str(host_limits.locks(tmp_path))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python -m harness run split", True),
        ("/usr/bin/python3 /x/bin/rankbench duel --b A=1", True),
        ("python -m torch.distributed.run --nproc-per-node=2 -m harness run", True),
        ("python /x/bin/rankbench report runs/a", False),
        ("vim harness run", False),
        ("python -m pytest", False),
    ],
)
def test_what_measures_is_known_by_its_command_line(line: str, found: bool) -> None:
    assert other_runs.measures(line.split()) is found


def test_another_run_is_named_as_such() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    line = [sys.executable, "-c", code, "-m", "harness", "run"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert other.pid in other_runs.other_runs()
        assert "rankbench run" in str(other_runs.warning())
        other.communicate()


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([7], "another rankbench run uses these cores (process 7): "),
        ([7, 8], "other rankbench runs use these cores (processes 7, 8): "),
        (list(range(7)), "other rankbench runs use these cores (processes 0, 1, 2, 3, 4 and 2 more): "),
    ],
)
def test_other_runs_are_named_by_their_processes(monkeypatch: pytest.MonkeyPatch, runs: list[int], words: str) -> None:
    monkeypatch.setattr(other_runs, "other_runs", lambda: runs)
    assert str(other_runs.warning()).startswith(words)


def test_load_of_nobody_who_can_be_named_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_others", lambda: (0.8, []))
    (told,) = [each.text for each in doctor._disturbances() if each.subject == "other load"]
    assert "()" not in told and "too soon" in told
