"""Emulated devices: times are what was planted, to the last digit, through the code that times GPUs."""

from __future__ import annotations

import gc
import math
import statistics
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.device.emulated.device import EmulatedDevice
from harness.device.emulated.network import Network
from harness.device.telemetry.planted_readings import THERMAL, PlantedReadings
from harness.device.timing import QueueTimer, RankSample, StartLine, Timer
from harness.measure.launch_ahead import QueueDepth, head_start_s, room, warnings_of
from harness.measure.timing_loop import sample
from harness.work.memory import peak
from harness.work.planted_cost import planted_cost
from tests.emulated import BYTES_PER_S, FAR_BYTES_PER_S, FAR_S, LATENCY_S, LAUNCH_S, MARK_S, device, emulation
from tests.stand_ins import workload

LONG_S, SHORT_S = 1e-3, 1e-6
"""Operations that take longer, and less long, than their launches."""


def take(own: EmulatedDevice, work_s: float, operations: int, *, timer: Timer | None = None) -> RankSample:
    line = StartLine(lambda value: value, 1e-4, own.now, own.await_start)

    def step() -> None:
        for _ in range(operations):
            own.launch(work_s)

    return sample(workload(step), 1, own, line, timer or Timer(own, own.now))[0]


def test_a_step_that_keeps_the_device_busy_takes_its_first_launch_and_its_work() -> None:
    assert take(device(), LONG_S, 5).seconds == pytest.approx(LAUNCH_S + 5 * LONG_S, rel=1e-12)


def test_a_step_of_short_operations_takes_what_launching_them_takes() -> None:
    lap = take(device(), SHORT_S, 50)
    assert lap.seconds == pytest.approx(50 * LAUNCH_S + SHORT_S, rel=1e-12)
    assert lap.enqueue_s == pytest.approx(50 * LAUNCH_S + 2 * MARK_S, rel=1e-12)


def test_a_step_that_launches_nothing_shows_what_a_mark_takes() -> None:
    own = device()
    lap = take(own, LONG_S, 0)
    assert lap.seconds == pytest.approx(own.least(), rel=1e-9) == MARK_S
    assert lap.end_s > lap.start_s


def test_the_devices_own_time_of_short_operations_is_their_work() -> None:
    own = device()
    depth = room(lambda: [own.launch(SHORT_S) for _ in range(50)], 3, own, own.now)
    assert depth == QueueDepth(3, pytest.approx(50 * LAUNCH_S))
    timer = QueueTimer(own, own.now, head_start_s=head_start_s(1, depth))
    lap = take(own, SHORT_S, 50, timer=timer)
    assert lap.seconds == pytest.approx(50 * SHORT_S, rel=1e-9)
    assert not lap.late
    early = take(own, SHORT_S, 50, timer=QueueTimer(own, own.now, head_start_s=LAUNCH_S))
    assert early.late
    assert [each.rank for each in warnings_of([[lap], [early]])] == [1]


def test_a_step_that_reads_a_number_cannot_be_launched_ahead() -> None:
    own, number = device(), torch.ones(1)

    def step() -> None:
        own.launch(LONG_S)
        with planted_cost(own):
            number.item()

    assert room(step, 5, own, own.now).steps == 0


def test_the_host_waits_where_the_queue_is_full() -> None:
    own = device(queue_depth=4)
    for _ in range(4):
        own.launch(LONG_S)
    assert own.host_s == pytest.approx(4 * LAUNCH_S)
    own.launch(LONG_S)
    assert own.host_s == pytest.approx(LAUNCH_S + LONG_S)  # the first one's end


def test_samples_start_on_all_ranks_at_one_instant_but_for_one_that_is_late() -> None:
    prompt, late = device(0), device(1, late_ranks={1: 0.25})
    for own in (prompt, late):
        StartLine(lambda _: 5.0, 1.0, own.now, own.await_start).cross()
    assert (prompt.now(), late.now()) == (6.0, 6.25)


def test_a_slow_rank_and_busy_neighbours_lengthen_compute() -> None:
    own = device(3, devices=4, hosts=2, slow_ranks={3: 1.5}, contention=0.1)
    for busy, neighbours in ((1, 0), (4, 3), (8, 3)):
        own.share_host(busy)
        lap = take(own, LONG_S, 1)
        assert lap.seconds == pytest.approx(LAUNCH_S + LONG_S * 1.5 * (1 + 0.1 * neighbours), rel=1e-9)
    second = device(4, devices=4, hosts=2)
    second.share_host(6)
    assert second.neighbours == 1  # ranks 4 and 5 are on the second host


def test_a_throttled_clock_is_slower_and_telemetry_shows_it() -> None:
    own = device(0, throttled_ranks={0: {"after_s": 2 * LONG_S, "factor": 2.0}})
    laps = [take(own, LONG_S, 1) for _ in range(4)]
    assert [lap.seconds - LAUNCH_S for lap in laps] == pytest.approx([LONG_S, LONG_S, 2 * LONG_S, 2 * LONG_S])
    readings = PlantedReadings.of_device(own)
    assert [readings.during(lap.start_s, lap.end_s) for lap in laps] == [
        *[(1500.0, 0)] * 2,
        *[(750.0, THERMAL)] * 2,
    ]


