"""Where an interval lies against the margin that was asked for, and against noise."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reports.schema.cases import Verdict
from reports.statistics.verdicts import Margin, drowned, limit_in_words, placed

FRACTIONS = st.floats(0, 0.9)
ENDS = st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)).map(sorted)


@dataclass(frozen=True)
class Row:
    verdict: Verdict
    margin: float
    margin_asked: float


@given(ENDS, FRACTIONS, FRACTIONS, FRACTIONS)
def test_noise_makes_nobody_surer(ends: list[float], asked: float, noise: float, more: float) -> None:
    told, later = (placed(*ends, Margin(asked, each)) for each in (noise, noise + more))
    assert later in {told, "undecided"}
    assert (later == "equivalent") == (told == "equivalent")


@given(ENDS, FRACTIONS, FRACTIONS)
def test_the_other_way_round_the_other_one_is_faster(ends: list[float], asked: float, noise: float) -> None:
    told = placed(*ends, Margin(asked, noise))
    low, high = ends
    assert (told == "slower") == (low > 1 + max(asked, noise))
    assert (told == "faster") == (high < 1 / (1 + max(asked, noise)))
    assert (told == "equivalent") == (1 / (1 + asked) <= low and high <= 1 + asked)


@given(ENDS, FRACTIONS, FRACTIONS)
def test_a_verdict_does_not_depend_on_which_of_two_is_the_baseline(
    ends: list[float], asked: float, noise: float
) -> None:
    turned = {"faster": "slower", "slower": "faster"}
    low, high = ends
    margin = Margin(asked, noise)
    limits = (*margin.band, 1 / (1 + asked), 1 + asked)
    assume(
        all(abs(end / limit - 1) > 1e-9 for end in ends for limit in limits)
    )  # an end on a limit may round to either
    told, other = placed(low, high, margin), placed(1 / high, 1 / low, margin)
    assert other == turned.get(told, told)


def test_even_at_a_noise_of_double_something_can_be_faster() -> None:
    assert placed(0.2, 0.3, Margin(0.05, 1.2)) == "faster"


@given(ENDS, FRACTIONS, FRACTIONS)
def test_an_interval_that_drowns_in_noise_is_told_to(ends: list[float], asked: float, noise: float) -> None:
    low, high = ends
    why = drowned(low, high, Margin(asked, noise))
    apart = low > 1 + asked or high < 1 / (1 + asked)
    assert bool(why) == (apart and low <= 1 + noise and high >= 1 / (1 + noise))


@pytest.mark.parametrize("end", [None, 1.0])
def test_without_an_interval_there_is_no_verdict(end: float | None) -> None:
    assert placed(None, end, Margin(0.5)) == placed(end, None, Margin(0.5)) == "undecided"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row("equivalent", 0.16, 0.02), "margin 2 %"),
        (Row("undecided", 0.16, 0.02), "margin 2 %, noise 16 %"),
        (Row("slower", 0.16, 0.02), "margin 2 %, noise 16 %"),
        (Row("slower", 0.05, 0.05), "margin 5 %"),
    ],
)
def test_the_fraction_that_decided_is_told(row: Row, told: str) -> None:
    assert limit_in_words(row).replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{NO-BREAK SPACE}", " ") == told
