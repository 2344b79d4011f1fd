"""Both clocks: what a user waits for and the device's own time, whatever a step does, and nothing ever hangs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.device.timing import QueueTimer, RankSample, StartLine, Timer
from harness.journal.measurement_warnings import Kind
from harness.measure.launch_ahead import HOLD_S, MOST, QueueDepth, head_start_s, room, tightest, warnings_of
from harness.measure.timing_loop import sample
from tests.gpus import DEPTH, LAUNCH_S, FakeGpu
from tests.stand_ins import workload

QUICK_S = 2e-6
"""A kernel that is done before the next one can be launched."""


def take(
    gpu: FakeGpu, step: Callable[[], None], inner: int, *, head_start_s: float = 0.0, streams: tuple[str, ...] = ()
) -> RankSample:
    line = StartLine(lambda value: value, 1e-4, gpu.clock)
    watch = (
        QueueTimer(gpu, gpu.clock, head_start_s=head_start_s, streams=streams)
        if head_start_s
        else Timer(gpu, gpu.clock, streams=streams)
    )
    return sample(workload(step), inner, gpu, line, watch)[0]


def looked(gpu: FakeGpu, step: Callable[[], None], steps: int = 100) -> QueueDepth:
    return room(step, steps, gpu, gpu.clock)


def test_the_order_is_flush_align_hold_mark_fork_steps_join_mark_and_one_wait() -> None:
    gpu = FakeGpu()

    def latest(value: float) -> float:
        gpu.told.append("align")
        return value

    def reset() -> None:
        gpu.told.append("reset")

    line = StartLine(latest, 1e-4, gpu.clock)
    watch = QueueTimer(gpu, gpu.clock, head_start_s=1e-3, streams=("side",))
    sample(workload(lambda: gpu.launch(1e-3, "step"), reset=reset), 3, gpu, line, watch, cold=True)
    before, after = ["reset", "flush", "synchronize", "align"], ["join side", "mark", "synchronize"]
    assert gpu.told == [*before, "mark", "hold", "mark", "fork side", "step", "step", "step", *after]


def test_a_hot_sample_without_head_start_clears_and_holds_nothing() -> None:
    gpu = FakeGpu()
    take(gpu, lambda: gpu.launch(1e-3, "step"), 2)
    assert gpu.calls() == ["synchronize", "mark", "step", "mark", "synchronize"]


def test_without_a_head_start_the_launches_are_timed_and_with_one_the_device() -> None:
    gpu = FakeGpu()
    bare = take(gpu, lambda: gpu.launch(QUICK_S), 200)
    assert bare.seconds == pytest.approx(200 * LAUNCH_S, rel=0.02)
    ahead = take(gpu, lambda: gpu.launch(QUICK_S), 200, head_start_s=2e-3)
    assert ahead.seconds == pytest.approx(200 * QUICK_S, rel=1e-6)
    assert not ahead.late


@given(work_us=st.floats(0.1, 1000), launches=st.integers(1, 5), inner=st.integers(1, MOST), serial=st.booleans())
def test_whatever_fits_is_timed_without_its_launches(work_us: float, launches: int, inner: int, serial: bool) -> None:
    gpu = FakeGpu()

    def step() -> None:
        for _ in range(launches):
            gpu.launch(work_us * 1e-6)

    found = looked(gpu, step, inner)
    inner = min(inner, int(found.steps))
    lap = take(gpu, step, inner, head_start_s=head_start_s(inner, found))
    assert not lap.late
    assert lap.seconds == pytest.approx(inner * launches * work_us * 1e-6, rel=1e-6)


def test_a_head_start_is_no_part_of_the_sample() -> None:
    gpu = FakeGpu()
    lap = take(gpu, lambda: gpu.launch(0.010), 1, head_start_s=0.5)
    assert lap.end_s - lap.start_s == pytest.approx(0.010, rel=1e-3)
    assert lap.seconds == pytest.approx(0.010, rel=1e-3)
    assert not lap.late


def test_a_step_that_waits_for_the_device_has_no_room_and_does_not_hang() -> None:
    gpu = FakeGpu()

    def step() -> None:
        gpu.launch(1e-3)
        gpu.wait()

    assert looked(gpu, step).steps == 0
    lap = take(gpu, step, 5, head_start_s=0.020)  # were it held all the same
    assert lap.late
    assert lap.seconds == pytest.approx(5 * (1e-3 + LAUNCH_S), rel=0.02)


@pytest.mark.parametrize("per_step", [1, 7, 300, 999, 1500])
def test_no_more_steps_fit_than_the_device_takes_launches_ahead(per_step: int) -> None:
    gpu = FakeGpu()

    def step() -> None:
        for _ in range(per_step):
            gpu.launch(1e-6)

    steps = min(MOST, max(4, 2 * DEPTH // per_step))
    fit = (DEPTH - 1) // per_step  # the pause is a launch too
    assert looked(gpu, step, steps).steps == min(steps, fit)


def test_every_rank_does_as_many_steps_however_many_fit() -> None:
    for wait in (True, False):
        gpu, done = FakeGpu(), []

        def step(gpu: FakeGpu = gpu, done: list[int] = done, wait: bool = wait) -> None:
            gpu.launch(1e-3)
            done.append(1)
            if wait:
                gpu.wait()

        looked(gpu, step, 37)
        assert len(done) == 37  # else their collectives would not match


def test_launching_is_timed_by_the_host_and_not_by_the_device() -> None:
    gpu = FakeGpu()
    found = looked(gpu, lambda: gpu.launch(1e-3), 40)
    assert found.steps == 40
    assert found.launch_s == pytest.approx(LAUNCH_S, rel=0.1)
    assert looked(gpu, lambda: gpu.launch(HOLD_S), 1).launch_s < 2 * LAUNCH_S


@pytest.mark.parametrize("host_s", [20e-6, 2e-3, 20e-3])
def test_work_on_the_host_counts_whatever_the_device_does_meanwhile(host_s: float) -> None:
    gpu = FakeGpu()

    def step() -> None:
        gpu.clock.now_s += host_s
        gpu.launch(QUICK_S)

    lap = take(gpu, step, 10)
    assert lap.seconds == pytest.approx(10 * (host_s + LAUNCH_S), rel=0.02)
    assert lap.enqueue_s == pytest.approx(lap.seconds, rel=0.02)
    own = take(gpu, step, 10, head_start_s=head_start_s(10, QueueDepth(10, host_s + LAUNCH_S)))
    assert own.seconds == pytest.approx(10 * QUICK_S, rel=0.01)
    assert own.enqueue_s == pytest.approx(10 * (host_s + LAUNCH_S), rel=0.02)


def test_a_step_that_launches_nothing_takes_what_the_host_takes() -> None:
    gpu = FakeGpu()

    def step() -> None:
        gpu.clock.now_s += 3e-3

    assert take(gpu, step, 4).seconds == pytest.approx(12e-3, rel=0.01)
    assert take(gpu, step, 4, head_start_s=0.1).seconds < 1e-6  # the device's own time of it


def test_the_host_is_done_early_where_the_device_takes_longer() -> None:
    gpu = FakeGpu()
    lap = take(gpu, lambda: gpu.launch(1e-3), 50)
    assert lap.seconds == pytest.approx(50e-3, rel=0.01)
    assert lap.enqueue_s == pytest.approx(50 * LAUNCH_S, rel=0.1)


def test_of_several_ranks_what_suits_each_is_launched_ahead() -> None:
    assert tightest([QueueDepth(), QueueDepth(7, 1e-5), QueueDepth(9, 3e-5)]) == QueueDepth(7, 3e-5)


def test_what_other_streams_do_is_inside_the_sample_once_they_are_joined() -> None:
    gpu = FakeGpu()

    def step() -> None:
        gpu.launch(1e-3)
        gpu.launch(0.020, stream="side")

    assert take(gpu, step, 1, head_start_s=1e-3).seconds == pytest.approx(1e-3, rel=0.1)
    for held_s in (0.0, 1e-3, 0.030):  # nor do they begin while the main stream is held
        lap = take(gpu, step, 1, head_start_s=held_s, streams=("side",))
        assert lap.seconds == pytest.approx(0.020, rel=0.01)


def test_a_rank_that_often_launches_too_late_is_doubted() -> None:
    early, late = RankSample(1.0, 2.0, 0.9), RankSample(1.0, 2.0, 0.9, late=True)
    assert warnings_of([[early] * 19 + [late]]) == []
    (warning,) = warnings_of([[early] * 20, [early] * 18 + [late] * 2])
    assert (warning.kind, warning.rank) == (Kind.LAUNCH_GAPS, 1)
    assert "10\N{NO-BREAK SPACE}% of the samples of the device's own time (limit 5\N{NO-BREAK SPACE}%)" in warning.fact
