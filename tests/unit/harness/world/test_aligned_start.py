"""The clocks of two hosts: their difference is known within the error that is recorded, also where they drift."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from harness.device.timing import RankSample, now
from harness.gang import Gang
from harness.world.aligned_start import HostClock, Offset, estimate, leaders
from tests.ranks import Ranks

AHEAD_S = 1234.5


def shifted(mine: Gang) -> Offset:
    return estimate(dist.group.WORLD, lambda: now() + AHEAD_S * mine.rank)


def test_a_clock_that_is_ahead_is_set_back(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(shifted)
    assert (first.seconds, first.error_s) == (0, 0)
    assert abs(second.seconds + AHEAD_S) <= second.error_s  # both ranks read one clock here, so the truth is known
    assert 0 < second.error_s < 0.05


READINGS = st.lists(st.floats(0.01, 30), min_size=1, max_size=20)
"""Seconds between estimates."""


@given(READINGS, st.floats(-5e-4, 5e-4), st.floats(-1e5, 1e5), st.lists(st.floats(-1, 1), min_size=21, max_size=21))
def test_between_estimates_the_offset_is_right_within_its_error_where_clocks_drift(
    gaps_s: list[float], drift: float, ahead_s: float, errors: list[float]
) -> None:
    """Each estimate is off by up to its own error, 50 us; a steady drift adds nothing that is not in the error."""
    clock, at_s, times_s = HostClock(lambda: at_s), 1000.0, [1000.0]
    for gap_s in gaps_s:
        times_s.append(times_s[-1] + gap_s)
    for at_s, error in zip(times_s, errors, strict=False):
        clock.add(Offset(ahead_s + drift * at_s + 50e-6 * error, 50e-6, at_s))
    for before_s, after_s in pairwise(times_s):
        for share in (0.0, 0.3, 1.0):
            middle_s = before_s + share * (after_s - before_s)
            offset = clock.offset(middle_s)
            assert abs(offset.seconds - (ahead_s + drift * middle_s)) <= offset.error_s + 1e-9
    at_s = times_s[-1] + 1
    if times_s[-1] - times_s[0] >= 10:  # what is known of the drift sets the clock ahead of the next estimate
        assert clock() - at_s == pytest.approx(ahead_s + drift * at_s, abs=50e-6 + 1e-4 / 10 * 1 + 1e-9)


def test_a_sample_is_shifted_at_both_its_ends_and_keeps_its_own_seconds() -> None:
    clock, sample = HostClock(lambda: 0.0), RankSample(11.0, 13.0, 1.5, 1.2)
    assert clock.sample(sample) == sample
    clock.add(Offset(100.0, 1e-6, 10.0))
    clock.add(Offset(104.0, 1e-6, 14.0))
    assert clock.sample(sample) == RankSample(112.0, 116.0, 1.5, 1.2)


def test_only_the_first_rank_of_each_clock_asks() -> None:
    assert leaders(["a", "a", "b", "c", "b"]) == (0, 0, 2, 3, 2)
