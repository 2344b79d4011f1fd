"""Foreign load: what others took, and not what a rank rightly waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from harness.device.telemetry.cpu_load import CpuTime, warnings_of
from harness.journal.measurement_warnings import Kind
from tests.limits import LIMIT_S


def test_waiting_for_the_core_is_foreign_load() -> None:
    (warning,) = warnings_of([CpuTime(1.0, 1.0, 0.0, 1.0), CpuTime(1.0, 0.6, 0.4, 1.0)])
    assert warning.kind is Kind.FOREIGN_LOAD
    assert warning.rank == 1
    assert "40\N{NO-BREAK SPACE}%" in warning.fact


def test_taking_turns_with_ones_peers_is_not() -> None:
    shared = [CpuTime(1.0, 0.5, 0.5, 1.0), CpuTime(1.0, 0.5, 0.5, 1.0)]
    assert len(warnings_of(shared)) == 2 and not warnings_of(shared, shares=True)


def test_sleeping_while_peers_work_is_not() -> None:
    assert not warnings_of([CpuTime(1.0, 0.5, 0.0)])


def test_sharing_the_core_with_ones_own_threads_is_not() -> None:
    assert not warnings_of([CpuTime(1.0, 1.0, 0.2, 1.01)])


def test_own_threads_are_never_foreign_however_the_ticks_of_the_core_were_counted() -> None:
    """The step waited 0.4 s for its core, on which own threads ran for 0.38 s meanwhile; a tick may say otherwise."""
    of_loops = CpuTime(1.0, 0.98, 0.4, 1.4, main_s=0.6, messages_s=0.38)
    assert of_loops.foreign == pytest.approx(0.4)  # busy beyond this process: both may have been there
    assert CpuTime(1.0, 0.98, 0.4, None, main_s=0.6, messages_s=0.38).foreign == pytest.approx(0.02)
    assert CpuTime(1.0, 0.98, 0.4, 0.9, main_s=0.6, messages_s=0.38).foreign == pytest.approx(0.02)
    assert CpuTime(1.0, 0.6, 0.4, 0.6, main_s=0.6, messages_s=0.0).foreign == pytest.approx(0.4)  # none of its own ran


def test_what_communication_threads_take_from_the_step_is_told_with_its_remedy() -> None:
    (warning,) = warnings_of(
        [CpuTime(1.0, 1.0, 0.0, 1.0, main_s=1.0), CpuTime(1.0, 0.98, 0.4, 1.0, main_s=0.6, messages_s=0.38)]
    )
    assert warning.kind is Kind.COMMUNICATION_THREADS and warning.rank == 1
    assert (
        warning.fact
        == "gloo's threads took up to 38\N{NO-BREAK SPACE}% of rank 1's core from its step (limit 5\N{NO-BREAK SPACE}%)"
    )
    assert "--gloo-loop" in warning.kind.remedy
    blocked = CpuTime(1.0, 0.9, 0.01, 0.9, main_s=0.5, messages_s=0.4)  # they run while the step waits for its message
    assert not warnings_of([blocked])


def test_others_on_the_core_while_the_rank_slept_are_not() -> None:
    assert not warnings_of([CpuTime(1.0, 0.5, 0.01, 0.9)])


def test_without_run_queue_times_processor_time_tells() -> None:
    assert warnings_of([CpuTime(1.0, 0.7, None, 1.0)])
    assert warnings_of([CpuTime(1.0, 0.7, None, None)])
    assert not warnings_of([CpuTime(1.0, 0.99, None, None)])


def test_loads_add_up_over_visits() -> None:
    total = CpuTime()
    for _ in range(3):
        total += CpuTime(2.0, 1.5, 0.5, 2.1) - CpuTime(1.0, 1.0, 0.25, 2.0)
    assert total.wall_s == pytest.approx(3.0)
    assert total.delay_s == pytest.approx(0.75)
    assert total.busy_s == pytest.approx(0.3)


def test_the_counters_of_this_process_move_forward() -> None:
    before = CpuTime.now()
    sum(range(200_000))
    passed = CpuTime.now() - before
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
            before = CpuTime.now()
            while (passed := CpuTime.now() - before).wall_s < 0.3:
                pass
            foreign = passed.foreign
    finally:
        neighbour.kill()
        neighbour.communicate()
        os.sched_setaffinity(0, allowed)
    assert foreign > 0.2


def test_a_share_just_beyond_the_limit_does_not_read_like_the_limit() -> None:
    (warning,) = warnings_of([CpuTime(1.0, 0.9, 0.0507, 1.0)])
    assert warning.fact == (
        "rank 0 waited for its core 5.1\N{NO-BREAK SPACE}% of the time (limit 5\N{NO-BREAK SPACE}%)"
    )
