"""One run against another: what is found, what fails the gate, what is refused; exit codes of real run directories."""

from __future__ import annotations

import json

import pytest

from harness.cli import app
from harness.common.errors import UsageError
from harness.journal.log import sealed
from harness.journal.plan import Side
from reports.analysis import summary
from reports.compare.compare import compare
from tests import factories

SMALL = {"rounds": 4, "visits": 1, "probes": False, "packed": False}
PIECES, WHOLE = (f"split[how={how},size=1024]@2" for how in ("pieces", "whole"))


def slower(factor, *, key=PIECES):
    """The usual truth, but for one case."""
    return lambda case: factories.work_time(case) * (factor if case.key == key else 1.0)


def altered(run, **changes):
    """Rewrite the run's plan."""
    run.plan_path.write_text(run.plan().model_copy(update=changes).to_json())
    return run.root


def in_environment(run, **told):
    run.environment_path.write_text(json.dumps(told))
    return run.root


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return factories.build(tmp_path_factory.mktemp("base") / "run", seed=1, **SMALL).root


@pytest.fixture
def new(tmp_path):
    """Builds a run of the same plan, with launches of its own."""
    return lambda **changes: factories.build(tmp_path / "new", **{**SMALL, "seed": 2, **changes})


def by_key(found):
    return {row.key: row for row in found.cases}


def test_nothing_changed(base, new):
    found = compare(base, new().root, None)
    assert [row.verdict for row in found.cases] == ["equivalent"] * 4
    assert (found.regression, found.undecided) == (False, False)
    assert found.headline == "NEW is not found worse than BASE. 4 cases: 4 without a difference."
    assert found.counts == {"cases": 4, "equivalent": 4} | dict.fromkeys(
        ("broken", "slower", "unconfirmed", "faster", "undecided", "not comparable"), 0
    )


def test_what_got_slower_is_found_and_nothing_else(base, new):
    root = new(truth=slower(1.2)).root
    found = compare(base, root, None)
    row = by_key(found)[PIECES]
    assert {each.verdict for each in found.cases if each is not row} == {"equivalent"}
    assert (row.verdict, row.confirmed, row.broken, row.base_launches, row.new_launches) == (
        "slower",
        True,
        False,
        6,
        6,
    )
    assert 1.15 < row.ratio_low < row.ratio < row.ratio_high < 1.25
    assert row.p_holm == pytest.approx(4 * row.p) == pytest.approx(4 / 924)
    assert found.regression
    (cell,) = [cell for cell in summary.summarise(factories.RunDir(root)).cells if cell.key == PIECES]
    assert row.new_median_s == cell.median_s


def test_what_got_faster_fails_no_gate(base, new):
    found = compare(base, new(truth=slower(0.8)).root, None)
    assert by_key(found)[PIECES].verdict == "faster"
    assert not found.regression
    assert not found.undecided


def test_a_small_change_counts_only_beyond_the_margin(base, new):
    root = new(truth=slower(1.03), launch_noise=0.001, noise=0.002).root
    assert not compare(base, root, None).regression  # the runs' margin is 5 %
    found = compare(base, root, 0.01)
    assert by_key(found)[PIECES].confirmed
    assert by_key(found)[PIECES].margin_asked == 0.01


def test_of_two_margins_the_larger_counts_and_the_users_before_both(base, new):
    root = altered(new(), margin=0.2)
    assert compare(base, root, None).cases[0].margin == 0.2
    assert compare(base, root, 0.1).cases[0].margin == 0.1


def test_noise_raises_the_margin(base, new):
    """Every other round of NEW is a third slower: that much a case differs from itself."""
    run = new(launches=6)

    def slower(text):
        told = json.loads(text)
        if told["type"] == "cell":
            times = told["samples"]
            times["end_s"] = [
                [
                    start + (end - start) * (1 + place % 2 / 3)
                    for place, (start, end) in enumerate(zip(*own, strict=True))
                ]
                for own in zip(times["start_s"], times["end_s"], strict=True)
            ]
        return json.dumps(told)

    factories.edit(run, slower)
    row = compare(base, run.root, None).cases[0]
    assert row.aa_new == row.margin == pytest.approx(1 / 3, abs=0.03)
    assert row.aa_base < 0.02


