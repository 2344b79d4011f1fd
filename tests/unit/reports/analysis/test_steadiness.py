"""Health: quiet on healthy data, however it is distributed; and every planted fault is found and called by its name."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.journal.measurement_warnings import Kind
from harness.journal.records import Samples
from reports.analysis import steadiness, summary
from reports.analysis.steadiness import Clocks, Patient, diagnose, warnings_of
from reports.reading.run import load
from reports.statistics.measured import measure
from reports.statistics.series import LONGEST, Series, ranks_p, trend_p
from tests import factories

COPIES = 8
"""Cases that are visited in each round."""
VISIT = 3
CASES = 12


def echoing(rng, n, sd, rho=0.6):
    told = [rng.normal()]
    for _ in range(n - 1):
        told.append(rho * told[-1] + (1 - rho**2) ** 0.5 * rng.normal())
    return sd * np.array(told)


HEALTHY = {
    "quiet": lambda rng, n: rng.normal(0, 0.01, n),
    "noisy": lambda rng, n: rng.normal(0, 0.05, n),
    "very noisy": lambda rng, n: rng.normal(0, 0.15, n),
    "echoing": lambda rng, n: echoing(rng, n, 0.03),
    "with outliers": lambda rng, n: rng.lognormal(0, 0.02, n) - 1 + (rng.random(n) < 0.05) * rng.exponential(1, n),
    "in two modes": lambda rng, n: 0.15 * (rng.random(n) < 0.4) + rng.normal(0, 0.01, n),
    "alike within visits": lambda rng, n: np.repeat(rng.normal(0, 0.03, n // VISIT), VISIT) + rng.normal(0, 0.01, n),
    "walking": lambda rng, n: np.cumsum(rng.normal(0, 0.004, n)),
}
FAULTS = {
    Kind.DRIFT: lambda place, count, _: 1 + 0.15 * place / count,
    Kind.WARMING_UP: lambda place, count, _: 1 + 0.2 * (place < count / 4),
    Kind.FIRST_SLOT: lambda place, *_: 1 + 0.15 * (place % VISIT == 0),
    Kind.ECHO: lambda place, *_: 1 + 0.25 * np.sin(place * np.pi / VISIT),
}


def series(rng, rounds, noise, fault=None):
    n = rounds * VISIT
    places, order = np.arange(n), rng.integers(0, COPIES, rounds)
    table = pd.DataFrame(
        {
            "position": np.repeat(np.arange(rounds) * COPIES + order, VISIT),
            "sample": places,
            "round": np.repeat(np.arange(rounds), VISIT),
            "start_s": 0.1 * places,
            "seconds": 0.02 * (1 + noise(rng, n)) * (1.0 if fault is None else fault(places, n, order)),
        }
    )
    return Series.of(table, frozenset((np.arange(rounds) * COPIES).tolist()))


def patients(rng, rounds, noise, fault=None, launches=6):
    """A comparison's cases, of which the first has the fault."""
    return [
        Patient(tuple(series(rng, rounds, noise, None if place else fault) for _ in range(launches)), (), 0.05)
        for place in range(CASES)
    ]


@pytest.mark.parametrize("launches", [2, 6])
@pytest.mark.parametrize("noise", HEALTHY)
def test_healthy_cases_are_left_alone(noise, launches):
    rng = np.random.default_rng(launches)
    told = [
        facts for rounds in (4, 8, 12) for facts in diagnose(patients(rng, rounds, HEALTHY[noise], launches=launches))
    ]
    assert sum(map(bool, told)) <= 0.03 * len(told), Counter(kind for facts in told for kind, _ in facts)


