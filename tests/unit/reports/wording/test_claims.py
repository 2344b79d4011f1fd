"""Sentences: they claim what the numbers say, and no more."""

import re
from itertools import product

import pytest

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Exercise
from reports.analysis import summary
from reports.page import page
from reports.schema.summary import Claim
from reports.text import units
from reports.wording.claims import _load, leading
from reports.wording.ranks import in_short, rank_claims
from tests import factories

KEY = "split[how=pieces,size=1024]@2"


def claims_of(tmp_path, **changes):
    found = summary.summarise(factories.build(tmp_path / "run", **changes))
    return found, [spaced(claim.text) for claim in found.claims]


def spaced(text):
    return text.replace(units.THIN, " ").replace(units.TIMES, "x")


def told(claims, *words):
    return [claim for claim in claims if all(word in claim for word in words)]


def same_time(case):
    return factories.work_time(case.model_copy(update={"variant": None}))


def test_scaling_says_base_interval_launches_ceiling_and_losses(tmp_path):
    _, claims = claims_of(tmp_path, noise=0.001, launch_noise=0.001)
    (claim,) = told(claims, "`split how=whole` on 2 devices")
    pattern = (
        r".*: 1\.8\dx \[1\.8\d, 1\.8\d\] as fast as one device, 100 ms → 53\.\d ms a step in 6 launches; "
        r"9\d % of the 1\.9\dx \[1\.9\d, 1\.9\d\] that two busy devices reach here\. Of the 3\.\d\d ms of a step "
        r"above its ideal of 50\.\d ms, other takes [12]\.\d\d ms, contention 1\.\d\d ms and imbalance \d\d\.\d µs\."
    )
    assert re.fullmatch(pattern, claim), claim


def test_losses_add_up(tmp_path):
    _, claims = claims_of(tmp_path)
    for claim in told(claims, "Of the missing"):
        missing, *parts = map(float, re.findall(r"(\d\.\d\d)x", claim.partition("Of the missing")[2]))
        assert abs(missing - sum(parts)) < 0.011


def test_what_gives_back_is_told_so(tmp_path):
    def truth(case):
        if case.probe:
            return factories.work_time(case)
        return 0.097 if case.packed else 0.1 if case.world_size == 1 else 0.06

    _, claims = claims_of(tmp_path, truth=truth)
    (claim,) = told(claims, "`split how=whole` on 2 devices")
    assert "; contention gives back 1.5" in claim
    assert "-0." not in claim


def test_equivalence_is_no_difference_and_no_winner(tmp_path):
    found, claims = claims_of(tmp_path, truth=same_time)
    assert {row.verdict for row in found.comparisons} == {"equivalent"}
    compared = told(claims, "against")
    assert len(compared) == 2
    assert all(re.search(r": no difference \([-+−]?\d\.\d % \[.*\] time, margin 5 %\)", c) for c in compared)
    assert not told(claims, "faster")
    assert not told(claims, "slower (")


def test_few_launches_make_no_verdict(tmp_path):
    found, claims = claims_of(tmp_path, launches=5)
    assert {row.verdict for row in found.comparisons} == {"undecided"}
    assert told(claims, "With 5 launches there are no intervals and no verdicts")
    assert told(claims, "undecided", "a verdict needs 6 launches")
    assert told(claims, "No rank can be named")


def test_a_wrong_case_has_no_figure_in_any_sentence(tmp_path):
    _, claims = claims_of(tmp_path, outcomes={(3, KEY): ("wrong", 1, "off by `one`")})
    (failure,) = told(claims, "wrong in 1 of 6 launches")
    assert "(rank 1: off by 'one'). It has no time. Again: `rankbench run " in failure
    assert not told(claims, "`split how=pieces` on 2 devices: 1.")
    assert told(claims, "against `how=whole` on 2 devices: not comparable, because it is wrong")


