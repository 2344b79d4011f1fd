"""Nothing is timed unsynchronised: shown with a device whose work is done later than its launch returns."""

from __future__ import annotations

import math
import threading

import pytest

from harness.common.errors import CollectiveError
from harness.device.timing import RankSample, StartLine, Timer
from harness.measure.timing_loop import sample
from tests.gpus import Clock, FakeGpu
from tests.stand_ins import workload


def take(device: FakeGpu, clock: Clock, inner: int, work_s: float) -> RankSample:
    line = StartLine(lambda value: value, 1e-4, clock)
    return sample(workload(lambda: device.launch(work_s)), inner, device, line, Timer(device, clock))[0]


@pytest.mark.parametrize("marks", [True, False])
def test_a_sample_holds_the_work_and_not_only_its_launch(marks: bool) -> None:
    clock = Clock()
    lap = take(FakeGpu(clock, marks=marks), clock, inner=5, work_s=0.010)
    assert lap.seconds == pytest.approx(0.050, rel=1e-3)


@pytest.mark.parametrize("marks", [True, False])
def test_work_that_was_pending_before_is_not_in_the_sample(marks: bool) -> None:
    clock = Clock()
    device = FakeGpu(clock, marks=marks)
    device.launch(1.0)
    assert take(device, clock, inner=1, work_s=0.010).seconds == pytest.approx(0.010, rel=1e-3)


def test_steps_are_not_synchronised_one_by_one() -> None:
    clock = Clock()
    device = FakeGpu(clock)
    take(device, clock, inner=100, work_s=0.001)
    assert device.told.count("synchronize") == 2  # once before the start, once after the end


@pytest.mark.parametrize("marks", [True, False])
def test_a_clock_read_without_waiting_would_let_a_slow_device_overtake(marks: bool) -> None:
    clock = Clock()
    device = FakeGpu(clock, marks=marks)
    host_s, device_s = 0.001, 0.010
    start_s = clock()
    device.launch(device_s)
    unsynchronised_s = clock() - start_s
    assert unsynchronised_s < host_s / 100  # "a hundred times faster than the host"
    assert take(device, clock, inner=1, work_s=device_s).seconds == pytest.approx(10 * host_s, rel=1e-3)


@pytest.mark.parametrize("marks", [True, False])
def test_putting_the_state_back_is_outside_the_clock(marks: bool) -> None:
    clock = Clock()
    device = FakeGpu(clock, marks=marks)
    told: list[str] = []

    def reset() -> None:
        told.append("reset")
        clock.now_s += 3.0  # on the host
        device.launch(1.0)  # and on the device, which is not waited for

    def step() -> None:
        told.append("step")
        device.launch(0.010)

    line = StartLine(lambda value: value, 1e-4, clock)
    lap, _ = sample(workload(step, reset=reset), 3, device, line, Timer(device, clock))
    assert told == ["reset", "step", "step", "step"]
    assert lap.seconds == pytest.approx(0.030, rel=1e-3)


def test_the_devices_own_time_is_preferred_to_the_hosts() -> None:
    assert RankSample(1.0, 3.0, 0.5).seconds == 0.5
    assert RankSample(1.0, 3.0, None).seconds == 2.0


def test_the_sample_returns_the_last_steps_output() -> None:
    clock = Clock()
    device = FakeGpu(clock, marks=False)
    outputs = iter(range(10))
    line = StartLine(lambda value: value, 0.0, clock)
    _, output = sample(workload(lambda: next(outputs)), 4, device, line, Timer(device, clock))
    assert output == 3


class Meeting:
    """Agrees on the greatest value among threads, as the side channel does among ranks."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.values: list[float] = []

    def latest(self, value: float) -> float:
        self.values.append(value)
        self.barrier.wait()
        greatest = max(self.values)
        self.barrier.wait()
        self.values.clear()
        self.barrier.wait()
        return greatest


def test_ranks_start_from_the_latest_of_them_plus_the_lead() -> None:
    meeting = Meeting(2)
    clocks = [Clock(), Clock()]
    clocks[1].now_s += 0.05  # this rank arrives later
    threads = [threading.Thread(target=StartLine(meeting.latest, 0.001, clock).cross) for clock in clocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for clock in clocks:
        assert clock.now_s == pytest.approx(100.051, abs=1e-5)


def test_a_rank_that_gives_up_lets_the_others_know_at_their_next_line() -> None:
    told: list[float] = []
    StartLine(lambda value: told.append(value) or value, 0.0).give_up()
    assert told == [math.inf]
    for stand in ("cross", "finish"):
        with pytest.raises(CollectiveError):
            getattr(StartLine(lambda _: math.inf, 0.0), stand)()
