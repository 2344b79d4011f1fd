"""Work, waiting and transfer around collectives: from clocks that were made up, and from two real ranks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.device.device import CpuDevice
from harness.device.timing import RankSample, StartLine, Timer, now
from harness.gang import Gang
from harness.journal.records import CellRecord, parse
from harness.measure import timing_loop
from harness.measure.collective_times import Call, Seen, Watched, split
from harness.measure.message_watcher import WAITS, watched
from harness.work import communication
from harness.work.communication import Message, Observer
from tests.gpus import LAUNCH_S, FakeGpu
from tests.ranks import Ranks
from tests.stand_ins import workload

gaps = st.lists(st.floats(1e-4, 1e-2), min_size=7, max_size=7)


def sample(instants: list[float]) -> Watched:
    """Start, then pairs of arrival and departure, then end."""
    start_s, *inner, end_s = instants
    spans = tuple((inner[place], inner[place + 1]) for place in range(0, len(inner), 2))
    return Watched(start_s, end_s, tuple(Call(*span) for span in spans), spans)


@given(st.lists(st.lists(gaps, min_size=2, max_size=2), min_size=2, max_size=4), st.integers(1, 5))
def test_the_shares_make_up_the_time_and_nobody_waits_for_the_last(told: list[list[list[float]]], inner: int) -> None:
    ranks = [[sample([sum(own[: end + 1]) for end in range(len(own) - 1)]) for own in mine] for mine in told]
    waits = split(ranks, inner)
    assert waits is not None
    assert waits.collectives == (2 / inner,) * 2
    for rank, mine in enumerate(ranks):
        for place, each in enumerate(mine):
            parts = [part[rank][place] for part in (waits.work_s, waits.wait_s, waits.transfer_s)]
            assert sum(parts) * inner == pytest.approx(each.end_s - each.start_s, abs=1e-7)
            assert min(parts) >= -1e-9
    for place in range(2):
        for number in range(2):
            last = max(range(len(ranks)), key=lambda rank: ranks[rank][place].calls[number].came_s)
            calls = [mine[place].calls[number] for mine in ranks]
            alone = [[Watched(0, 9, (call,), ((call.came_s, call.left_s),))] for call in calls]
            told_alone = split(alone, 1)
            assert told_alone is not None
            assert told_alone.wait_s[last] == (0,)


def test_a_rank_waits_until_the_last_has_come_and_then_it_is_transfer() -> None:
    waits = split([[sample([0, 1, 6, 7])], [sample([0, 4, 6, 6.5])]], 1)
    assert waits is not None
    assert (waits.work_s, waits.wait_s, waits.transfer_s) == (((2,), (4.5,)), ((3,), (0,)), ((2,), (2,)))


def test_a_source_that_does_not_wait_has_not_waited() -> None:
    """It leaves its broadcast before the other comes."""
    waits = split([[sample([0, 1, 2, 8])], [sample([0, 4, 6, 8])]], 1)
    assert waits is not None
    assert (waits.wait_s, waits.transfer_s) == (((1,), (0,)), ((0,), (2,)))


def test_without_collectives_all_is_work() -> None:
    waits = split([[Watched(0, 3, ())], [Watched(0, 4, ())]], 2)
    assert waits is not None
    assert (waits.collectives, waits.work_s) == ((0,), ((1.5,), (2,)))
    assert waits.wait_s == waits.transfer_s == ((0,), (0,))


def test_ranks_that_did_not_do_the_same_cannot_be_matched() -> None:
    assert split([[sample([0, 1, 2, 8])], [Watched(0, 8, ())]], 1) is None
    assert split([[], []], 1) is None


def test_only_collectives_inside_a_sample_are_its_own() -> None:
    calls = [Call(0.5, 0.9), Call(1.2, 1.4), Call(1.9, 2.3), Call(2.5, 2.6)]
    mine = Watched.of(RankSample(1.0, 2.0, None), Seen(calls, [(0.5, 0.9), (1.2, 1.4), (2.2, 2.3)]))
    assert (mine.calls, mine.waits) == ((calls[1], Call(1.9, 2.0)), ((1.2, 1.4),))


def test_what_is_under_way_while_a_rank_works_is_hidden_and_what_it_waits_for_is_not() -> None:
    early = Watched(0, 10, (Call(1, 7),), ((5, 7),))
    late = Watched(0, 10, (Call(3, 7),), ((5, 7),))
    times = split([[early], [late]], 2)
    assert times is not None
    assert (times.work_s, times.wait_s, times.transfer_s) == (((4,), (4,)), ((0,), (0,)), ((1,), (1,)))
    assert times.hidden_s == ((1,), (1,))
    (kind,) = times.kinds
    assert (kind.count, kind.under_way_s, kind.exposed_s) == ((0.5, 0.5), (3, 2), (1, 1))


def test_messages_match_on_their_channel_whatever_the_ranks_do_between_them() -> None:
    def message(came_s: float, channel: str, ranks: int) -> Call:
        return Call(came_s, 5, channel=channel, ranks=ranks)

    pair, whole = ("0>1", 2), ("all", 3)
    ranks = [
        [Watched(0, 5, (message(1, *pair), message(2, *whole)), ((1, 5),))],
        [Watched(0, 5, (message(2, *whole), message(3, *pair)), ((3, 5),))],
        [Watched(0, 5, (message(2, *whole),), ((2, 5),))],
    ]
    times = split(ranks, 1)
    assert times is not None
    assert times.wait_s == ((2,), (0,), (0,))
    assert split([ranks[0], ranks[1]], 1) is None  # the third is missing


def meet(mine: Gang) -> list[tuple[float, float]]:
    """Two collectives; rank 1 is late to the second. A third comes when nobody watches any more."""
    mine.barrier()
    with watched(CpuDevice(0), now) as seen:
        mine.all_reduce(torch.ones(10))
        if mine.rank == 1:
            time.sleep(0.2)
        mine.all_gather(torch.ones(10))
    mine.barrier()
    return [(call.came_s, call.left_s) for call in seen.calls]


def test_two_ranks_are_watched_and_the_late_one_is_told_from_the_one_that_waits(two_ranks: Ranks) -> None:
    told = two_ranks.do(meet)
    assert [len(mine) for mine in told] == [2, 2]
    assert all(came <= left for mine in told for came, left in mine)
    assert all(before[1] <= after[0] for mine in told for before, after in pairwise(mine))
    spans = [[Watched(mine[0][0], mine[-1][1], tuple(Call(*each) for each in mine), tuple(mine))] for mine in told]
    waits = split(spans, 1)
    assert waits is not None
    last = [max(calls) for calls in zip(*([came for came, _ in mine] for mine in told), strict=True)]
    waited = [sum(last[call] - came for call, (came, _) in enumerate(mine)) for mine in told]
    assert [each for (each,) in waits.wait_s] == pytest.approx(waited)
    assert waits.work_s[1][0] >= 0.2


@pytest.mark.parametrize("kernel_s", [2e-6, 20e-6])
def test_watching_delays_nothing_on_a_device_that_works_behind_its_host(
    monkeypatch: pytest.MonkeyPatch, kernel_s: float
) -> None:
    """Bound by the host or by the device, a watched step takes what a timed one takes, and its parts are its own."""
    gpu, transfer_s, kernels, inner = FakeGpu(), 30e-6, 20, 5
    observers: list[Observer] = []

    @contextmanager
    def observed(observer: Observer) -> Iterator[None]:
        observers.append(observer)
        yield
        observers.pop()

    monkeypatch.setattr(communication, "observed", observed)
    message = Message("all_reduce", "0", 1, 1, 40, 40)

    def send(launch: Callable[[], None]) -> None:
        observers[-1].sent(message, (), launch) if observers else launch()

    def step() -> None:
        for _ in range(kernels):
            gpu.launch(kernel_s)
        send(lambda: gpu.launch(transfer_s))
        gpu.clock.now_s += 100e-6  # the host prepares the next step

    def take() -> RankSample:
        line = StartLine(lambda value: value, 1e-4, gpu.clock)
        return timing_loop.sample(workload(step), inner, gpu, line, Timer(gpu, gpu.clock))[0]

    timed = take()
    with watched(gpu, gpu.clock) as messages:
        step()  # warm-up is no part of the sample
        lap = take()
    seen = Watched.of(lap, messages)
    assert len(messages.calls) == inner + 1
    assert lap.seconds == pytest.approx(timed.seconds, rel=0.01)
    shares = split([[seen]], inner)
    assert shares is not None
    assert shares.transfer_s[0][0] == pytest.approx(transfer_s, abs=1.5 * LAUNCH_S)
    parts = (shares.work_s, shares.wait_s, shares.transfer_s)
    assert sum(part[0][0] for part in parts) == pytest.approx(timed.seconds / inner, rel=0.02)
    if kernel_s > LAUNCH_S:
        assert timed.seconds < 1.01 * inner * (kernels * kernel_s + transfer_s) + 110e-6  # the host's part is hidden


def test_what_fails_while_it_is_watched_leaves_nothing_behind() -> None:
    before = [vars(owner).get(name) for owner, name in WAITS]
    with pytest.raises(ValueError, match="oops"), watched(CpuDevice(0), now):
        raise ValueError("oops")
    assert [vars(owner).get(name) for owner, name in WAITS] == before
    with watched(CpuDevice(0), now):
        pass


def test_journals_older_than_waits_are_read() -> None:
    line = '{"type":"cell","launch":0,"comparison":0,"case":"a@2","status":"ok"}'
    cell = parse(line)
    assert isinstance(cell, CellRecord)
    assert cell.waits is None