@pytest.mark.parametrize("noise", ["quiet", "echoing", "alike within visits", "with outliers"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_and_called_by_its_name_and_no_other_case_is_blamed(kind, noise):
    rng = np.random.default_rng(1)
    found, *others = diagnose(patients(rng, 8, HEALTHY[noise], FAULTS[kind]))
    assert [told for told, _ in found] == [kind]
    assert not any(others)


def test_what_comes_first_in_a_round_is_found_where_it_came_first_often_enough():
    rng = np.random.default_rng(2)
    fault = lambda places, _, order: 1 + 0.2 * (np.repeat(order, VISIT) == 0)  # noqa: E731
    ((found, *_),) = diagnose(patients(rng, 24, HEALTHY["quiet"], fault)[:1])
    assert found[0] == Kind.FIRST_SLOT
    assert "when it is the first of a round" in found[1]


def test_small_effects_do_not_matter_however_sure_they_are():
    rng = np.random.default_rng(3)
    found = diagnose(patients(rng, 12, lambda rng, n: rng.normal(0, 1e-4, n), lambda place, n, _: 1 + 0.03 * place / n))
    assert found == [[]] * CASES


def test_an_effect_that_most_launches_do_not_have_does_not_count():
    rng = np.random.default_rng(4)
    quiet = HEALTHY["quiet"]
    drifting = [series(rng, 8, quiet, FAULTS[Kind.DRIFT] if place < 4 else None) for place in range(6)]
    assert diagnose([Patient(tuple(drifting), (), 0.05)]) == [[]]


def test_nothing_is_said_of_few_samples_or_of_samples_that_are_all_alike():
    rng = np.random.default_rng(5)
    alike = series(rng, 8, lambda _, n: np.zeros(n))
    assert (alike.drift, alike.lag1, alike.tau, alike.looseness) == (0, 0, 0, 0)
    assert diagnose([Patient((), (), 0.05), Patient((alike,), (), 0.05)]) == [[], []]


one = st.lists(st.floats(0.5, 2.0), min_size=12, max_size=40)


def plain(values):
    count = len(values)
    columns = {"position": 0, "sample": range(count), "round": range(count), "start_s": range(count), "seconds": values}
    return Series.of(pd.DataFrame(columns), frozenset())


@given(one, st.floats(1e-6, 1e3))
def test_units_do_not_matter(values, factor):
    told, other = plain(values), plain([value * factor for value in values])
    for name in ("drift", "late_drift", "lag1", "looseness"):
        assert getattr(other, name) == pytest.approx(getattr(told, name), abs=1e-6), name


@given(one)
def test_backwards_a_trend_has_the_other_sign(values):
    told, other = plain(values), plain(values[::-1])
    assert (other.drift, other.tau) == pytest.approx((-told.drift, -told.tau), abs=1e-9)
    assert trend_p([told]) == pytest.approx(trend_p([other]), abs=1e-6)


@given(st.lists(st.tuples(one, one), min_size=1, max_size=4))
def test_one_launch_alone_makes_van_elterens_test_that_of_mann_and_whitney(launches):
    (own, others), *_ = launches
    known = stats.mannwhitneyu(own, others, method="asymptotic", use_continuity=False)
    ties = len({*own, *others}) < len(own) + len(others)
    if not ties:
        parted = np.array(own), np.array(others)
        assert ranks_p([parted]) == pytest.approx(known.pvalue)
    assert 0 <= ranks_p([(np.array(a), np.array(b)) for a, b in launches]) <= 1


def test_without_echoes_one_launchs_trend_is_the_asymptotic_one_of_kendall():
    rng = np.random.default_rng(6)
    for _ in range(20):
        told = plain(rng.normal(1, 0.1, 30).tolist())
        if told.lag1 <= 0:
            known = stats.kendalltau(range(30), told.seconds, method="asymptotic")
            assert trend_p([told]) == pytest.approx(known.pvalue)


def test_drift_is_told_with_its_sign_and_an_outlier_is_none():
    rising = [1.0 + 0.1 * i / 19 for i in range(20)]
    assert plain(rising).drift == pytest.approx(0.095, abs=0.01)
    assert plain(rising[::-1]).drift < -0.09
    assert plain([1.0] * 19 + [50.0]).drift == pytest.approx(0, abs=1e-9)


@given(st.lists(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=5), min_size=1, max_size=12))
def test_visits_are_told_apart_whatever_their_lengths(visits):
    samples = [(place, value) for place, visit in enumerate(visits) for value in visit]
    columns = {"position": [3 * place for place, _ in samples], "seconds": [value for _, value in samples]}
    columns |= {name: range(len(samples)) for name in ("sample", "start_s")} | {"round": columns["position"]}
    told = Series.of(pd.DataFrame(columns), frozenset({0}))
    assert told.visit_s.tolist() == [np.median(visit) for visit in visits]
    firsts = [np.log(visit[0] / np.median(visit[1:])) for visit in visits if len(visit) > 1]
    assert told.firsts == pytest.approx(firsts, abs=1e-12)


def test_a_line_through_many_samples_is_that_through_their_medians():
    rng = np.random.default_rng(7)
    many = 1 + 0.2 * np.arange(40_000) / 40_000 + rng.normal(0, 0.05, 40_000)
    told = plain(many.tolist())
    assert len(told.points[0]) == LONGEST
    assert told.drift == pytest.approx(0.2 / 1.1, rel=0.02)
    assert told.late_drift == pytest.approx(0.2 / 1.1, rel=0.05)


def test_there_is_a_row_a_case_and_launch_with_what_was_put_in(tmp_path):
    like = {"rounds": 8, "drift": 0.3, "noise": 0.002, "clock": lambda place, _: (1980 - 10 * place, 4 * (place % 2))}
    found = summary.summarise(factories.build(tmp_path / "run", **like, launches=3))
    assert [(row.key, row.launch) for row in found.health] == [(c.key, n) for c in found.cells for n in range(3)]
    for row in found.health:
        assert row.samples == 16
        assert row.drift == pytest.approx(0.3 * 15 / 16 / 1.14, rel=0.05)
        assert (row.trend, row.throttled, row.clock_mhz) == (pytest.approx(1, abs=0.1), 0.5, 1905)
        assert row.foreign_load == pytest.approx(0.01, abs=0.01)


def test_rows_have_no_clocks_where_devices_tell_none(tmp_path):
    (row, *_) = summary.summarise(factories.build(tmp_path / "run", launches=1)).health
    assert (row.clock_mhz, row.throttled) == (None, None)


def test_a_case_that_is_wrong_has_no_health(tmp_path):
    key = "split[how=pieces,size=1024]@2"
    found = summary.summarise(factories.build(tmp_path / "run", outcomes={(0, key): ("wrong", 1, "differs")}))
    assert key not in {row.key for row in found.health}


def test_of_all_cases_of_a_comparison_one_opens_each_round(tmp_path):
    run = factories.build(tmp_path / "run", sizes=(512, 1024), launches=2, rounds=4)
    opening = steadiness.openings(measure(load(run)))
    assert opening == {(index, launch): frozenset({0, 3, 6, 9}) for index in (0, 1) for launch in (0, 1)}


def samples(mhz, reasons):
    count = (0.0,) * len(mhz[0])
    return Samples(
        round=count, position=count, start_s=(count,) * 2, end_s=(count,) * 2, clock_mhz=mhz, held_back=reasons
    )


def test_of_a_sample_the_slowest_devices_clock_counts_and_only_heat_and_power_hold_it_back():
    told = Clocks.of(samples([[1980, 1980, 1500], [1900, 1980, 1980]], [[0, 0x20, 0], [0x1, 0x2, 0x100]]))
    assert (told.mhz, told.throttled) == (1900, pytest.approx(1 / 3))
    assert Clocks.of(None) == Clocks()


def test_a_doubt_about_clocks_takes_both_a_reason_and_a_clock_that_fell():
    fell = Clocks(mhz=1500, low_mhz=1400, high_mhz=1980, throttled=0.4)
    (told,) = warnings_of([fell, Clocks(mhz=1980, low_mhz=1980, high_mhz=1980, throttled=0.0)], 0.05).items()
    assert told[0] == Kind.THROTTLED
    assert told[1].startswith("in 1 of 2 launches: a device held its clock back in up to 40")
    assert set(warnings_of([Clocks(mhz=1500, low_mhz=1400, high_mhz=1980)], 0.05)) == {Kind.UNSTEADY_CLOCK}
    assert warnings_of([Clocks(mhz=1970, low_mhz=1960, high_mhz=1980, throttled=1.0)], 0.05) == {}
    assert warnings_of([Clocks(mhz=1500, low_mhz=1400, high_mhz=1980, throttled=0.4)], 0.5) == {}


def test_a_clock_that_is_held_back_all_the_time_fell_below_its_peers():
    own = Clocks.of(samples([[1500, 1500], [1200, 1200]], [[0, 0], [0x40, 0x40]]))
    assert (own.mhz, own.high_mhz, own.peak_mhz) == (1200, 1200, 1500)
    (told,) = warnings_of([own], 0.05).items()
    assert told[0] == Kind.THROTTLED and "between 1200 and 1500" in told[1]
    assert warnings_of([Clocks.of(samples([[1500], [1200]], [[0], [0]]))], 0.05) == {}  # nobody says that it was held