def test_a_slower_machine_is_not_a_slower_case(tmp_path):
    """All of NEW, probes included, is a tenth slower: with the same software that is the machine."""
    like = {**SMALL, "probes": True}
    old = in_environment(factories.build(tmp_path / "base", seed=1, **like), software={"torch": "2.13.0"})
    everything = factories.build(tmp_path / "new", seed=2, truth=lambda case: 1.1 * factories.work_time(case), **like)
    now = in_environment(everything, software={"torch": "2.13.0"})
    found = compare(old, now, None)
    assert found.same_software
    assert not found.regression
    assert all(row.machine == pytest.approx(0.095, abs=0.03) for row in found.cases)
    assert all(row.margin >= row.machine for row in found.cases)
    now = in_environment(everything, software={"torch": "2.14.0"})
    found = compare(old, now, None)
    assert found.regression  # the probes run on torch too, and it may be the one to blame
    assert [(row.name, row.base, row.new) for row in found.differences] == [
        ("seed", "1", "2"),
        ("software.torch", "2.13.0", "2.14.0"),
    ]
    assert {row.probe for row in found.probes} == {"spin", "gemm"}


@pytest.mark.parametrize("status", ["wrong", "error", "oom", "died", "hang"])
def test_a_case_that_failed_once_in_new_is_broken_and_has_no_time(base, new, status):
    found = compare(base, new(outcomes={(3, PIECES): (status, 1, "no `such` luck")}).root, None)
    row = by_key(found)[PIECES]
    assert (row.verdict, row.broken, row.new_status, row.base_status) == ("not comparable", True, status, "ok")
    assert (row.ratio, row.base_median_s, row.new_median_s, row.p) == (None,) * 4
    assert "in 1 of 6 launches (rank 1: no 'such' luck)" in row.reason
    assert found.regression
    assert found.gate.cases == 3


def test_a_case_that_was_never_recorded_in_new_is_broken(base, new):
    gone = {(launch, PIECES): ("missing", None, "") for launch in range(6)}
    row = by_key(compare(base, new(outcomes=gone).root, None))[PIECES]
    assert (row.broken, row.reason) == (True, "in NEW it was not measured in 6 of 6 launches")


def test_launches_that_did_not_take_place_break_nothing(base, new):
    skipped = {(5, PIECES): ("skipped", None, "the budget was spent")}
    row = by_key(compare(base, new(outcomes=skipped).root, None))[PIECES]
    assert (row.verdict, row.new_launches, row.broken) == ("equivalent", 5, False)


def test_what_was_broken_before_is_no_regression(base, new):
    broken = new(outcomes={(0, PIECES): ("wrong", 0, "off")}).root
    row = by_key(compare(broken, base, None))[PIECES]
    assert (row.verdict, row.broken) == ("not comparable", False)
    assert row.reason == "in BASE it is wrong in 1 of 6 launches (rank 0: off)"
    assert not compare(broken, base, None).regression
    assert compare(broken, base, None).undecided


def test_a_case_that_does_less_now_is_not_faster(base, new):
    half = new(truth=slower(0.5), share=lambda case, _: 0.25 if case.key == PIECES else 0.5 if "@2" in case.key else 1)
    row = by_key(compare(base, half.root, None))[PIECES]
    assert (row.verdict, row.broken) == ("not comparable", False)
    assert row.reason.startswith("declares other work: ")


def test_one_slower_case_among_many_may_not_be_confirmed(tmp_path):
    """Five launches a side reach p = 1/252, enough for six cases and not for eight."""
    like = {**SMALL, "sizes": (512, 1024), "launches": 5}
    runs = [factories.build(tmp_path / str(seed), seed=seed, truth=slower(1.0 + seed / 10), **like) for seed in (0, 3)]
    found = compare(*(run.root for run in runs), None)
    row = by_key(found)[PIECES]
    assert (row.verdict, row.confirmed, found.gate.able, found.gate.launches_needed) == ("slower", False, False, 6)
    assert (found.regression, found.undecided) == (False, True)
    assert "even if it were: that takes 6 launches of each run" in found.headline
    assert found.remarks[0].startswith("The gate cannot fail: the smallest p that a rank test reaches")


