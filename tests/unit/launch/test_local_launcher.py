"""The local launcher's small parts: limits, folders and files of the processes that it starts."""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.common.errors import RankbenchError, UsageError
from harness.device import host_limits
from harness.journal.records import RankOutcome
from launch.launcher import Ending
from launch.local import stack_dumps
from launch.local.gang_state import Gang
from launch.local.torchrun import Torchrun
from launch.processes import cleanup, network


@pytest.mark.parametrize(("limits", "ranks", "raised"), [((64, 80), 2, 80), ((80, 80), 2, None), ((64, 79), 2, 79)])
def test_as_many_files_are_allowed_as_may_be_and_too_few_are_refused_by_one_line(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], ranks: int, raised: int | None
) -> None:
    new: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: new.append(pair))
    if limits[1] < 80:
        with pytest.raises(UsageError, match=r"must be at least 80 for 2 ranks, but is 79"):
            host_limits.allow_open_files(ranks)
    else:
        host_limits.allow_open_files(ranks)
    assert new == ([] if raised is None else [(raised, raised)])


def test_ranks_hold_no_more_files_than_are_asked_for() -> None:
    """Otherwise a gang for which there seemed to be enough would run out of them."""
    assert host_limits.DESCRIPTORS[0] + host_limits.DESCRIPTORS[1] * 32 >= 248  # counted on rank 0 of 32, over gloo


def test_temporary_files_are_where_the_path_of_a_socket_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short := Path(tempfile.mkdtemp(dir="/tmp"))).chmod(0o700)
    (long := tmp_path / ("t" * 84)).mkdir()
    try:
        monkeypatch.setattr(cleanup, "PLACES", (str(short),))
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        with cleanup.temporary() as folder:
            assert Path(folder).parent == short
            assert Path(folder).stat().st_mode & 0o777 == 0o700
            assert len(folder) + len("/pymp-12345678/listener-12345678") <= 107
        assert not Path(folder).exists()
        monkeypatch.setattr(cleanup, "PLACES", ())
        with pytest.raises(UsageError, match=r"TMPDIR must name a folder .* at most 56 characters"):
            cleanup.temporary().__enter__()
    finally:
        short.rmdir()


def test_a_socket_of_multiprocessing_fits_into_a_folder_of_the_longest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import connection, util

    monkeypatch.setattr(util, "get_temp_dir", lambda: tempfile.mkdtemp(prefix="pymp-", dir=folder))
    with tempfile.TemporaryDirectory(prefix="rankbench-", dir="/tmp") as folder:
        path = connection.arbitrary_address("AF_UNIX")
    assert len(path.removeprefix("/tmp")) == len(cleanup.SOCKET)


class Wedged:
    """A process that the kernel does not end, as one that waits in a driver for a device that has gone."""

    pid = 4711

    def __init__(self, status: str) -> None:
        self.status = lambda: status

    def kill(self) -> None:
        """It changes nothing."""

    def name(self) -> str:
        return "python"

    def is_running(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (psutil.STATUS_DISK_SLEEP, "rankbench: process 4711 (python) was killed 0 s ago and is still there"),
        (psutil.STATUS_ZOMBIE, ""),  # it is dead, and only its parent has not noticed
    ],
)
def test_a_process_that_survives_a_kill_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, words: str
) -> None:
    monkeypatch.setattr(psutil, "Process", lambda _: Wedged(status))
    monkeypatch.setattr(psutil, "wait_procs", lambda family, timeout: ([], family))
    monkeypatch.setattr(cleanup, "KILL_S", 0.0)
    cleanup.kill_all([4711])
    assert capsys.readouterr().err.partition(":" if not words else ": it may")[0] == words


def test_a_dead_process_that_its_parent_does_not_reap_is_not_waited_for() -> None:
    command = [
        "/bin/sh",
        "-c",
        "sleep 600 & echo $!; exec sleep 600",
    ]  # what `exec` starts has a child it does not know
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child, started_s = psutil.Process(int(parent.stdout.readline())), time.monotonic()
        cleanup.kill_all([child.pid])
        took_s = time.monotonic() - started_s
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.kill()
    assert took_s < cleanup.KILL_S


class Quiet(Torchrun):
    """A launcher that has started nothing."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs


@pytest.mark.parametrize(
    ("ending", "written", "seen"),
    [
        (Ending("died", "", 1), "rank-1.stderr", "; see logs/launch-0-0/rank-1.stderr"),
        (Ending("hang", "", 1), "rank-1.stderr", "; see logs/launch-0-0/rank-1.stderr"),
        (Ending("died", "", 1), "rank-0.stderr", ""),
        (Ending("died", "", 0), "../agent.log", "; see logs/agent.log"),  # it has not come up
        (Ending("died", ""), "../agent.log", "; see logs/agent.log"),
        (Ending("error", "", 1), "rank-1.stderr", ""),  # the exception has been told
    ],
)
def test_a_death_or_a_hang_names_the_log_in_which_there_is_something(
    tmp_path: Path, ending: Ending, written: str, seen: str
) -> None:
    (logs := tmp_path / "logs" / "launch-0-0").mkdir(parents=True)
    (logs / "rank-1.stderr").touch()
    (logs / written).write_text("Traceback")
    assert Quiet(tmp_path / "logs")._see(ending, Gang(2, pids={1: 7}), logs) == seen


def test_a_rank_that_could_not_speak_is_quoted_from_its_log(tmp_path: Path) -> None:
    stack_dumps.logs_of(1, tmp_path)[1].write_text("Segmentation fault\n" + "x" * 20_000)
    first, second = stack_dumps.with_stacks([RankOutcome(rank=rank, outcome="") for rank in (0, 1)], tmp_path)
    assert first.words is None and second.words == "x" * 4000


def test_an_agent_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o700)
    with (
        Torchrun(tmp_path / "logs", str(tmp_path / "python")) as launcher,
        pytest.raises(RankbenchError, match=r"did not start: no such module: see .*agent\.log"),
    ):
        launcher._reach()


def test_a_file_in_the_place_of_the_logs_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(UsageError, match="run directory must have room for logs"):
        Torchrun(tmp_path / "logs")


@pytest.mark.parametrize("missing", [None, "127.0.0.1"])
def test_ranks_meet_on_the_loopback_whatever_its_name_and_family(
    monkeypatch: pytest.MonkeyPatch, missing: str | None
) -> None:
    listening: list[str] = []

    def listen(family: int, address: str) -> Any:
        if address == missing:
            raise OSError("cannot assign requested address")
        listening.append(address)

    monkeypatch.setattr(network, "_listening", listen)
    network.loopback()
    (address,) = listening
    cards = {"eth0": [card("10.0.0.2")], "loop": [card(address)]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: cards)
    assert network.within_this_host() == {"GLOO_SOCKET_IFNAME": "loop", "NCCL_SOCKET_IFNAME": "=loop"}


def card(address: str) -> Any:
    return type("Card", (), {"address": address})
