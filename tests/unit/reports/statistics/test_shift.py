"""The ratio of two independent sets of launches: against brute force, scipy, and truths that were put in."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.schema.compare import TAIL
from reports.statistics.gate import gate, holm, needed
from reports.statistics.shift import interval_rank, orders, p_slower, shift, smallest_p

LAUNCHES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=9)


@pytest.mark.parametrize(("n", "m"), list(itertools.product(range(1, 6), repeat=2)))
def test_orders_are_counted_as_by_hand(n, m):
    counted = [0] * (n * m + 1)
    for places in itertools.combinations(range(n + m), n):
        others = [place for place in range(n + m) if place not in places]
        counted[sum(other > place for place in places for other in others)] += 1
    assert list(orders(n, m)) == counted


def test_orders_of_many_launches_are_whole_numbers():
    told = orders(40, 30)
    assert sum(told) == math.comb(70, 30)
    assert told == told[::-1]


@pytest.mark.parametrize(("n", "m"), list(itertools.product((1, 3, 4, 6, 7, 12), repeat=2)))
def test_the_interval_takes_the_innermost_quotients_that_reach_95_percent(n, m):
    """P(fewer than k of the quotients are on one side) must not be above 2.5 %, and for k + 1 it must be."""
    k = interval_rank(n, m)
    outside = [sum(orders(n, m)[:rank]) / math.comb(n + m, n) for rank in range(n * m + 1)]
    if k is None:
        assert outside[1] > 0.025
    else:
        assert outside[k] <= 0.025 < outside[k + 1]


def test_four_launches_a_side_are_the_fewest_that_have_an_interval():
    assert [n for n in range(1, 8) if interval_rank(n, n)] == [4, 5, 6, 7]
    assert [m for m in range(1, 60) if interval_rank(1, m)][:1] == [39]


@given(LAUNCHES, LAUNCHES, st.floats(0, 0.5))
def test_a_shift_is_inside_its_interval_and_found_where_the_test_finds_it(base, new, margin):
    found, p = shift(base, new), p_slower(base, new, margin)
    assert smallest_p(len(base), len(new)) <= p * (1 + 1e-9)
    assert p <= 1
    if found.low is None:
        assert smallest_p(len(base), len(new)) > TAIL
    else:
        assert found.low * (1 - 1e-12) <= found.ratio <= found.high * (1 + 1e-12)
        assert (found.low > 1 + margin) == (p <= TAIL)


@given(LAUNCHES, LAUNCHES)
def test_the_other_way_round_is_the_inverse(base, new):
    found, back = shift(base, new), shift(new, base)
    assert found.ratio * back.ratio == pytest.approx(1)
    if found.low is not None:
        assert (found.low * back.high, found.high * back.low) == (pytest.approx(1), pytest.approx(1))


@given(st.integers(0, 10_000))
def test_p_is_scipys_where_no_two_launches_are_equal(seed):
    rng = np.random.default_rng(seed)
    base, new = rng.lognormal(0, 0.1, 6), rng.lognormal(0.05, 0.1, 5)
    expected = stats.mannwhitneyu(new / 1.02, base, alternative="greater", method="exact").pvalue
    assert p_slower(base, new, 0.02) == pytest.approx(expected)


def test_equal_launches_find_nothing():
    assert p_slower([1.0] * 6, [1.0] * 6, 0.0) == 1.0
    assert shift([1.0] * 6, [1.0] * 6).low == 1.0
    assert shift([], [1.0]) is None


def intervals(base, new):
    """The interval of each row's two sets, as ``shift`` has it."""
    k = interval_rank(base.shape[1], new.shape[1])
    told = np.sort((new[:, :, None] / base[:, None, :]).reshape(len(base), -1), axis=1)
    return told[:, k - 1], told[:, -k]


def covered(draw, n, m, *, apart=1.0, runs=6000):
    """How often the interval has the true ratio 1.3, where NEW's launches vary ``apart`` times as much as BASE's."""
    rng = np.random.default_rng(n * 100 + m)
    low, high = intervals(np.exp(0.02 * draw(rng, (runs, n))), 1.3 * np.exp(0.02 * apart * draw(rng, (runs, m))))
    return np.mean((low <= 1.3) & (high >= 1.3))


