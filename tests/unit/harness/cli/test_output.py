"""Standard output that is not as one would wish: the run goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from harness.cli.app import run_app
from harness.cli.console import FIRST_S, Output, complain
from harness.common.startup import VARIABLES, ranks_around
from launch.supervision.stop_signals import Interrupt, heard
from tests.limits import LIMIT_S

LINE = [sys.executable, "-m", "harness", "list"]


def test_what_its_encoding_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    there = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", there)
    assert Output().write("1.9 × \N{GREEK SMALL LETTER ALPHA}\n") > 0
    assert there.buffer.getvalue().decode("latin-1") == "1.9 × ?\n"  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # has none
    Output().write("1.9 × \N{GREEK SMALL LETTER ALPHA}\n")
    assert sys.stdout.getvalue() == "1.9 × \N{GREEK SMALL LETTER ALPHA}\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_none_of_the_runs_files(closed: str) -> None:
    told = "import os, sys; from harness.cli.app import run_app; code = run_app(['list']); "
    told += "found = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)]; "
    told += "os.write(int(sys.argv[1]), repr((code, found)).encode())"
    read, write = os.pipe()
    line = f'exec "{sys.executable}" -c "$0" {write} {closed}'
    subprocess.run(
        ["/bin/sh", "-c", line, told], pass_fds=[write], input=b"", capture_output=True, check=True, timeout=LIMIT_S
    )
    os.close(write)
    with os.fdopen(read) as answer:
        code, found = eval(answer.read())
    assert code == 0
    for number, sign in ((1, " >&-"), (2, "2>&-"), (0, "<&-")):
        assert (found[number] == os.devnull) == (sign in f" {closed}")


def around(rank: int, local: int) -> dict[str, str]:
    told = {"RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": 16, "LOCAL_WORLD_SIZE": 8, "MASTER_PORT": 29500}
    return {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "node-1"}


@pytest.mark.parametrize("missing", VARIABLES)
def test_a_variable_that_a_container_sets_too_makes_no_rank(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setattr("harness.cli.console.time.sleep", lambda due_s: pytest.fail("nobody else will say it"))
    for name, value in around(9, 1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert ranks_around() is None
    complain("there is no cuda:3")
    assert capsys.readouterr().err == "rankbench: there is no cuda:3\n"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORLD_SIZE", "", "WORLD_SIZE must be a whole number, as torchrun sets it, but is ''; outside of torchrun"),
        ("RANK", "-1", "RANK must be a whole number"),
        ("MASTER_PORT", "tcp://10.0.0.1:80", "MASTER_PORT must be a whole number"),
        ("RANK", "16", "RANK must be below WORLD_SIZE, 16"),
        ("LOCAL_WORLD_SIZE", "1", "LOCAL_WORLD_SIZE must be above LOCAL_RANK, 1"),
        ("LOCAL_WORLD_SIZE", "17", "LOCAL_WORLD_SIZE must be above LOCAL_RANK, 1, and at most WORLD_SIZE, 16"),
        ("TORCHELASTIC_RESTART_COUNT", "2", "torchrun has started its ranks again (restart 2)"),
    ],
)
def test_variables_that_are_no_torchruns_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    monkeypatch.setattr("harness.cli.console.FIRST_S", 0.0)
    for variable, usual in (around(9, 1) | {name: value}).items():
        monkeypatch.setenv(variable, usual)
    assert run_app(["run", "split", "--out", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_what_the_first_rank_of_a_host_does_not_say_another_rank_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("harness.cli.console.time.sleep", waited.append)
    for rank, local in ((0, 0), (3, 3), (8, 0)):
        for name, value in around(rank, local).items():
            monkeypatch.setenv(name, value)
        complain("there is no cuda:3")
    said = "there is no cuda:3\n"
    assert capsys.readouterr().err == f"rankbench: {said}rankbench: rank 3: {said}rankbench: rank 8: {said}"
    assert waited == [FIRST_S]


def test_an_interruption_in_the_middle_of_a_word_is_heard_all_the_same() -> None:
    def say(_: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")

    interrupt = Interrupt(heeded=True)
    with heard(interrupt, say):
        os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.asked