def test_a_packed_copy_that_failed_can_be_measured_again_as_the_copies_that_it_was(tmp_path):
    packed = KEY.replace("@2", "@1x2")
    found, claims = claims_of(tmp_path, outcomes={(3, packed): ("died", 1, "signal 9")})
    (failure,) = told(claims, "died in 1 of 6 launches")
    assert "Again: `rankbench run " in failure and "--world-sizes 1,2" in failure
    assert {cell.again is not None for cell in found.strip if cell.status == "died"} == {True}
    assert {cell.again for cell in found.strip if cell.status == "ok"} == {None}


def test_a_case_that_was_skipped_in_a_launch_is_compared_by_the_others(tmp_path):
    outcomes = {(6, KEY): ("skipped", None, "the budget of 20 s was spent")}
    found, claims = claims_of(tmp_path, launches=7, outcomes=outcomes)
    (row,) = [row for row in found.comparisons if row.world_size == 2]
    assert (row.verdict, row.launches) == ("slower", 6)
    assert not told(claims, "not comparable")


@pytest.mark.parametrize("by_design", [True, False])
def test_what_a_scenario_skips_by_design_is_not_to_be_measured_again(tmp_path, by_design):
    outcomes = {(launch, KEY): ("skipped", None, "it has one phase") for launch in range(6)}
    found, claims = claims_of(tmp_path, outcomes=outcomes, by_design=by_design)
    (skip,) = told(claims, "skipped in 6 of 6 launches (it has one phase)")
    assert ("Again: " in skip) is not by_design
    assert {cell.again is None for cell in found.strip if cell.status == "skipped"} == {by_design}
    assert ("skipped by design." in found.headline) is by_design
    assert ("not ok" in found.headline) is not by_design
    commands = " ".join(line for _, line in page._commands(found, tmp_path))
    assert ("--retry-failed" in commands) is not by_design


def test_many_exercises_are_the_headline(tmp_path):
    exercises = [Exercise(number=f"5.1.{place}", task="", answer="{whole.time}") for place in range(4)]
    found, _ = claims_of(tmp_path / "all", exercises=tuple(exercises), launches=1)
    assert found.headline.startswith("All 4 exercises are answered in full; all 12 planned cells are ok.")
    exercises[1] = exercises[1].model_copy(update={"answer": "{whole.tme}"})
    found, _ = claims_of(tmp_path / "some", exercises=tuple(exercises), launches=1)
    assert found.headline.startswith("3 of 4 exercises are answered in full, but for 5.1.1; ")


def test_missing_cells_are_told(tmp_path):
    found, claims = claims_of(tmp_path, launches=8, done=7)
    assert found.counts["missing"] == 12
    assert told(claims, "12 of 96 planned cells are missing")
    assert told(claims, "7 of 8 planned launches took place in full")
    assert found.headline.endswith("12 of 96 planned cells are not ok.")


def test_a_slow_rank_is_named_once_and_otherwise_nobody(tmp_path):
    _, claims = claims_of(tmp_path / "slow", slow_ranks={1: 1.2})
    (claim,) = told(claims, "Rank 1 (cpu:1) is slow: ")
    assert re.search(r"1\.[12]\dx \[1\.\d\d, 1\.\d\d\] the time of its peers", claim)
    assert "in 3 more cases" in claim
    _, claims = claims_of(tmp_path / "even")
    assert told(claims, "No rank is slower than its peers by more than 14")


def test_foreign_load_is_told_with_a_remedy(tmp_path):
    warning = MeasurementWarning(
        kind=Kind.FOREIGN_LOAD, fact="rank 1 waited for its core 31% of the time (limit 5%)", rank=1
    )
    _, claims = claims_of(tmp_path, warnings={(launch, KEY): (warning,) for launch in range(4)})
    (claim,) = told(claims, "Other processes disturbed 1 of 4 cases")
    assert "in 4 of 6 launches" in claim
    assert "stop the other processes" in claim


