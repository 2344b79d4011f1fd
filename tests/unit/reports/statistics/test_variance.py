"""The spread of launches, split in two: by truths that were put in; and what it advises."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.analysis import summary
from reports.compare.compare import compare
from reports.reading.run import load
from reports.statistics.variance import Components, Costs, advise, components, costs, within_variance
from tests import factories

POSITIVE = st.floats(1e-6, 1e3)
ROUNDS, VISITS = 20, 2


def launches(rng, *, between, within, count=6, shared=0.0, drift=0.0):
    """Samples of some launches: ``shared`` is the part of the samples' noise that a visit's samples have in common."""
    tables = []
    for launch in range(count):
        own = rng.standard_normal((ROUNDS, VISITS)) * math.sqrt(1 - shared)
        own += rng.standard_normal((ROUNDS, 1)) * math.sqrt(shared)
        logs = between * rng.standard_normal() + within * own + np.linspace(0, drift, ROUNDS)[:, None]
        rounds = np.repeat(np.arange(ROUNDS), VISITS)
        tables.append(pd.DataFrame({"launch": launch, "round": rounds, "seconds": np.exp(logs).ravel()}))
    return pd.concat(tables)


def told(runs=60, **truth):
    rng = np.random.default_rng(11)
    found = [components(launches(rng, **truth)) for _ in range(runs)]
    return np.mean([each.between for each in found]), np.mean([each.within for each in found])


def test_both_parts_of_the_spread_are_recovered():
    between, within = told(between=0.01, within=0.02)
    assert math.sqrt(between) == pytest.approx(0.01, rel=0.15)
    assert math.sqrt(within) == pytest.approx(0.02 * math.sqrt(math.pi / 2 / (ROUNDS * VISITS)), rel=0.1)


def test_samples_of_one_visit_that_go_together_are_no_independent_samples():
    _, within = told(between=0.01, within=0.02, shared=0.9)
    alone = 0.02**2 * math.pi / 2 / (ROUNDS * VISITS)
    assert within > 1.6 * alone  # taken for independent, they would leave half of what they do


def test_launches_that_do_not_differ_are_told_so():
    between, within = told(between=0.0, within=0.02)
    assert between < within / 2
    _, drifting = told(between=0.0, within=0.02, drift=0.03)
    assert drifting == pytest.approx(within, rel=0.25)  # a drift is not noise of the median


def test_a_few_far_samples_are_not_much_noise_of_a_median():
    rng = np.random.default_rng(12)
    table = launches(rng, between=0.0, within=0.02)
    disturbed = table.assign(seconds=table["seconds"] * np.where(rng.random(len(table)) < 0.05, 10, 1))
    assert components(disturbed).within < 3 * components(table).within


@given(st.lists(POSITIVE, min_size=2, max_size=30), st.floats(1e-3, 1e3))
def test_units_do_not_matter(seconds, factor):
    rounds = np.arange(len(seconds)) // 2
    plain = within_variance(rounds, np.array(seconds))
    other = within_variance(rounds, np.array(seconds) * factor)
    assert (plain is None) == (len(seconds) <= 2)
    if plain is not None:
        assert other == pytest.approx(plain, abs=1e-9)


def test_one_launch_or_one_round_says_nothing():
    table = pd.DataFrame({"launch": 0, "round": [0, 0, 1, 1], "seconds": 1.0})
    assert components(table) is None
    assert components(pd.concat([table.assign(round=0), table.assign(round=0, launch=1)])) is None
    assert components(pd.concat([table, table.assign(launch=1)])) == Components(0.0, 0.0)


@given(*(st.floats(1e-8, 1e-2) for _ in range(2)), *(st.floats(0.01, 1e3) for _ in range(2)))
def test_the_best_samples_a_launch_are_those_of_brute_force(between, within, overhead_s, sampling_s):
    spend, gain = advise(Components(between, within), Costs(overhead_s, sampling_s))
    factors = np.geomspace(1e-7, 1e7, 40001)
    spent = (between + within / factors) * (overhead_s + factors * sampling_s)
    now = (between + within) * (overhead_s + sampling_s)
    assert gain == pytest.approx(1 - math.sqrt(spent.min() / now), abs=1e-4)
    best = factors[spent.argmin()]
    assert spend == ("either" if gain < 0.1 else "samples" if best > 1 else "launches")


def test_of_no_noise_at_all_nothing_is_advised():
    assert advise(Components(0.0, 0.0), Costs(1.0, 1.0)) == ("either", 0.0)


def built(tmp_path, **changes):
    return factories.build(tmp_path / "run", **{"rounds": 12, "inner": 1, "wall_s": 40.0, **changes})


def test_costs_are_what_a_launch_took_beside_its_samples(tmp_path):
    evidence = load(built(tmp_path))
    found = costs(evidence)
    assert found.overhead_s + found.sampling_s == pytest.approx(40.0)
    first = min(float(taken.start_s.min()) for taken in evidence.samples.values())
    last = max(float(taken.end_s.max()) for taken in evidence.samples.values())
    assert found.sampling_s == pytest.approx(last - first, rel=0.01)
    assert costs(load(built(tmp_path / "short", wall_s=0.5))) is None


LAUNCHES = r"its launches differ by [12]\.\d %, and their samples leave less than 0\.1 % in each"


@pytest.mark.parametrize(
    ("noise", "launch_noise", "wall_s", "spend", "words"),
    [
        (0.002, 0.02, 40.0, "launches", f"{LAUNCHES}: more launches narrow the intervals of its times most"),
        (
            0.05,
            0.0,
            400.0,
            "samples",
            r".*: more samples in each \(`--budget`\) narrow the intervals of its times most",
        ),
        (0.002, 0.02, 0.5, None, LAUNCHES),
    ],
)
def test_the_summary_advises(tmp_path, noise, launch_noise, wall_s, spend, words):
    found = summary.summarise(built(tmp_path, noise=noise, launch_noise=launch_noise, wall_s=wall_s))
    (row,) = found.advice
    assert row.spend == spend
    assert re.fullmatch(f"`split`: {words}\\.", row.text.replace("\N{NO-BREAK SPACE}", " "))
    assert len(found.variances) == 4
    assert row.within_sd**2 == pytest.approx(np.mean([each.within_sd**2 for each in found.variances]))
    assert (row.overhead_s is None) == (row.gain is None) == (spend is None)


def test_with_few_launches_there_is_no_advice(tmp_path):
    found = summary.summarise(built(tmp_path, launches=5))
    assert found.advice == ()
    assert {row.launches for row in found.variances} == {5}


def test_a_comparison_of_runs_says_what_would_decide_it(tmp_path):
    roots = [
        built(tmp_path / str(seed), seed=seed, launch_noise=0.06, noise=0.001, probes=False).root for seed in (3, 4)
    ]
    found = compare(*roots, None)
    assert found.counts["undecided"] == 4
    assert found.remarks[-1].startswith("`split`: its launches differ by")
    assert "more launches narrow" in found.remarks[-1]