def test_noise_is_drawn_from_the_seed_and_has_the_planted_size() -> None:
    planted = {"noise": {"sample": 0.05}}

    def times(rank: int, launch: int) -> list[float]:
        own = device(rank, **planted)
        own.begin(7, launch)
        return [take(own, LONG_S, 1).seconds - LAUNCH_S for _ in range(400)]

    assert times(0, 1) == times(0, 1)
    assert times(0, 1) != times(1, 1) != times(1, 2)
    assert statistics.stdev(map(math.log, times(0, 1))) == pytest.approx(0.05, rel=0.15)


def test_noise_between_launches_is_common_and_between_devices_stays() -> None:
    def first(rank: int, number: int, **noise: float) -> float:
        own = device(rank, noise=noise)
        own.begin(7, number)
        return take(own, LONG_S, 1).seconds - LAUNCH_S

    assert first(0, 1, launch=0.1) == first(1, 1, launch=0.1) != first(0, 2, launch=0.1)
    assert first(0, 1, device=0.1) == first(0, 2, device=0.1) != first(1, 1, device=0.1)


def test_an_operation_takes_the_longer_of_its_flops_and_bytes_and_a_view_nothing() -> None:
    own = device(flops_per_s=1e6, bytes_per_s=1e6)
    a = torch.ones(10, 10)
    with planted_cost(own):
        a.t()
        a.view(100)
        torch.empty(50)
        assert own.done_s == own.host_s == 0
        product = a @ a  # 2000 FLOP, 1200 bytes
        assert own.done_s == pytest.approx(LAUNCH_S + 2000e-6)
        product.add_(1)  # 1200 bytes: itself, as operand and as result, counts twice
    assert own.done_s == pytest.approx(LAUNCH_S + 2000e-6 + 800e-6)
    assert product[0, 0] == 11  # results are right


def test_memory_is_counted_peaks_and_has_an_end() -> None:
    own = device(memory_bytes=10_000)
    with planted_cost(own):
        kept = torch.zeros(1000)
        assert own.allocated_bytes == 4000
        view = kept[:10]
        own.peak_bytes = 0
        kept + 1
        assert (own.allocated_bytes, own.peak_bytes) == (4000, 8000)
        with pytest.raises(torch.OutOfMemoryError, match="emulated device out of memory"):
            torch.zeros(2000)
        del kept
        assert own.allocated_bytes == 4000  # the view holds it
        del view
    gc.collect()
    assert own.allocated_bytes == 0


def test_memory_of_a_block_is_the_emulated_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    own = device()
    monkeypatch.setattr("harness.device.emulated.device._here", [own])
    with planted_cost(own), peak(torch.device("cpu")) as told:
        torch.zeros(1000) + 1
    assert (told.before, told.bytes) == (0, 8000)


def network(**planted: object) -> Network:
    return Network(emulation(**planted))


def test_a_message_takes_latency_and_bytes_and_longer_between_hosts_and_over_a_slow_link() -> None:
    links = network(devices=2, hosts=2, slow_links={"2-3": 4.0})
    assert links.transfer_s(0, 1, 1e6) == pytest.approx(LATENCY_S + 1e6 / BYTES_PER_S)
    assert links.transfer_s(1, 2, 1e6) == pytest.approx(FAR_S + 1e6 / FAR_BYTES_PER_S)
    assert links.transfer_s(3, 2, 1e6) == pytest.approx(LATENCY_S + 4e6 / BYTES_PER_S)


@given(st.integers(2, 64), st.floats(0, 1e9))
def test_collectives_of_equal_links_have_their_closed_forms(n: int, size: float) -> None:
    links, ranks = network(devices=n), range(n)
    part = LATENCY_S + size / n / BYTES_PER_S
    assert links.all_reduce_s(ranks, size) == pytest.approx(2 * (n - 1) * part)
    assert links.all_gather_s(ranks, size) == pytest.approx((n - 1) * part)
    assert links.all_to_all_s(ranks, size) == pytest.approx((n - 1) * part)
    assert links.broadcast_s(ranks, size) == pytest.approx((n - 1) * LATENCY_S + size / BYTES_PER_S)
    assert links.star_s(ranks, 0, size) == pytest.approx((n - 1) * (LATENCY_S + size / BYTES_PER_S))


def test_the_slowest_link_of_a_ring_sets_each_step() -> None:
    size = 4e6
    slow = network(devices=4, slow_links={"0-3": 3.0}).all_reduce_s(range(4), size)
    assert slow == pytest.approx(6 * (LATENCY_S + 3 * size / 4 / BYTES_PER_S))
    hosts = network(devices=2, hosts=2)
    assert hosts.all_reduce_s(range(4), size) == pytest.approx(6 * (FAR_S + size / 4 / FAR_BYTES_PER_S))
    assert hosts.all_reduce_s((2, 3), size) == pytest.approx(2 * (LATENCY_S + size / 2 / BYTES_PER_S))


@given(st.lists(st.floats(1e-7, 1e-3), min_size=1, max_size=50))
def test_the_queue_is_a_queue(works: list[float]) -> None:
    own, ends = device(queue_depth=3), [0.0]
    for work_s in works:
        own.launch(work_s)
        ends.append(own.done_s)
    assert all(
        later - before >= work_s * (1 - 1e-9) for (before, later), work_s in zip(pairwise(ends), works, strict=True)
    )
    assert own.host_s >= len(works) * LAUNCH_S * (1 - 1e-9)
