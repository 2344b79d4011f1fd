"""What the numbers promise, on simulated runs whose truth is known: coverage, false alarms, and power.

A run is simulated with what spoils real ones: each launch has a pace of its own, samples drift, each resembles the one
before, and who comes first in a round is slower. Its statistics are the reports' own.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pytest

from harness.journal.plan import rounds
from harness.planning import sides, stopping_rule
from reports.analysis import summary
from reports.analysis.sides import p_slower
from reports.compare.compare import compare
from reports.schema.compare import TAIL
from reports.statistics import estimates
from reports.statistics.verdicts import Margin, verdict
from tests import factories

ROUNDS, VISIT, VARIANTS = 12, 2, 2
RESEMBLANCE = 0.6
"""Correlation of a sample with the one before."""
SLOT = 0.005
"""By how much the first visit of a round is slower."""
DRIFT = 0.03
"""Over a launch."""


def resembling(noise):
    """White noise as noise of the same spread in which each value resembles the one before, along the last axis."""
    told = noise.copy()
    for place in range(1, noise.shape[-1]):
        told[..., place] = RESEMBLANCE * told[..., place - 1] + np.sqrt(1 - RESEMBLANCE**2) * noise[..., place]
    return told


def orders(runs, launches, *, shuffled):
    """Which variant is visited when, [run, launch, round, slot], as the harness orders its visits."""
    if not shuffled:
        return np.broadcast_to(np.arange(VARIANTS), (runs, launches, ROUNDS, VARIANTS))
    return np.array(
        [[list(islice(rounds(VARIANTS, run, launch, 0), ROUNDS)) for launch in range(launches)] for run in range(runs)]
    )


def launch_values(runs, launches, *, ratio=1.0, own=0.0, noise=0.02, shuffled=True, seed=0):
    """Launch values of both variants, [variant][run, launch]: the second takes ``ratio`` times as long as the first.

    ``noise`` is that of a sample, ``own`` what is particular to a variant in a launch (where its memory lies, say).
    """
    rng = np.random.default_rng(seed)
    place = orders(runs, launches, shuffled=shuffled)
    shape = (runs, launches, ROUNDS, VARIANTS, VISIT)
    logs = noise * resembling(rng.standard_normal((runs, launches, ROUNDS * VARIANTS * VISIT))).reshape(shape)
    logs += DRIFT * np.linspace(0, 1, ROUNDS * VARIANTS * VISIT).reshape(shape[2:])
    logs[..., 0, :] += SLOT
    logs += 0.01 * rng.standard_normal((runs, launches, 1, 1, 1))
    values = []
    for variant in range(VARIANTS):
        its = logs[place == variant].reshape(runs, launches, ROUNDS * VISIT)
        particular = own * rng.standard_normal((runs, launches)) + (np.log(ratio) if variant else 0.0)
        values.append(np.exp(np.median(its, axis=-1) + particular))
    return values


def verdicts(values, asked):
    """The verdict of each run on its second variant."""
    pairs = zip(*values, strict=True)
    return [verdict(estimates.ratio(pd.Series(variant), pd.Series(base)), Margin(asked)) for base, variant in pairs]


def share(told, *wanted):
    return sum(each in wanted for each in told) / len(told)


@pytest.mark.parametrize("launches", [6, 8, 10])
def test_intervals_of_times_cover_the_truth(launches):
    """Launches differ by 1 %, samples by 2 % and resemble one another: pooled samples would cover less than half."""
    rng = np.random.default_rng(launches)
    samples = 0.01 * rng.standard_normal((1500, launches, 1)) + 0.02 * resembling(
        rng.standard_normal((1500, launches, 60))
    )
    values = np.exp(np.median(samples, axis=-1))
    found = [estimates.estimate(pd.Series(row)) for row in values]
    assert np.mean([each.low <= 1.0 <= each.high for each in found]) >= 0.93
    pooled = [estimates.estimate(pd.Series(row.ravel())) for row in np.exp(samples[:300])]
    assert np.mean([each.low <= 1.0 <= each.high for each in pooled]) < 0.6


def test_a_variant_against_itself_is_rarely_taken_for_another():
    """Without any margin: drift, resemblance and slots are left to the order of the visits and the launches."""
    told = verdicts(launch_values(1500, 6, noise=0.01), 0.0)
    assert share(told, "faster", "slower") <= 0.05
    assert share(verdicts(launch_values(1500, 10, noise=0.01, seed=1), 0.0), "faster", "slower") <= 0.05


def test_it_is_the_random_order_that_does_it():
    told = verdicts(launch_values(300, 6, noise=0.01, shuffled=False), 0.0)
    assert share(told, "faster", "slower") > 0.25


def test_a_true_five_percent_is_found_and_at_which_margin():
    """At 1 % noise of samples it is found beyond 2 %; if variants differ by 1 % from launch to launch, beyond 1.5 %."""
    quiet = launch_values(600, 6, ratio=1.05, noise=0.01)
    assert share(verdicts(quiet, 0.02), "slower") >= 0.99
    restless = launch_values(1500, 6, ratio=1.05, noise=0.01, own=0.01)
    assert share(verdicts(restless, 0.015), "slower") >= 0.9
    assert share(verdicts(restless, 0.05), "slower") <= 0.05  # a margin of 5 % says that it does not count
    assert share(verdicts(restless, 0.02), "faster") == 0


@pytest.mark.parametrize(("ratio", "margin"), [(1.05, 0.05), (1.10, 0.10), (1.20, 0.20), (1.25, 0.20)])
def test_a_against_b_and_b_against_a_say_the_same(ratio, margin):
    """Also at the margin and beyond it, where limits of 1 - m and 1 + m disagreed in up to 96 % of runs."""
    values = launch_values(600, 6, ratio=ratio, noise=0.01, own=0.01)
    told, other = verdicts(values, margin), verdicts(values[::-1], margin)
    turned = {"faster": "slower", "slower": "faster"}
    assert [turned.get(each, each) for each in other] == told
    assert share(told, "slower") <= 0.03 or ratio > 1 + margin
    assert share(told, "faster") == 0


def test_no_difference_is_found_where_there_is_none():
    told = verdicts(launch_values(600, 6, noise=0.01), 0.05)
    assert share(told, "equivalent") >= 0.95
    assert share(verdicts(launch_values(600, 6, ratio=1.10, noise=0.01), 0.05), "equivalent") == 0


def duelled(rng, truth, margin, noise, most=60):
    """The verdict of a duel of one case, and its turns: as many as make the ratios known to half the margin."""
    pace = 0.02 * resembling(rng.standard_normal(most))
    a, b, again = (pd.Series(np.exp(pace + noise * rng.standard_normal(most))) for _ in range(3))
    b *= truth
    for turns in range(sides.turns(1), most + 1):
        widths = [stopping_rule.half_width(list((other / a)[:turns])) for other in (b, again)]
        if max(widths) <= margin / 2:
            break
    ratio, control = (estimates.ratio(other[:turns], a[:turns]) for other in (b, again))
    delta = Margin(margin, np.expm1(abs(np.log(control.value))))
    told = verdict(ratio, delta)
    confirmed = told == "slower" and p_slower((b / a)[:turns], delta.beyond) <= TAIL
    return ("undecided" if told == "slower" and not confirmed else told), turns


@pytest.mark.parametrize("noise", [0.01, 0.02])
def test_a_duel_goes_on_until_it_knows_and_is_rarely_wrong(noise):
    """Launches that differ by 1 or 2 % on each side, by themselves, and by 2 % together, resembling the turn before."""
    rng = np.random.default_rng(11)
    same = [duelled(rng, 1.0, 0.02, noise) for _ in range(250)]
    assert share([told for told, _ in same], "faster", "slower") <= 0.01
    assert share([told for told, _ in same], "equivalent") >= 0.85
    planted = [duelled(rng, 1.05, 0.02, noise) for _ in range(250)]
    assert share([told for told, _ in planted], "slower") >= 0.95
    assert share([told for told, _ in planted], "equivalent", "faster") == 0
    assert np.mean([turns for _, turns in planted]) > (6 if noise < 0.02 else 20)


def test_on_a_machine_that_tells_nothing_a_duel_tells_nothing():
    """Launches that differ by 15 %, and a budget for no more than twenty turns."""
    rng = np.random.default_rng(12)
    for truth in (1.0, 1.05):
        told = [duelled(rng, truth, 0.02, 0.15, most=20)[0] for _ in range(250)]
        assert share(told, "undecided") >= 0.97


@pytest.mark.parametrize("seed", range(4))
def test_a_runs_seed_changes_no_verdict(tmp_path, seed):
    like = {"rounds": 4, "probes": False, "packed": False, "variants": ("whole", "pieces", "each")}
    roots = [factories.build(tmp_path / str(own), seed=own, **like).root for own in (seed, 100 + seed)]
    for root in roots:
        found = summary.summarise(factories.RunDir(root))
        assert [row.verdict for row in found.comparisons] == ["slower"] * 4
    assert [row.verdict for row in compare(*roots, None).cases] == ["equivalent"] * 6


def test_the_statistics_draw_nothing(tmp_path, monkeypatch):
    roots = [factories.build(tmp_path / str(seed), seed=seed, rounds=4).root for seed in (1, 2)]

    def told():
        return summary.summarise(factories.RunDir(roots[0])).to_json() + compare(*roots, None).to_json()

    def refuse(*_, **__):
        raise AssertionError("a statistic drew a number")

    before = told()
    for name in ("default_rng", "random", "normal", "choice", "permutation", "randint"):
        monkeypatch.setattr(np.random, name, refuse)
    assert told() == before
