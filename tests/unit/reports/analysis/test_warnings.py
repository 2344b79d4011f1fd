"""Each doubt that follows from the samples is raised where it should be, with its fact, and not where it should not."""

import math
import re
from dataclasses import replace

import pytest

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from reports.analysis import summary
from tests import factories

QUIET = factories.Synthetic(rounds=4)


def warnings_of(path, **changes):
    """By case key the facts of each kind."""
    found = summary.summarise(factories.build(path / "run", replace(QUIET, **changes)))
    return {row.key: {caution.kind: caution.fact for caution in row.warnings} for row in found.cells}


def kinds(path, **changes):
    return {kind for facts in warnings_of(path, **changes).values() for kind in facts}


def test_a_quiet_run_raises_none(tmp_path):
    assert kinds(tmp_path) == set()


def test_and_neither_do_clocks_that_hold_or_are_held_back_where_it_does_not_matter(tmp_path):
    assert kinds(tmp_path / "hold", clock=lambda *_: (1980, 0)) == set()
    assert kinds(tmp_path / "held", clock=lambda place, _: (1980 - place, 0x4)) == set()


@pytest.mark.parametrize("events", [False, True])
def test_and_neither_with_the_devices_own_clock(tmp_path, events):
    assert kinds(tmp_path, device_events=events) == set()


def scaled(case, factor):
    return factories.work_time(case) * factor


def busy_product(case):
    return case.scenario == "gemm" and case.world_size > 1


CAUSES = {
    Kind.FEW_LAUNCHES: {"launches": 5},
    Kind.FEW_SAMPLES: {"rounds": 3},
    Kind.SLOW_FIRST: {"first": 3.0},
    Kind.HEAVY_TAIL: {"rounds": 7, "course": lambda place, _: 8.0 if place % 7 == 6 else 1.0},
    Kind.DRIFT: {"drift": 0.3},
    Kind.WARMING_UP: {"rounds": 8, "course": lambda place, count: 1.3 if place < count / 4 else 1.0},
    Kind.FIRST_SLOT: {"course": lambda place, _: 1.0 if place % 2 else 1.2},
    Kind.ECHO: {"rounds": 10, "visits": 4, "course": lambda place, _: 1 + 0.3 * math.sin(place * math.pi / 5)},
    Kind.THROTTLED: {"clock": lambda place, count: (1980, 0) if place < count / 2 else (1500, 0x4)},
    Kind.UNSTEADY_CLOCK: {"clock": lambda place, _: (1980 - 300 * (place % 2), 0x1)},
    Kind.LATE_START: {"late": 0.02},
    Kind.RANK_SKEW: {"slow_ranks": {1: 1.3}},
    Kind.UNJOINED_STREAM: {"device_events": True, "overhang": 0.05},
    Kind.SHARED_DEVICE: {"devices": ("cpu:0", "cpu:0")},
    Kind.SUPERLINEAR: {"truth": lambda case: scaled(case, 0.8 if case.world_size > 1 and not case.probe else 1)},
    Kind.SPEEDUP_ABOVE_CEILING: {"truth": lambda case: scaled(case, 1.2 if busy_product(case) else 1)},
    Kind.BELOW_RESOLUTION: {"truth": lambda case: scaled(case, 1 if case.probe else 5e-5)},
    Kind.ABOVE_CEILING: {"truth": lambda case: scaled(case, 40 if case.scenario == "gemm" else 1)},
}
FOLLOWS = {Kind.BELOW_RESOLUTION: {Kind.LATE_START, Kind.ABOVE_CEILING, Kind.SUPERLINEAR}}
"""What else a cause brings about, of necessity."""


def test_a_speedup_that_may_be_below_the_ceiling_is_not_doubted(tmp_path):
    """Their intervals overlap."""
    truth = CAUSES[Kind.SPEEDUP_ABOVE_CEILING]["truth"]
    assert Kind.SPEEDUP_ABOVE_CEILING not in kinds(tmp_path, truth=truth, noise=0.2)


@pytest.mark.parametrize("kind", CAUSES)
def test_a_cause_raises_its_own_doubt_and_no_other(tmp_path, kind):
    found = kinds(tmp_path, **CAUSES[kind])
    assert kind in found
    assert found - FOLLOWS.get(kind, set()) == {kind}


