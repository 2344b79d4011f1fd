"""Traces: samples in true order, evenly thinned, and their quantiles."""

import numpy as np
import pytest

from harness.journal.measurement_warnings import Kind
from reports.analysis.summary import summary_of
from reports.analysis.timeline import FEWEST_POINTS, POINTS
from reports.reading.run import load
from reports.schema.diagnostics import LEVELS
from reports.statistics.measured import measure
from tests import factories

KEY = "split[how=pieces,size=1024]@2"


def told(run):
    evidence = load(run)
    return evidence, summary_of(measure(evidence)).traces


def seconds_of(evidence, row):
    place = row.launch, row.comparison, row.key
    taken = evidence.samples[place]
    return taken.start_s.min(axis=0), taken.seconds(evidence.records[place].inner).max(axis=0)


def test_few_samples_are_all_there_and_quantiles_are_those_of_all(tmp_path):
    evidence, rows = told(factories.build(tmp_path / "run", launches=3))
    assert {(row.key, row.launch) for row in rows} == {
        (case.key, launch) for launch, _, case in evidence.plan.cells() if not (case.probe or case.packed)
    }
    for row in rows:
        start_s, seconds = seconds_of(evidence, row)
        assert row.start_s == pytest.approx(start_s, rel=1e-5)
        assert row.seconds == pytest.approx(seconds, rel=1e-5)
        assert row.quantiles == pytest.approx(np.quantile(seconds, LEVELS), rel=1e-5)
        assert list(row.quantiles) == sorted(row.quantiles)


def test_many_samples_are_thinned_evenly_from_the_first_to_the_last(tmp_path):
    evidence, rows = told(factories.build(tmp_path / "run", sizes=(512, 1024), rounds=200, visits=4, launches=2))
    assert POINTS / 2 * 0.9 < sum(len(row.seconds) for row in rows) <= POINTS
    for row in rows:
        start_s, _ = seconds_of(evidence, row)
        places = np.searchsorted(start_s, np.array(row.start_s) * (1 - 1e-5))
        assert (places[0], places[-1]) == (0, len(start_s) - 1)
        assert np.ptp(np.diff(places)) <= 1


def test_many_comparisons_share_the_points_but_each_has_some(tmp_path):
    sizes = tuple(range(1, 21))
    _, rows = told(factories.build(tmp_path / "run", sizes=sizes, rounds=40, launches=2, world_sizes=(1,)))
    shown = [sum(len(row.seconds) for row in rows if row.comparison == index) for index in range(len(sizes))]
    assert set(shown) == {FEWEST_POINTS}


def test_a_wrong_case_has_no_trace(tmp_path):
    _, rows = told(factories.build(tmp_path / "run", outcomes={(1, KEY): ("wrong", 0, "differs")}))
    assert rows
    assert KEY not in {row.key for row in rows}


def test_only_launches_that_have_the_effect_give_cause_for_a_doubt(tmp_path):
    """One launch of six is steady: the case drifts for the others, and carries the warning."""
    run = factories.build(tmp_path / "drifting", drift=0.4, rounds=12, visits=4)
    steady = factories.build(tmp_path / "steady", rounds=12, visits=4)
    both = map(factories.texts_of, (run, steady))
    mixed = [own if '"launch":3' not in own else other for own, other in zip(*both, strict=True)]
    factories.write_texts(run, mixed)
    _, rows = told(run)
    assert {row.launch for row in rows if Kind.DRIFT in row.warnings} == {0, 1, 2, 4, 5}
