"""Signals: one that was ignored stays ignored, forks know nothing of ours, and a hang-up comes once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from harness.cli.app import run_app
from harness.common import signals
from tests.limits import LIMIT_S

SCRIPT = """
import os, signal
from harness.common.signals import handled, name_of
came = []
with handled(lambda number: came.append(name_of(number))):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a library's
    with handled(lambda number: came.append("inner")):
        os.kill(os.getpid(), signal.SIGTERM)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    if (child := os.fork()) == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
print(*came, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


@pytest.mark.parametrize(("prefix", "came"), [([], "inner SIGHUP Ctrl-C SIGTERM"), (["nohup"], "inner Ctrl-C SIGTERM")])
def test_each_goes_to_the_last_handler_whatever_a_library_has_put_there(prefix: list[str], came: str) -> None:
    line = [*prefix, sys.executable, "-c", SCRIPT]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.stdout == f"{came} True\n", done.stderr


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with signals.handled(signals.die):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP")])
def test_a_command_that_is_told_to_end_says_by_what(
    number: signal.Signals, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    monkeypatch.delitem(os.environ, "LOCAL_RANK", raising=False)
    monkeypatch.setattr("harness.cli.listing.brief", lambda *_: os.kill(os.getpid(), number))
    assert run_app(["list"]) == 130
    assert capsys.readouterr().err.strip() == f"rankbench: {said}"
    assert signal.getsignal(number) is before