def test_a_cpu_quota_is_told_with_a_remedy(tmp_path):
    warning = MeasurementWarning(
        kind=Kind.CPU_THROTTLED, fact="a CPU quota held rank 0 back for up to 50% of the time (limit 5%)", rank=0
    )
    _, claims = claims_of(tmp_path, warnings={(0, KEY): (warning,)})
    (claim,) = told(claims, "A CPU quota held ranks back in 1 of 4 cases")
    assert "raise the control group's CPU limit" in claim


def test_a_time_within_the_floor_is_no_time(tmp_path):
    def truth(case):
        return 5e-6 if case.scenario == "split" else factories.work_time(case)

    found, claims = claims_of(tmp_path, truth=truth)
    assert all(row.below_resolution for row in found.cells)
    assert told(claims, "A step that does nothing takes", "4 cases below resolution")
    assert told(claims, "on 2 devices: below resolution")


def test_a_shared_device_scales_nothing(tmp_path):
    found, claims = claims_of(tmp_path, devices=("cuda:0", "cuda:0"))
    assert all(row.speedup is None and row.efficiency is None for row in found.cells)
    assert told(claims, "Several ranks shared one device")
    assert not told(claims, "as fast as one device")


def test_weak_scaling_is_told_as_efficiency(tmp_path):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.1 if case.world_size == 1 else 0.105

    _, claims = claims_of(tmp_path, scaling="weak", truth=truth)
    assert told(claims, "weak efficiency 95 % [", "1.90x the throughput")


def test_one_launch_on_one_device_says_what_it_can(tmp_path):
    found, claims = claims_of(tmp_path, launches=1, world_sizes=(1,), variant_field=None, probes=False)
    assert found.headline == "1 case timed on 1 device; the one planned cell is ok."
    assert told(claims, "With 1 launch there are no intervals")


def test_a_run_that_never_began_is_all_missing(tmp_path):
    found, claims = claims_of(tmp_path, done=0)
    assert found.counts["missing"] == found.counts["planned"] == 72
    assert {row.status for row in found.cells} == {"missing"}
    assert told(claims, "72 of 72 planned cells are missing")


def test_leading_keeps_what_is_not_a_single_figure():
    def claim(kind, text):
        return Claim(kind=kind, text=text)

    told = [claim("failure", "f"), *(claim("scaling", f"s{i}") for i in range(9))]
    told += [*(claim("comparison", f"c{i}") for i in range(9)), claim("floor", "z")]
    assert [each.text for each in leading(tuple(told), 6)] == ["f", "s0", "s1", "c0", "c1", "z"]
    assert leading(tuple(told[:5]), 6) == tuple(told[:5])


def test_many_cases_that_failed_alike_are_told_once(tmp_path):
    cases = [case for _, _, case in factories.plan_of(factories.Synthetic()).cells(1)]
    skipped = {(5, case.key): ("skipped", None, "the budget of 20 s was spent") for case in cases}
    _, claims = claims_of(tmp_path, outcomes=skipped)
    what = "12 of 12 cases: skipped in 1 of 6 launches (the budget of 20 s was spent)."
    assert told(claims, "skipped in") == [f"{what} `rankbench run --resume … --retry-failed` measures them again."]


def test_the_warning_that_most_cases_have_is_claimed(tmp_path):
    _, claims = claims_of(tmp_path, rounds=1, visits=3)
    (claim,) = told(claims, "There are few samples in 4 of 4 cases")
    assert "3 samples (limit 8)" in claim and claim.endswith("raise --budget.")


def test_a_speedup_that_is_higher_than_can_be_is_claimed_as_suspect(tmp_path):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.04 if case.gang_size > 1 else 0.1

    _, claims = claims_of(tmp_path, truth=truth)
    (claim,) = told(claims, "`split how=whole` on 2 devices")
    assert " in 6 launches, which is suspect (superlinear); a large product reaches " in claim