def test_a_heavy_tail_is_told_with_both_numbers(tmp_path):
    """Every seventh step takes a hundred times as long; where no more than one sample does, there is no tail."""
    tail = warnings_of(
        tmp_path / "tail", rounds=14, truth=lambda _: 1e-3, course=lambda place, _: 100.0 ** (place % 7 == 6)
    )
    fact = tail["split[how=whole,size=1024]@1"][Kind.HEAVY_TAIL].replace("\N{NO-BREAK SPACE}", " ")
    assert re.fullmatch(
        r"a step takes 1[56]\.\d ms in the mean, 1[56]\.\d× the median of 1\.0\d ms \(limit 1\.25×\)", fact
    )
    once = warnings_of(tmp_path / "once", rounds=16, course=lambda place, _: 5.0 ** (place == 9))
    assert not any(Kind.HEAVY_TAIL in facts for facts in once.values())


def test_late_starts_are_not_slow_ranks(tmp_path):
    """A rank that starts late is slow at nothing, and one that is slow need not start late."""
    late = warnings_of(tmp_path, late=0.02)["split[how=whole,size=1024]@2"]
    assert late[Kind.LATE_START].startswith("ranks started 20.0\N{NO-BREAK SPACE}ms apart")
    slow = warnings_of(tmp_path / "slow", slow_ranks={1: 1.3})
    assert slow["split[how=whole,size=1024]@2"][Kind.RANK_SKEW].startswith("rank 1 (cpu:1) takes 1.30")
    assert slow["split[how=whole,size=1024]@1"] == {}


@pytest.mark.parametrize(("share", "least", "raised"), [(0.11, 0.0, True), (0.09, 0.0, False), (2.0, 90e-6, False)])
def test_a_stream_is_unjoined_beyond_a_tenth_and_100_us(tmp_path, share, least, raised):
    """The host span exceeds the device time of a step by ``share``; the step takes 100 ms, or ``least / share``."""
    step = least / share if least else 0.1
    changes = {"truth": lambda _: step, "inner": 1, "overhang": share * step, "device_events": True, "noise": 0.0}
    found = warnings_of(tmp_path, **changes, launch_noise=0.0, probes=False, world_sizes=(1,))
    assert all((Kind.UNJOINED_STREAM in facts) is raised for facts in found.values())


@pytest.mark.parametrize(("least", "raised"), [(0.06, False), (0.08, True)])
def test_a_sample_that_the_devices_marks_can_hardly_tell_is_below_resolution(tmp_path, least, raised):
    """A sample of two steps of 100 ms takes 200 ms: three times ``least``, or less."""
    found = warnings_of(tmp_path, truth=lambda _: 0.1, least=least, noise=0.0, launch_noise=0.0, probes=False)
    assert all((Kind.BELOW_RESOLUTION in facts) is raised for facts in found.values())
    for facts in found.values():
        assert not raised or facts[Kind.BELOW_RESOLUTION].endswith(
            "between two marks of the device (40.0\N{NO-BREAK SPACE}ms)"
        )


def test_without_device_events_no_stream_is_unjoined(tmp_path):
    assert kinds(tmp_path, overhang=0.05) == set()


def test_recorded_doubts_are_one_entry_a_kind_with_the_launches_they_hit(tmp_path):
    key = "split[how=whole,size=1024]@2"
    load = {
        (launch, key): (MeasurementWarning(kind=Kind.FOREIGN_LOAD, fact=f"fact {launch}", rank=1),) for launch in (1, 3)
    }
    found = summary.summarise(factories.build(tmp_path / "run", replace(QUIET, warnings=load)))
    (row,) = [row for row in found.cells if row.warnings]
    (caution,) = row.warnings
    assert (row.key, caution.kind) == (key, Kind.FOREIGN_LOAD)
    assert caution.fact == "in 2 of 6 launches: e.g. fact 1"
    assert caution.remedy == Kind.FOREIGN_LOAD.remedy


def test_a_kind_that_is_both_recorded_and_derived_is_one_entry(tmp_path):
    key = "split[how=whole,size=1024]@2"
    told = {(0, key): (MeasurementWarning(kind=Kind.LATE_START, fact="rank 1 missed the start"),)}
    facts = warnings_of(tmp_path, late=0.02, warnings=told)[key]
    assert facts[Kind.LATE_START].startswith("in 1 of 6 launches: rank 1 missed the start; ranks started")


def test_a_case_without_a_time_keeps_only_what_was_recorded(tmp_path):
    key = "split[how=whole,size=1024]@2"
    outcomes = {(launch, key): ("wrong", 0, "differs") for launch in range(6)}
    assert warnings_of(tmp_path, late=0.02, outcomes=outcomes)[key] == {}
