"""Where the ranks of a torchrun meet: all get rank 0's plan or the same error, and who waits says for whom."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.common.errors import RankbenchError, UsageError
from harness.common.startup import Ranks
from harness.journal.plan import Plan
from harness.planning.builder import make
from harness.planning.request import RunRequest
from launch.processes import meeting as module
from launch.processes.meeting import Meeting, Refusal, meeting
from tests.distributed.conftest import wait_until
from tests.limits import LIMIT_S

KEPT: list[Meeting] = []
"""The store goes with rank 0's meeting, and in a run that outlives all others."""
PLAN = make(RunRequest(names=["split"], devices="cpu:1"))


@pytest.fixture(autouse=True)
def _meets_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)


def of_each(act: Callable[[int], Any], ranks: int = 2) -> list[Any]:
    """What ``act`` returns or raises on each rank, all at once."""
    with ThreadPoolExecutor(ranks) as pool:
        futures = [pool.submit(act, rank) for rank in range(ranks)]
        return [future.exception() or future.result() for future in futures]


def join(rank: int, identity: str = "same", plan: Plan | None = PLAN) -> tuple[Plan, tuple[str, ...]]:
    met = Meeting(Ranks(rank, rank, 2, 2))
    KEPT.append(met)
    return met.join(identity, f"rankbench run {identity}", plan if rank == 0 else None), met.hosts


def test_all_get_the_plan_of_rank_0() -> None:
    host = socket.gethostname()
    assert of_each(join) == [(PLAN, (host, host))] * 2


def test_ranks_that_were_asked_for_different_things_all_say_both() -> None:
    first, second = of_each(lambda rank: join(rank, "split" if rank else "frobenius"))
    assert isinstance(first, UsageError) and str(first) == str(second)
    words = r"different commands: `rankbench run frobenius` on .*, and `rankbench run split` on "
    assert re.search(words, str(first))


@pytest.mark.parametrize("refuses", [0, 1])
def test_what_one_rank_refuses_all_say(refuses: int) -> None:
    def act(rank: int) -> Plan:
        with meeting(Ranks(rank, rank, 2, 2)) as met:
            if rank == refuses:
                raise UsageError("SCENARIO", "be known", "'splat'", "did you mean 'split'?")
            return met.join("same", "", PLAN)

    told = of_each(act)
    assert all(isinstance(error, UsageError) for error in told)
    assert str(told[refuses]) == "SCENARIO must be known, but is 'splat'; did you mean 'split'?"
    assert f"but is 'splat' (said by rank {refuses} (" in str(told[1 - refuses])


def test_who_waits_says_for_whom_and_again_and_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SOON_S", 0.0)
    monkeypatch.setattr(module, "AGAIN_S", 0.3)
    with pytest.raises(RankbenchError, match=r"rank 0 \(.*\) has waited 1 s for 1 of 2 ranks at 127.0.0.1:\d+: rank 1"):
        Meeting(Ranks(0, 0, 2, 1), limit_s=1.0).join("same", "", PLAN)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert re.fullmatch(r"rank 0 \(.*\) waits for 1 of 2 ranks at 127.0.0.1:\d+: rank 1", lines[0])
    with pytest.raises(RankbenchError, match=r"rank 1 \(.*\) cannot reach rank 0 at 127.0.0.1:\d+"):
        Meeting(Ranks(1, 0, 2, 1), limit_s=1.0).join("same", "", None)
    assert "waits for rank 0 at 127.0.0.1:" in capsys.readouterr().err


def test_a_roll_call_finds_who_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROLL_CALL_S", 1.0)

    def act(rank: int) -> list[int]:
        met = Meeting(Ranks(rank, rank, 3, 3))
        met.join("same", "", PLAN if rank == 0 else None)
        return [] if rank == 2 else met.roll_call()

    assert of_each(act, 3) == [[2], [], []]


def test_an_error_keeps_its_kind_for_others() -> None:
    assert isinstance(Refusal.of(UsageError("a", "b", "c", "d")).error, UsageError)
    assert type(Refusal.of(RankbenchError("words"), " (said by rank 1)").error) is RankbenchError


def test_a_rank_that_loses_rank_0_meanwhile_says_so() -> None:
    before, code = len(KEPT), "from harness.common.startup import Ranks; from launch.processes.meeting import Meeting; "
    first = [sys.executable, "-c", f"{code}Meeting(Ranks(0, 0, 3, 3)).join('same', '', None)"]
    with subprocess.Popen(first, stderr=subprocess.DEVNULL) as process, ThreadPoolExecutor(1) as pool:
        joined = pool.submit(join, 1)
        wait_until(lambda: len(KEPT) > before and KEPT[-1]._base is not None)
        process.kill()
        with pytest.raises(RankbenchError, match=r"rank 1 \(.*\) has lost rank 0 at 127.0.0.1:\d+"):
            joined.result(LIMIT_S)