def test_a_rank_that_is_slow_in_few_cases_is_not_called_slow(tmp_path):
    found = summary.summarise(factories.build(tmp_path / "run", slow_ranks={1: 1.2}))
    slow = next(row for row in found.ranks if row.named)
    even = slow.model_copy(update={"ratio": 1.0, "ratio_low": 0.99, "ratio_high": 1.01, "named": False})
    rows = (slow, *(even.model_copy(update={"key": f"{place}"}) for place in range(11)))
    (claim,) = rank_claims((), rows)
    assert claim.text.startswith("In 1 of 12 cases rank 1 (cpu:1) is slower than its peers: at worst it takes 1.")
    assert in_short(rows) == "In 1 of 12 cases rank 1 (cpu:1) is slower than its peers"
    assert in_short(rows[:10]) == "Rank 1 (cpu:1) is slow"


def test_a_rank_that_other_processes_disturb_is_not_called_slow(tmp_path):
    def load(rank):
        return MeasurementWarning(kind=Kind.FOREIGN_LOAD, fact="waited 31% of the time (limit 5%)", rank=rank)

    copies = ("@2", "@1x2")
    keys = [f"split[how={how},size=1024]{where}" for how in ("whole", "pieces") for where in copies]
    both = {"slow_ranks": {1: 1.2}}
    found, claims = claims_of(tmp_path / "own", warnings=dict.fromkeys(product(range(3), keys), (load(1),)), **both)
    assert all(row.disturbed == (row.rank == 1) for row in found.ranks)
    assert told(
        claims, "In 4 of 4 cases rank 1 (cpu:1) is slower than its peers, disturbed by other processes: at worst"
    )
    assert not told(claims, "is slow: ")
    _, claims = claims_of(tmp_path / "peer", warnings=dict.fromkeys(product(range(6), keys), (load(0),)), **both)
    assert told(claims, "Rank 1 (cpu:1) is slow: ")
    _, claims = claims_of(tmp_path / "seldom", warnings=dict.fromkeys(product(range(2), keys), (load(1),)), **both)
    assert told(claims, "Rank 1 (cpu:1) is slow: ")


def test_frequent_warnings_come_first_and_rare_ones_share_a_sentence(tmp_path):
    def warning(kind):
        return MeasurementWarning(kind=kind, fact="a fact", rank=0)

    several = {(0, KEY): (warning(Kind.FOREIGN_LOAD), warning(Kind.CONSTANT_OPERANDS))}
    found, _ = claims_of(tmp_path / "some", rounds=1, visits=3, warnings=several)
    few, constant, load = (spaced(claim.text) for claim in found.claims if claim.kind == "load")
    assert few.startswith("There are few samples in 4 of 4 cases")
    assert load.startswith("Other processes disturbed 1 of 4 cases")
    assert constant.startswith("1 of 4 cases has the warning `constant-operands`, e.g. in 1 of 6 launches: a fact: ")
    cells = tuple(row.model_copy(update={"key": f"{place}"}) for place in range(5) for row in found.first)
    rare = tuple(row if place == 3 else row.model_copy(update={"warnings": ()}) for place, row in enumerate(cells))
    texts = [claim.text for claim in _load(rare)]
    assert texts[-1].startswith("Other warnings, of 20 cases: `")
    assert "`constant-operands` in 1" in texts[-1]


def test_the_headline_quotes_no_suspect_speed_up(tmp_path):
    def truth(case):
        fast = 2.83 if (case.variant, case.world_size) == ("pieces", 2) else case.world_size**0.9
        return factories.work_time(case) if case.probe else 0.1 / fast

    found, _ = claims_of(tmp_path, truth=truth)
    start = r"On 2 devices: 1\.8\dx \(`split how=whole`\); 1 suspect speed-up; "
    assert re.match(start, spaced(found.headline))


def test_a_speedup_whose_interval_holds_1_is_claimed_as_neither(tmp_path):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.1

    _, claims = claims_of(tmp_path, truth=truth, launch_noise=0.02)
    (claim,) = told(claims, "`split how=whole` on 2 devices")
    assert "in 6 launches, so it may be faster or slower;" in claim
