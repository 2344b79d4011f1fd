"""The statistics, against brute force and against truths that were put in."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.reading.samples import CaseSamples
from reports.statistics import estimates

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=24)
PAIRS = st.lists(st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)), min_size=1, max_size=24)


def covered(n: int, k: int) -> Fraction:
    """Probability that the k-th smallest and k-th largest of n values enclose the median, exactly."""
    outside = sum(math.comb(n, i) for i in range(k))
    return 1 - 2 * Fraction(outside, 2**n)


@pytest.mark.parametrize("n", range(61))
def test_interval_takes_the_innermost_ranks_that_reach_95_percent(n):
    enough = [k for k in range(1, n // 2 + 1) if covered(n, k) >= Fraction(95, 100)]
    expected = (max(enough) - 1, n - max(enough)) if enough else None
    assert estimates.interval_ranks(n) == expected


def test_six_launches_are_the_fewest_that_have_an_interval():
    assert [n for n in range(10) if estimates.interval_ranks(n)] == [6, 7, 8, 9]


@pytest.mark.parametrize("n", [6, 9, 12])
def test_intervals_cover_the_true_median(n):
    draws = np.random.default_rng(n).lognormal(0.0, 0.3, (1500, n))
    found = [estimates.estimate(pd.Series(row)) for row in draws]
    share = sum(each.low <= 1.0 <= each.high for each in found) / len(found)
    assert share >= 0.94


@given(TIMES)
def test_estimate_is_a_median_within_its_interval(values):
    found = estimates.estimate(pd.Series(values))
    assert found.value == pytest.approx(np.median(values))
    assert found.launches == len(values)
    assert (found.low is None) == (len(values) < 6)
    if found.low is not None:
        assert min(values) <= found.low <= found.value <= found.high <= max(values)


@given(TIMES, st.floats(1e-3, 1e3))
def test_units_do_not_matter(values, factor):
    plain = estimates.estimate(pd.Series(values))
    other = estimates.estimate(pd.Series(values) * factor)
    assert other.value == pytest.approx(plain.value * factor)
    assert estimates.scaled(plain, factor).high == pytest.approx(other.high)


@given(PAIRS, st.floats(1e-3, 1e3))
@settings(max_examples=60)
def test_a_ratio_turned_over_is_the_inverse_and_has_no_unit(pairs, factor):
    above, below = (pd.Series(side, dtype=float) for side in zip(*pairs, strict=True))
    found, turned = estimates.ratio(above, below), estimates.ratio(below, above)
    assert turned.value == pytest.approx(1 / found.value)
    assert estimates.ratio(above * factor, below * factor).value == pytest.approx(found.value)
    if found.low is not None:
        assert (turned.low, turned.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_drift_between_launches_cancels_in_a_ratio():
    drift = pd.Series([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    found = estimates.ratio(3.0 * drift, drift)
    assert (found.low, found.value, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_ratio_rests_only_on_launches_that_have_both_sides():
    above, below = pd.Series({0: 2.0, 1: 4.0, 2: 6.0}), pd.Series({1: 2.0, 2: 3.0, 3: 9.0})
    assert estimates.ratio(above, below).launches == 2
    assert estimates.ratio(above, pd.Series({7: 1.0})) is None


def test_a_ratio_and_its_interval_come_from_the_same_launches():
    """A launch that only one side has must not move the value out of its own interval."""
    both = dict.fromkeys(range(6), 1.0)
    above = pd.Series(both | dict.fromkeys(range(6, 20), 100.0))
    found = estimates.ratio(above, pd.Series(both))
    assert found.low <= found.value <= found.high


def samples_of(*launches):
    """The table of one case; of each launch the seconds [rank][sample]."""
    return estimates.sample_times({launch: (taken(seconds), 1) for launch, seconds in enumerate(launches)})


def taken(seconds, device_s=None):
    count = len(seconds[0])
    starts = [[float(i) for i in range(count)] for _ in seconds]
    ends = [[start + own for start, own in zip(*pair, strict=True)] for pair in zip(starts, seconds, strict=True)]
    told = {"round": [i // 2 for i in range(count)], "position": list(range(count)), "start_s": starts, "end_s": ends}
    return CaseSamples.of(told | {"device_s": device_s})


def test_a_launch_is_the_median_of_maxima_and_not_the_maximum_of_medians():
    samples = samples_of([[1, 1, 9, 1, 9], [9, 1, 1, 9, 1]])
    assert list(samples["seconds"]) == [9, 1, 9, 9, 9]
    assert list(samples["mean_s"]) == [5, 1, 5, 5, 5]


def test_a_sample_is_told_by_its_device_where_that_tells_and_all_of_a_step():
    found = estimates.sample_times({3: (taken([[4.0, 6.0]] * 2, device_s=[[3.0, 5.0], [2.0, 5.5]]), 2)})
    assert list(found["seconds"]) == [1.5, 2.75]
    assert list(found["excess_s"]) == [2.0, 1.0]
    assert list(found["launch"]) == [3, 3]


def test_a_case_is_no_contrast_to_itself_but_its_noise_is():
    assert estimates.null_contrast(samples_of([[2.0] * 8])) == 0.0
    halves = [[2.0, 2.0, 3.0, 3.0] * 2]
    assert estimates.null_contrast(samples_of(halves)) == pytest.approx(math.log(1.5))
    assert estimates.null_contrast(samples_of(halves, [[2.0] * 8], [[2.0] * 8])) == 0.0
    assert estimates.null_contrast(samples_of([[2.0, 2.0]])) is None
