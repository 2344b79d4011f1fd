"""A rank of somebody's torchrun: signals are requests, and what befalls its gang is a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness.common.errors import FullError, JournalError, RankbenchError, UsageError
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.request import RunRequest
from launch import external
from tests.limits import LIMIT_S

HEEDS = """
import os, signal, sys, time
from launch.supervision.stop_signals import Interrupt
from launch import external as joined

halt = Interrupt()
joined._heed(halt)
joined.ONE_S = float(sys.argv[1])
if (child := os.fork()) == 0:
    signal.pause()
os.kill(child, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
assert not halt.asked
for number in (signal.SIGINT, signal.SIGTERM):
    os.kill(os.getpid(), number)
    assert halt.asked
"""


@pytest.mark.parametrize(("together_s", "code"), [(3600, 0), (0, -signal.SIGTERM)])
def test_the_first_signal_is_a_request_a_later_one_the_end_and_forks_know_nothing_of_it(
    together_s: float, code: int
) -> None:
    line = [sys.executable, "-c", HEEDS, str(together_s)]
    assert subprocess.run(line, check=False, timeout=LIMIT_S).returncode == code


@pytest.mark.parametrize(
    "error",
    [
        UsageError("--out", "hold no other plan", Path("run"), "choose another"),
        JournalError("no journal"),
        FullError("no room"),
    ],
)
def test_a_refusal_is_the_same_error_on_every_rank(error: RankbenchError) -> None:
    again = external.Refusal.model_validate_json(external.Refusal.of(error).model_dump_json()).error
    assert type(again) is type(error) and str(again) == str(error)


@pytest.mark.parametrize(("local", "well"), [("0", False), ("1", True)])
def test_a_gang_that_is_lost_before_or_after_its_launch_is_a_line_of_each_rank(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], local: str, *, well: bool
) -> None:
    """Rank 0 goes on to report; and no exit code of another rank has torchrun end it meanwhile."""

    def lose(*_: object) -> bool:
        raise RuntimeError("Connection closed by peer\nand more")

    monkeypatch.setattr(external, "_joined", lose)
    monkeypatch.setitem(os.environ, "RANK", local)
    monkeypatch.setitem(os.environ, "LOCAL_RANK", local)
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    assert external.joined(RunDir("nowhere"), plan, Console(), None) is well  # type: ignore[arg-type]
    assert capsys.readouterr().err == f"rankbench: rank {local}: Connection closed by peer\n"
