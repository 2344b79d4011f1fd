"""The CUDA device against a fake of torch.cuda that behaves as documented: milliseconds, clock cycles, streams."""

from __future__ import annotations

from typing import Any

import pytest

from harness.device.cuda import CACHES, MARKS, CudaDevice
from harness.device.timing import QueueTimer, Timer
from tests.cuda_api import L2, Cuda


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda.installed(monkeypatch)


def test_it_is_timed_by_events_on_the_current_stream_in_seconds_and_synchronised_once(cuda: Cuda) -> None:
    watch = Timer(CudaDevice(1))
    watch.start()
    cuda.now_ms += 12.5
    lap = watch.stop()
    assert lap.seconds == lap.device_s == 0.0125
    assert cuda.told == ["record on main", "record on main", "synchronize 1"]


def test_a_pause_takes_as_many_cycles_as_its_seconds_have_here(cuda: Cuda) -> None:
    device = CudaDevice(0)
    device.hold(1.0)  # and so its clock is known
    cuda.told.clear()
    before_ms = cuda.now_ms
    held = device.hold(0.003)
    let_go = device.mark()
    assert cuda.now_ms - before_ms == pytest.approx(3.0)
    assert cuda.told == ["record on main", "sleep", "record on main", "record on main"]
    assert not device.reached(let_go)
    device.synchronize()
    assert device.reached(let_go)
    assert device.between(held, let_go) == pytest.approx(0.003)


def test_a_pause_is_as_long_as_the_clock_of_the_last_one_makes_it(cuda: Cuda) -> None:
    """Clocks move, and the GPUs of a node apart: a pause that is late on one rank would make its peers wait."""
    device = CudaDevice(0)
    device.hold(0.003)
    cuda.hertz *= 0.6

    def took_ms(seconds: float) -> float:
        before_ms = cuda.now_ms
        device.hold(seconds)
        return cuda.now_ms - before_ms

    assert took_ms(0.003) == pytest.approx(5.0)  # the last one has not been waited for, so nothing is known of it
    device.synchronize()
    assert took_ms(0.003) == pytest.approx(3.0)
    device.synchronize()
    cuda.hertz /= 0.6
    assert took_ms(0.00001) == pytest.approx(0.006)  # too short to tell anything
    device.synchronize()
    assert took_ms(0.003) == pytest.approx(1.8)
    device.synchronize()
    assert took_ms(0.003) == pytest.approx(3.0)


def test_what_a_pause_took_is_known_however_many_marks_come_before_the_next(cuda: Cuda) -> None:
    """Cases without a head start are timed by marks alone."""
    device = CudaDevice(0)
    device.hold(0.003)
    for _ in range(5 * MARKS):
        device.mark()
        cuda.now_ms += 1.0
    device.synchronize()
    before_ms = cuda.now_ms
    device.hold(0.003)
    assert cuda.now_ms - before_ms == pytest.approx(3.0)


def test_the_head_start_ends_at_the_start_mark(cuda: Cuda) -> None:
    device = CudaDevice(0)
    device.hold(0.001)
    watch = QueueTimer(device, lambda: 5.0, head_start_s=0.002, streams=(cuda.side,))
    cuda.told.clear()
    watch.start()
    cuda.now_ms += 0.25
    lap = watch.stop()
    assert (lap.start_s, lap.seconds) == (pytest.approx(5.002), pytest.approx(0.00025))
    assert cuda.told == [
        *("record on main", "sleep", "record on main", "record on main", "side waits for main"),
        *("main waits for side", "record on main", "synchronize 0"),
    ]


def test_the_flush_writes_more_than_the_cache_holds_into_one_buffer(cuda: Cuda) -> None:
    device = CudaDevice(0)
    device.flush()
    device.flush()
    assert cuda.buffers == [CACHES * L2]
    assert CACHES > 1


def test_a_mark_is_good_for_a_whole_sample_of_which_others_are_taken(cuda: Cuda) -> None:
    device = CudaDevice(0)
    first = device.mark()
    cuda.now_ms += 2.0
    last = [device.mark() for _ in range(15)][-1]
    device.synchronize()
    assert device.between(first, last) == 0.002


def test_a_new_mark_stays_good_however_many_others_follow(cuda: Cuda) -> None:
    device = CudaDevice(0)
    first = device.new_mark()
    for _ in range(3 * MARKS):
        cuda.now_ms += 1.0
        device.mark()
    last = device.new_mark()
    device.synchronize()
    assert device.between(first, last) == pytest.approx(3 * MARKS * 1e-3)


def test_the_least_that_can_be_told_is_what_lies_between_two_marks(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    device = CudaDevice(0)
    device.hold(0.001)
    mark = CudaDevice.mark

    def slow_mark(self: CudaDevice) -> Any:
        made = mark(self)
        cuda.now_ms += 0.0015
        return made

    monkeypatch.setattr(CudaDevice, "mark", slow_mark)
    assert device.least() == pytest.approx(1.5e-6)
