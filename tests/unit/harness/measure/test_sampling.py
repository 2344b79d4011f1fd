"""Sampling: samples are long enough, visits bounded, rounds within the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.measure.sampling import Sampling

steps = st.floats(1e-8, 100.0)
policy = Sampling()


@given(steps)
def test_a_sample_is_as_long_as_wanted_and_not_much_longer(step_s: float) -> None:
    inner = policy.inner(step_s)
    assert inner * step_s >= policy.sample_s * 0.999
    assert inner == 1 or (inner - 1) * step_s < policy.sample_s


@given(steps)
def test_a_visit_has_a_bounded_number_of_samples_and_warms_up(step_s: float) -> None:
    least, most = policy.per_visit
    assert least <= policy.samples(step_s) <= most
    assert policy.warm(step_s) >= 1
    assert policy.warm(step_s) * step_s >= policy.warm_s * 0.999


@given(steps, st.floats(0, 1000))
def test_rounds_fit_into_the_time_but_for_the_least(step_s: float, left_s: float) -> None:
    cost_s = policy.visit_cost_s(step_s, 0.0005)
    count = policy.rounds(cost_s, left_s)
    least, most = policy.rounds_
    assert least <= count <= most
    assert count == least or count * cost_s <= left_s * 1.001


def test_most_of_a_visit_of_1_ms_steps_is_spent_in_timed_samples() -> None:
    timed_s = policy.samples(1e-3) * policy.inner(1e-3) * 1e-3
    assert timed_s / policy.visit_cost_s(1e-3, 0.0005) > 0.8


@given(steps)
def test_where_time_is_short_visits_are_brief(step_s: float) -> None:
    assert policy.brief().samples(step_s) == 1
    assert policy.tight(1.0, policy.rounds_[0] - 0.01) and not policy.tight(1.0, policy.rounds_[0] + 0.01)


@given(st.integers(1, 100))
def test_the_least_budget_grows_with_the_cases(cases: int) -> None:
    assert policy.least_s(cases + 1) > policy.least_s(cases) > policy.setup_s


def test_probes_are_visited_in_even_and_in_odd_rounds_and_at_least_twice() -> None:
    visited = range(0, policy.rounds_[1], policy.probed)
    assert {number % 2 for number in visited} == {0, 1}
    assert len([number for number in visited if number < policy.rounds_[0]]) >= 2
