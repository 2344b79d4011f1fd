"""Standard output that is not as one would wish: the run goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from harness.output import FIRST_S, Output, complain
from launch.interrupt import Interrupt, heard
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
    told = "import os, sys; from harness.cli import run_app; code = run_app(['list']); "
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


def test_what_the_first_rank_of_a_host_does_not_say_another_rank_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("harness.output.time.sleep", waited.append)
    for rank, local in ((0, 0), (3, 3), (8, 0)):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(local))
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
