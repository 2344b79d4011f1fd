"""Order: every round visits every case, the seed fixes it, and chance alone makes two rounds alike."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from harness.journal.plan import rounds


@given(st.integers(1, 30), st.integers(0, 5), st.text(max_size=5))
def test_every_round_visits_each_case_once(count: int, launch: int, label: str) -> None:
    for order in islice(rounds(count, 0, launch, label), 5):
        assert sorted(order) == list(range(count))


@given(st.integers(0, 1000))
def test_the_same_seed_gives_the_same_orders(seed: int) -> None:
    assert list(islice(rounds(9, seed, 1), 6)) == list(islice(rounds(9, seed, 1), 6))


def test_another_seed_launch_or_comparison_gives_another_order() -> None:
    first = [
        tuple(map(tuple, islice(rounds(12, *seed), 4))) for seed in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    ]
    assert len(set(first)) == 4


def test_rounds_differ_from_one_another() -> None:
    assert len({tuple(order) for order in islice(rounds(12, 0), 20)}) == 20
