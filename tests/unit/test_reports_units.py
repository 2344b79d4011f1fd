"""Numbers as words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import units


def spaced(text):
    return text.replace(units.THIN, " ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0312, "31.2 ms"),
        (1.234, "1.23 s"),
        (0.9999, "1.00 s"),
        (9.996e-3, "10.0 ms"),
        (123.4, "123 s"),
        (8.45e-7, "845 ns"),
        (2.005e-6, "2.00 µs"),
        (0.0, "0 ns"),
        (None, "–"),
    ],
)
def test_seconds(value, shown):
    assert spaced(units.seconds(value)) == shown


@given(st.floats(1e-9, 1e5))
def test_seconds_keep_three_digits(value):
    number, unit = spaced(units.seconds(value)).split()
    scale = {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[unit]
    assert float(number) * scale == pytest.approx(value, rel=6e-3)
    assert len(re.sub(r"\D", "", number)) >= 3 or value < 1e-9 * 10


def test_an_interval_sets_the_digits_of_its_time():
    assert spaced(units.timed(0.10004, 0.0996, 0.1008)) == "100.0 ms [99.6, 100.8]"
    assert spaced(units.timed(0.0621, 0.0618, 0.0625)) == "62.1 ms [61.8, 62.5]"
    assert spaced(units.timed(0.0621, None, None)) == "62.1 ms"


def test_ratios_percents_and_rates():
    times = "\N{MULTIPLICATION SIGN}"
    assert units.times_between(1.856, 1.83, 1.892) == f"1.86{times} [1.83, 1.89]"
    assert units.times(13.44) == f"13.4{times}"
    assert spaced(units.percent(0.966)) == "97 %"
    assert spaced(units.percent(0.05)) == "5 %"
    assert spaced(units.percent(0.0123)) == "1.2 %"
    assert spaced(units.rate(78e9, "FLOP")) == "78.0 GFLOP/s"
    assert spaced(units.rate(1234.0, "product")) == "1.23 k products/s"
    assert spaced(units.rate(12.0, "product")) == "12.0 products/s"


def test_words():
    assert units.count(1, "launch", "launches") == "1 launch"
    assert units.count(2, "launch", "launches") == "2 launches"
    assert units.listed(["a", "b", "c"]) == "a, b and c"
