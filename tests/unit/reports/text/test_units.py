"""Numbers as words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.text import units


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


def test_a_change_of_time_has_a_sign_and_never_reads_as_all_of_it():
    shown = [units.change(*each).replace(units.THIN, " ") for each in CHANGES]
    assert shown == list(CHANGES.values())
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


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (2568, "2.57 kB"), (999_999, "1.00 MB"), (1.2e13, "12.0 TB"), (None, "–")],
)
def test_amounts_are_in_powers_of_1000(value, shown):
    assert spaced(units.amount(value)) == shown


@pytest.mark.parametrize(("value", "shown"), [(1023, "1023 B"), (2**29, "512 MiB"), (2**20, "1.00 MiB"), (None, "–")])
def test_memory_is_in_powers_of_1024(value, shown):
    assert spaced(units.memory(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (8458, "8458"),
        (10_000, "10,000"),
        (-4_001_577, "\N{MINUS SIGN}4,001,577"),
        (256.0, "256"),
        (0.1184, "0.118"),
        (1234.6, "1235"),
        (3.1e-7, "3.10 × 10⁻⁷"),
        (2.5e12 + 0.5, "2.50 × 10¹²"),
        (1e30, "1.00 × 10³⁰"),
    ],
)
def test_numbers(value, shown):
    assert spaced(units.number(value)) == shown


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_whole_numbers_are_exact(value):
    assert int(units.number(value).replace(",", "").replace(units.MINUS, "-")) == value


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("file_bytes", 2568, "2.57 kB"),
        ("bytes", 2568, "2.57 kB"),
        ("load_s", 0.0312, "31.2 ms"),
        ("layers", 12, "12"),
        ("trains", False, "no"),
        ("works_s", True, "yes"),
        ("kind_s", "Linear", "Linear"),
    ],
)
def test_a_name_tells_the_unit(name, value, shown):
    assert spaced(units.fact_value(name, value)) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (312.4, "W", "312 W"),
        (0.00421, "J", "4.21 mJ"),
        (1234.0, "J", "1.23 kJ"),
        (5.61e10, "FLOP/s/W", "56.1 GFLOP/s/W"),
        (None, "W", "–"),
    ],
)
def test_quantities_of_any_unit(value, unit, shown):
    assert spaced(units.quantity(value, unit)) == shown


CHANGES = {
    (0.67, 0.60, 0.81): "−33 % [−40, −19]",
    (1.5, 1.498, 1.503): "+50.0 % [+49.8, +50.3]",
    (1.053, 1.021, 1.084): "+5.3 % [+2.1, +8.4]",
    (1.0, 0.98, 1.02): "0.0 % [−2.0, +2.0]",
    (31.0, None, None): "+3,000 %",
    (0.00047, None, None): "−99.953 %",
}


def test_a_fraction_beyond_its_limit_does_not_read_the_same():
    assert units.percent_beyond(0.0507, 0.05) == f"5.1{units.THIN}%"
    assert units.percent_beyond(0.0504, 0.05) == f"5.04{units.THIN}%"
    assert units.percent_beyond(0.31, 0.05) == f"31{units.THIN}%"


def test_numbers_below_0_have_one_minus_sign_everywhere():
    told = [units.number(-0.372), units.number(-15), units.number(-3.1e-7), units.percent(-0.05), units.digits(-2.5)]
    told += [units.number(-12_345), units.rate(-2e9, "FLOP"), units.seconds(-1e-3), units.times(-0.5)]
    assert all(each.startswith(units.MINUS) and "-" not in each for each in told), told


def test_times_below_an_axis_have_equal_digits():
    assert units.seconds_alike([3e-3, 3.5e-3, 0]) == [f"3.0{units.THIN}ms", f"3.5{units.THIN}ms", "0"]
    assert units.seconds_alike([0.9e-3, 1e-3]) == [f"0.9{units.THIN}ms", f"1.0{units.THIN}ms"]
