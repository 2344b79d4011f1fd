"""Foreign load: what others took, and not what a rank rightly waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from harness.doubts import Kind
from harness.load import Load, doubts
from tests.limits import LIMIT_S


def test_waiting_for_the_core_is_foreign_load() -> None:
    (doubt,) = doubts([Load(1.0, 1.0, 0.0, 1.0), Load(1.0, 0.6, 0.4, 1.0)])
    assert doubt.kind is Kind.FOREIGN_LOAD
    assert doubt.rank == 1
    assert "40%" in doubt.fact


def test_taking_turns_with_ones_peers_is_not() -> None:
    shared = [Load(1.0, 0.5, 0.5, 1.0), Load(1.0, 0.5, 0.5, 1.0)]
    assert len(doubts(shared)) == 2 and not doubts(shared, shares=True)


def test_sleeping_while_peers_work_is_not() -> None:
    assert not doubts([Load(1.0, 0.5, 0.0)])


def test_sharing_the_core_with_ones_own_threads_is_not() -> None:
    assert not doubts([Load(1.0, 1.0, 0.2, 1.01)])


def test_others_on_the_core_while_the_rank_slept_are_not() -> None:
    assert not doubts([Load(1.0, 0.5, 0.01, 0.9)])


def test_without_run_queue_times_processor_time_tells() -> None:
    assert doubts([Load(1.0, 0.7, None, 1.0)])
    assert doubts([Load(1.0, 0.7, None, None)])
    assert not doubts([Load(1.0, 0.99, None, None)])


def test_loads_add_up_over_visits() -> None:
    total = Load()
    for _ in range(3):
        total += Load(2.0, 1.5, 0.5, 2.1) - Load(1.0, 1.0, 0.25, 2.0)
    assert total.wall_s == pytest.approx(3.0)
    assert total.delay_s == pytest.approx(0.75)
    assert total.busy_s == pytest.approx(0.3)


def test_the_counters_of_this_process_move_forward() -> None:
    before = Load.now()
    sum(range(200_000))
    passed = Load.now() - before
    assert 0 < passed.cpu_s <= passed.wall_s * 1.5


def test_a_busy_core_is_seen() -> None:
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    neighbour = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    os.sched_setaffinity(neighbour.pid, {core})
    try:
        os.sched_setaffinity(0, {core})
        neighbour.stdout.readline()
        foreign, end_s = 0.0, time.monotonic() + LIMIT_S
        while foreign <= 0.2 and time.monotonic() < end_s:  # both may be stopped for a while
            before = Load.now()
            while (passed := Load.now() - before).wall_s < 0.3:
                pass
            foreign = passed.foreign
    finally:
        neighbour.kill()
        neighbour.communicate()
        os.sched_setaffinity(0, allowed)
    assert foreign > 0.2
