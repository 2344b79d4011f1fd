"""The statistics, against brute force and against truths that were put in."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import estimates

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


def table(seconds, **columns):
    """A frame of ok rows of one case in one launch; ``seconds`` is indexed [rank][sample]."""
    rows = [
        {
            "comparison": 0,
            "case": "a",
            "launch": 0,
            "sample": i,
            "round": i // 2,
            "position": i,
            "inner": 1,
            "start_s": float(i),
            "seconds": value,
            "host_s": math.nan,
            "rank": rank,
            "status": "ok",
        }
        | columns
        for rank, own in enumerate(seconds)
        for i, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


def test_a_launch_is_the_median_of_maxima_and_not_the_maximum_of_medians():
    samples = estimates.sample_times(table([[1, 1, 9, 1, 9], [9, 1, 1, 9, 1]]))
    assert list(samples["seconds"]) == [9, 1, 9, 9, 9]
    assert estimates.launch_values(samples).iloc[0] == 9


def test_a_case_is_no_contrast_to_itself_but_its_noise_is():
    assert estimates.null_contrast(estimates.sample_times(table([[2.0] * 8]))) == 0.0
    halves = estimates.sample_times(table([[2.0, 2.0, 3.0, 3.0] * 2]))
    assert estimates.null_contrast(halves) == pytest.approx(math.log(1.5))
    assert estimates.null_contrast(estimates.sample_times(table([[2.0, 2.0]]))) is None
