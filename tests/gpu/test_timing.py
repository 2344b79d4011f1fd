"""How a real GPU is timed: pauses, both clocks, streams, the cache, and how little nothing takes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch

from harness.device.cuda import CudaDevice
from harness.device.timing import QueueTimer, RankSample, StartLine, Timer, now
from harness.measure.launch_ahead import head_start_s, room
from harness.measure.timing_loop import sample
from tests.stand_ins import workload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CYCLES = 20_000_000


@pytest.fixture(scope="module")
def device() -> CudaDevice:
    torch.cuda.set_device(0)
    return CudaDevice(0)


def laps(
    device: CudaDevice, step: Callable[[], Any], inner: int = 1, *, cold: bool = False, **how: Any
) -> list[RankSample]:
    line = StartLine(lambda value: value, 1e-4)
    watch = QueueTimer(device, **how) if "head_start_s" in how else Timer(device, **how)
    return [sample(workload(step), inner, device, line, watch, cold=cold)[0] for _ in range(8)][2:]


def seconds(found: list[RankSample]) -> float:
    return median(lap.seconds for lap in found)


def test_a_pause_lasts_as_long_as_was_asked(device: CudaDevice) -> None:
    held = device.hold(0.020)
    let_go = device.mark()
    assert not device.reached(let_go)
    device.synchronize()
    assert device.between(held, let_go) == pytest.approx(0.020, rel=0.25)


def test_nothing_takes_at_most_five_microseconds(device: CudaDevice) -> None:
    assert 0 < device.least() <= 5e-6
    assert seconds(laps(device, lambda: None, head_start_s=200e-6)) <= 5e-6


def test_small_kernels_are_timed_without_the_gaps_between_their_launches(device: CudaDevice) -> None:
    x = torch.zeros(32, device="cuda:0")

    def step() -> torch.Tensor:
        return x.add_(1)

    step()
    found = room(step, 256, device, Timer(device)._now)
    assert found.steps >= 64
    inner = min(256, int(found.steps))
    ahead = laps(device, step, inner, head_start_s=head_start_s(inner, found))
    assert sum(lap.late for lap in ahead) <= 1
    assert seconds(ahead) <= 1.05 * seconds(laps(device, step, inner))


def test_work_on_the_host_is_in_the_time_as_launched_and_not_in_the_devices_own(device: CudaDevice) -> None:
    x, host_s = torch.zeros(32, device="cuda:0"), 500e-6

    def step() -> None:
        x.add_(1)
        until_s = now() + host_s
        while now() < until_s:
            pass

    launched, own = laps(device, step, 10), laps(device, step, 10, head_start_s=20e-3)
    assert seconds(launched) >= 9 * host_s
    assert all(lap.enqueue_s is not None and lap.enqueue_s >= 10 * host_s for lap in launched)
    assert seconds(own) < host_s


def test_a_step_that_waits_for_the_gpu_is_found_out(device: CudaDevice) -> None:
    x = torch.zeros(32, device="cuda:0")
    assert room(lambda: x.sum().item(), 8, device, Timer(device)._now).steps == 0


def test_work_on_a_side_stream_is_inside_the_sample_only_where_it_is_joined(device: CudaDevice) -> None:
    side = torch.cuda.Stream(0)

    def step() -> None:
        with torch.cuda.stream(side):
            torch.cuda._sleep(CYCLES)

    joined, left = laps(device, step, streams=(side,)), laps(device, step)
    assert seconds(left) < 0.1 * seconds(joined)
    assert seconds(joined) == pytest.approx(seconds(laps(device, lambda: torch.cuda._sleep(CYCLES))), rel=0.1)


def test_a_cold_sample_reads_from_memory_what_a_hot_one_has_in_the_cache(device: CudaDevice) -> None:
    size = torch.cuda.get_device_properties(0).L2_cache_size // 3
    source = torch.randn(size // 4, device="cuda:0")
    hot, cold = (laps(device, source.sum, cold=cold, head_start_s=500e-6) for cold in (False, True))
    assert seconds(cold) > 1.1 * seconds(hot)