def test_cases_below_resolution_are_undecided(tmp_path):
    def tiny(factor):
        return lambda case: factories.work_time(case) if case.probe else 4e-6 * factor

    like = {**SMALL, "probes": True}
    roots = [
        factories.build(tmp_path / str(seed), seed=seed, truth=tiny(factor), **like).root
        for seed, factor in ((1, 1.0), (2, 1.3), (3, 20.0))
    ]
    (row, *_) = compare(*roots[:2], None).cases
    assert (row.verdict, row.p) == ("undecided", None)
    assert row.reason.startswith("below resolution")
    (row, *_) = compare(roots[0], roots[2], None).cases
    assert (row.verdict, row.confirmed) == ("slower", True)  # what rose above the floor is slower for certain


def test_what_a_devices_own_marks_can_hardly_tell_is_undecided_too(tmp_path):
    """As on the page: three times what lies between two marks with nothing in between, over a sample's steps."""
    verdicts = []
    for least in (0.06, 0.08):  # of a sample of two steps of 100 ms
        like = {**SMALL, "device_events": True, "least": least, "truth": lambda _: 0.1}
        roots = [factories.build(tmp_path / f"{least}-{seed}", seed=seed, **like).root for seed in (1, 2)]
        verdicts.append(compare(*roots, None).cases[0].verdict)
    assert verdicts == ["equivalent", "undecided"]


def test_cases_of_one_run_alone_are_told(base, new):
    found = compare(base, new(variants=("whole", "third")).root, None)
    assert found.only_in_base == tuple(f"split[how=pieces,size=1024]@{size}" for size in (1, 2))
    assert found.only_in_new == tuple(f"split[how=third,size=1024]@{size}" for size in (1, 2))
    assert (len(found.cases), found.regression, found.undecided) == (2, False, True)


REFUSED = {
    "threads": ({"threads": 2}, r"NEW's threads must equal BASE's \(1\), but is 2; measure both alike"),
    "devices": (
        {"devices": ("cpu:0", "cpu:2")},
        r"NEW's devices must equal BASE's \(cpu:0, cpu:1\), but is cpu:0, cpu:2",
    ),
    "regime": (
        {"regime": {"cache": "cold", "mode": "eager"}},
        r"NEW's regime.alignment must equal .*regime.cache, .* too\)",
    ),
    "world sizes": ({"world_sizes": (4,)}, r"NEW's world sizes must include one of BASE's \(1, 2\), but is 4"),
    "schema": ({"schema_version": 2}, r"NEW's schema must equal BASE's \(1\), but is 2"),
}


@pytest.mark.parametrize("field", REFUSED)
def test_runs_that_were_not_measured_alike_are_refused_and_the_field_is_named(base, new, field, capsys):
    changes, expected = REFUSED[field]
    root = altered(new(), **changes)
    with pytest.raises(UsageError, match=expected):
        compare(base, root, None)
    assert app.run_app(["compare", str(base), str(root)]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)


def test_a_run_with_more_devices_is_compared_on_those_that_both_used(base, new):
    found = compare(base, new(world_sizes=(1, 2, 4)).root, None)
    assert {row.world_size for row in found.cases} == {1, 2}
    assert len(found.only_in_new) == 2
    assert ("devices in all", "2", "4") in [(row.name, row.base, row.new) for row in found.differences]
    assert not found.undecided


def test_another_device_is_refused(base, new):
    run = new()
    factories.edit(run, lambda text: text.replace("Synthetic 3000", "Synthetic 4000"))
    with pytest.raises(UsageError, match=r"device names must equal BASE's \(Synthetic 3000\), but is Synthetic 4000"):
        compare(base, run.root, None)


@pytest.mark.parametrize("name", ["power_limit_mw", "ecc", "mig", "memory_bytes", "max_sm_clock_mhz"])
def test_another_state_of_the_device_is_refused(tmp_path, name):
    runs = [factories.build(tmp_path / str(seed), seed=seed, **SMALL) for seed in (1, 2)]
    roots = [in_environment(run, devices=[{"name": "cuda:0", name: place}]) for place, run in enumerate(runs)]
    with pytest.raises(UsageError, match=rf"NEW's devices\.0\.{name} must equal BASE's \(0\), but is 1"):
        compare(*roots, None)


def test_software_variables_and_host_may_differ_and_are_told(tmp_path):
    runs = [factories.build(tmp_path / str(seed), seed=seed, **SMALL) for seed in (1, 2)]
    told = [
        {"host": {"name": "a"}, "software": {"torch": "2.12", "driver": None}},
        {"host": {"name": "b"}, "software": {"torch": "2.13", "driver": "580"}, "hash": "x"},
    ]
    roots = [in_environment(run, **each) for run, each in zip(runs, told, strict=True)]
    assert [(row.name, row.base, row.new) for row in compare(*roots, None).differences] == [
        ("seed", "1", "2"),
        ("host.name", "a", "b"),
        ("software.torch", "2.12", "2.13"),
        ("software.driver", "not told", "580"),
    ]