def normal(rng, shape):
    return rng.standard_normal(shape)


def skewed(rng, shape):
    return rng.exponential(1, shape) - math.log(2)


def disturbed(rng, shape):
    """Every seventh launch or so is far slower than the others."""
    return normal(rng, shape) + 6 * (rng.random(shape) < 0.15) * np.abs(normal(rng, shape))


def test_the_simulated_intervals_are_the_real_ones():
    rng = np.random.default_rng(5)
    base, new = rng.lognormal(0, 0.1, (20, 6)), rng.lognormal(0, 0.1, (20, 7))
    for pair, low, high in zip(zip(base, new, strict=True), *intervals(base, new), strict=True):
        found = shift(*pair)
        assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize("draw", [normal, skewed, disturbed])
@pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 6), (6, 12), (10, 10)])
def test_intervals_cover_the_true_ratio(draw, n, m):
    assert covered(draw, n, m) >= 0.945  # nominal 0.95 to 0.97; 6000 runs leave 0.003


@pytest.mark.parametrize("draw", [normal, skewed])
def test_as_many_launches_on_each_side_still_cover_where_one_varies_thrice_as_much(draw):
    assert covered(draw, 6, 6, apart=3.0) >= 0.93
    assert covered(draw, 10, 10, apart=1 / 3) >= 0.92


def test_unlike_numbers_of_launches_do_not_where_the_fewer_vary_more():
    """Why a comparison remarks on them."""
    assert covered(normal, 12, 6, apart=3.0) < 0.93


def test_a_true_five_percent_at_one_percent_noise_is_found_beyond_a_margin_of_two():
    rng = np.random.default_rng(7)
    base, new = np.exp(0.01 * normal(rng, (6000, 6))), 1.05 * np.exp(0.01 * normal(rng, (6000, 6)))
    low, _ = intervals(base, new)
    assert np.mean(low > 1.02) >= 0.9
    assert np.mean(low > 1.05) <= TAIL + 0.006  # at a margin of five it is no more than a false alarm


def test_false_alarms_of_a_whole_gate_stay_below_its_level():
    """Twelve cases without a change: one found slower, in one of them or more, in at most 2.5 % of all gates."""
    rng = np.random.default_rng(8)
    base, new = (np.exp(0.01 * normal(rng, (1500, 12, 6))) for _ in range(2))
    above = (new[..., :, None] / base[..., None, :] > 1).sum(axis=(2, 3))
    tails = np.array([sum(orders(6, 6)[u:]) for u in range(37)]) / math.comb(12, 6)
    alarms = [min(holm(list(row))) <= TAIL for row in tails[above]]
    assert np.mean(alarms) <= TAIL + 0.01
    assert np.mean(tails[above].min(axis=1) <= TAIL) > 0.15  # without the correction


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_lowers_nothing(ps):
    told = holm(ps)
    assert all(p <= corrected <= 1 for p, corrected in zip(ps, told, strict=True))
    assert sorted(range(len(ps)), key=lambda i: (ps[i], told[i])) == sorted(
        range(len(ps)), key=lambda i: (told[i], ps[i])
    )


@pytest.mark.parametrize(("cases", "launches"), [(0, 4), (1, 4), (2, 5), (6, 5), (7, 6), (23, 6), (24, 7), (85, 7)])
def test_how_many_launches_a_gate_needs_to_fail_at_all(cases, launches):
    """With n launches of each run the smallest p is 1 / C(2n, n), and Holm's first step takes it times the cases."""
    assert needed(cases) == launches
    told = max(cases, 1) / math.comb(2 * launches, launches)
    assert told <= 0.025 < told * math.comb(2 * launches, launches) / math.comb(2 * launches - 2, launches - 1)


def test_a_gate_knows_beforehand_whether_it_can_fail():
    assert gate([(6, 6)] * 8).able
    few = gate([(5, 5)] * 8)
    assert (few.able, few.launches_needed, few.smallest_p) == (False, 6, 1 / 252)
    assert not gate([(4, 4), (3, 3)]).able
    assert gate([(5, 4), (3, 3)]).able
    assert not gate([]).able