def test_a_copy_of_a_run_is_not_another_run(base):
    with pytest.raises(UsageError, match="NEW contains launches of BASE"):
        compare(base, base, None)


def test_runs_without_a_case_in_common_are_refused(base, new):
    with pytest.raises(
        UsageError, match=r"NEW has no case of BASE's \(BASE: split\[how=whole,size=1024\]@1 and 3 more; NEW: "
    ):
        compare(base, new(sizes=(512,)).root, None)


def test_a_run_that_never_began_breaks_everything(base, new):
    found = compare(base, new(done=0).root, None)
    assert found.counts["broken"] == 4
    assert (found.regression, found.gate.smallest_p) == (True, None)


def test_launches_of_two_environments_are_remarked_on(base, new):
    run = new()
    factories.edit(run, lambda text: text.replace("f00dfeed", "deadbeef") if '"launch":0' in text else text)
    assert "The launches of NEW were not all made in one environment" in compare(base, run.root, None).remarks[0]


def test_of_a_run_with_several_sides_the_first_is_compared(base, new):
    sides = (Side(name="torchrun"), Side(name="ray", launcher="ray"))
    found = compare(base, new(sides=sides, launches=12, pace={"ray": 1.5}).root, None)
    assert (found.new.side, found.new.launches) == ("torchrun", 6)
    assert [row.verdict for row in found.cases] == ["equivalent"] * 4
    assert found.remarks == ("NEW alternated between 2 sides: only its first, torchrun, is compared.",)


def test_variables_of_the_ranks_are_told_but_for_those_that_no_two_runs_share(base, new):
    run = new()
    others = '"NCCL_ALGO":"Tree","RAY_NODE_ID":"7"'
    factories.edit(run, lambda text: text.replace('"OMP_NUM_THREADS":"1"', others))
    found = compare(base, run.root, None)
    assert not found.same_software
    assert [(row.name, row.base, row.new) for row in found.differences] == [
        ("seed", "1", "2"),
        ("variables.OMP_NUM_THREADS", "1", "not told"),
        ("variables.NCCL_ALGO", "not told", "Tree"),
    ]


EXITS = {
    "nothing changed": ({}, [], 0),
    "nothing changed, strictly": ({}, ["--strict"], 0),
    "slower": ({"truth": slower(1.2)}, [], 1),
    "slower within the margin": ({"truth": slower(1.2)}, ["--margin", "0.5"], 0),
    "broken": ({"outcomes": {(3, WHOLE): ("wrong", 1, "off")}}, [], 1),
    "too few launches": ({"launches": 2}, [], 0),
    "too few launches, strictly": ({"launches": 2}, ["--strict"], 3),
    "slower and undecided, strictly": ({"launches": 5, "truth": slower(1.2)}, ["--strict"], 1),
    "a margin that is none": ({}, ["--margin", "2"], 2),
    "an unknown format": ({}, ["--format", "jsn"], 2),
}


@pytest.mark.parametrize("what", EXITS)
def test_exit_codes(base, new, what, capsys):
    changes, options, code = EXITS[what]
    assert app.run_app(["compare", str(base), str(new(**changes).root), *options]) == code
    assert bool(capsys.readouterr().out) == (code != 2)


def test_a_journal_that_cannot_be_read_is_no_regression(base, new, capsys):
    run = new()
    run.journal_path.write_text("{}\n")
    assert app.run_app(["compare", str(base), str(run.root)]) == 2
    assert "journal.jsonl, line 1" in capsys.readouterr().err


def test_a_verdict_on_what_nobody_has_checked_has_to_be_asked_for(base, new):
    run = new(truth=slower(2.0))
    lines = run.journal_path.read_bytes().replace(b'"status":"ok"', b'"status":"unchecked"').splitlines()
    run.journal_path.write_bytes(b"".join(sealed(line.partition(b',"crc32"')[0] + b"}") for line in lines))
    with pytest.raises(UsageError, match="--accept-unchecked"):
        compare(base, run.root, None)
    assert by_key(compare(base, run.root, None, accept_unchecked=True))[PIECES].verdict == "slower"
