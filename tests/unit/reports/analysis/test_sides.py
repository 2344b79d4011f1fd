"""Sides: environments that take turns, launch by launch, and what a run says of them."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.common.errors import UsageError
from harness.device.fingerprint import differences
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Side
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.planning.sides import of_duel, of_launchers, turns
from reports.analysis.summary import summarise
from reports.schema.cases import SideRow
from reports.schema.summary import Summary
from reports.text.units import percent
from tests.factories import Synthetic, build, plan_of
from tests.pages import text_of

TWO = (Side(name="torchrun"), Side(name="ray", launcher="ray"))


def test_each_block_of_launches_has_every_side_once_in_an_order_by_chance() -> None:
    plan = plan_of(Synthetic(sides=TWO, launches=40))
    turns = [plan.side_of(launch).name for launch in range(40)]
    blocks = [tuple(turns[place : place + 2]) for place in range(0, 40, 2)]
    assert {frozenset(block) for block in blocks} == {frozenset({"torchrun", "ray"})}
    assert min(Counter(blocks).values()) > 3
    again = [plan_of(Synthetic(sides=TWO, launches=40, seed=7)).side_of(launch).name for launch in range(40)]
    assert turns == again
    assert turns != [plan_of(Synthetic(sides=TWO, launches=40, seed=8)).side_of(launch).name for launch in range(40)]


def test_each_launcher_gets_as_many_launches_as_were_asked_for() -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launcher="torchrun,ray", launches=3))
    assert plan.launches == 6
    assert Counter(plan.side_of(launch).launcher for launch in range(6)) == {"torchrun": 3, "ray": 3}


def test_launchers_that_cannot_take_turns_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot combine inline with other launchers"):
        of_launchers("inline,ray", 1, inside=False)


def summary(folder: Path, **changes: object) -> Summary:
    return summarise(build(folder / "run", Synthetic(sides=TWO, launches=12, **changes)))  # type: ignore[arg-type]


def test_alike_sides_are_told_to_be_so(tmp_path: Path) -> None:
    told = summary(tmp_path)
    assert {row.verdict for row in told.sides} == {"equivalent"}
    assert {row.blocks for row in told.sides} == {6}
    assert {(row.side, row.reference) for row in told.sides} == {("ray", "torchrun")}
    assert any(claim.kind == "side" and "no difference" in claim.text for claim in told.claims)


def test_a_slower_side_is_found_with_its_ratio_and_the_variants_are_compared_within_a_side(tmp_path: Path) -> None:
    told = summary(tmp_path, pace={"ray": 1.2})
    for row in told.sides:
        assert row.verdict == "slower"
        assert row.ratio_low is not None and row.ratio is not None and row.ratio_high is not None
        assert row.ratio_low <= row.ratio <= row.ratio_high
        assert row.ratio == pytest.approx(1.2, rel=0.02)
    alone = summarise(build(tmp_path / "alone", Synthetic(launches=12)))
    ratios = {(row.variant, row.world_size): row.ratio for row in alone.comparisons}
    for contrast in told.comparisons:  # mixing the sides would leave them as they are, but widen the intervals
        assert contrast.ratio == pytest.approx(ratios[contrast.variant, contrast.world_size], rel=0.02)
        assert contrast.ratio_low is not None and contrast.ratio_high is not None
        assert contrast.ratio_high / contrast.ratio_low < 1.05


def test_a_row_of_cells_is_of_one_side(tmp_path: Path) -> None:
    told = summary(tmp_path, pace={"ray": 1.5})
    assert Counter(row.launcher for row in told.cells) == {"torchrun": 4, "ray": 4}
    by_launcher = {(row.launcher, row.key): row for row in told.cells}
    for row in told.first:
        other = by_launcher["ray", row.key]
        assert row.launches == other.launches == 6
        assert row.median_s is not None and other.median_s is not None
        assert other.median_s / row.median_s == pytest.approx(1.5, rel=0.02)
        assert set(row.launch_s).isdisjoint(other.launch_s)


def test_a_case_that_died_on_a_side_has_no_ratio(tmp_path: Path) -> None:
    plan = plan_of(Synthetic(sides=TWO, launches=12))
    on_ray = next(launch for launch in range(12) if plan.side_of(launch).launcher == "ray")
    key = "split[how=whole,size=1024]@2"
    told = summary(tmp_path, outcomes={(on_ray, key): ("died", 1, "killed")})
    (row,) = [row for row in told.sides if row.key == key]
    assert (row.verdict, row.ratio, row.reason) == ("not comparable", None, "it died on ray")
    assert sum(cell.status == "died" for cell in told.strip) == 1
    assert len(told.strip) == 12 * len(plan.comparisons[0].cases)


def test_few_turns_give_no_verdict(tmp_path: Path) -> None:
    told = summarise(build(tmp_path / "run", Synthetic(sides=TWO, launches=6)))
    assert {row.verdict for row in told.sides} == {"undecided"}
    assert {row.reason for row in told.sides} == {"a verdict needs 6 turns"}


def test_the_page_shows_the_sides_and_a_run_of_one_has_no_such_part(tmp_path: Path) -> None:
    both = text_of(build(tmp_path / "both", Synthetic(sides=TWO, launches=12, pace={"ray": 1.2})))
    assert "torchrun against ray" in both
    assert "1.20" in both
    assert "<code>RAY_JOB</code> &lt;7&gt;" in both
    assert "<code>OMP_NUM_THREADS</code>" not in both
    assert 'id="sides"' not in text_of(build(tmp_path / "one", Synthetic()))


def test_launch_by_launch_there_are_the_first_sides_own(tmp_path: Path) -> None:
    run = build(tmp_path / "both", Synthetic(sides=TWO, launches=12))
    plan, text = run.plan(), text_of(run)
    table = text[text.index("Launch values of") :]
    numbers = [int(each) for each in re.findall(r">launch (\d+)<", table[: table.index("</thead>")])]
    assert numbers == [launch for launch in range(12) if plan.side_of(launch).name == "torchrun"]


DUEL = (Side(name="a"), Side(name="b", variables={"NCCL_ALGO": "Tree"}), Side(name="a again", control=True))


def duelled(folder: Path, launches: int = 24, **changes: object) -> dict[str, list[SideRow]]:
    told = summarise(build(folder / "run", Synthetic(sides=DUEL, launches=launches, **changes)))  # type: ignore[arg-type]
    return {side: [row for row in told.sides if row.side == side] for side in ("b", "a again")}


def test_a_side_that_is_slower_in_every_turn_is_confirmed(tmp_path: Path) -> None:
    rows = duelled(tmp_path, pace={"b": 1.2})
    assert all(row.verdict == "slower" and row.confirmed for row in rows["b"])
    assert all(row.p == pytest.approx(2**-8) and row.p_holm <= 4 * 2**-8 for row in rows["b"])
    assert all(row.verdict == "equivalent" and row.p is None for row in rows["a again"])


def test_too_few_turns_for_so_many_cases_confirm_nothing(tmp_path: Path) -> None:
    rows = duelled(tmp_path, launches=18, pace={"b": 1.2})
    assert all(row.verdict == "slower" and not row.confirmed for row in rows["b"])
    assert turns(4) == 8 and turns(1) == 6


def test_within_what_a_side_differs_from_itself_nothing_can_be_told(tmp_path: Path) -> None:
    rows = duelled(tmp_path, pace={"b": 1.2, "a again": 1.3})
    assert {row.verdict for row in rows["b"]} == {"undecided"}
    assert all(
        (row.margin_asked, row.reason) == (0.05, f"not beyond noise of {percent(row.margin)}") for row in rows["b"]
    )
    assert all(row.margin == pytest.approx(0.3, abs=0.02) for row in rows["b"])


@given(st.integers(1, 400))
def test_as_many_turns_as_needed_and_no_more(cases: int) -> None:
    assert cases * 2.0 ** -turns(cases) <= 0.025 < cases * 2.0 ** -(turns(cases) - 1)


def test_a_duel_is_planned_with_turns_enough_for_its_cases() -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", sides=of_duel("", "NCCL_ALGO=Tree")))
    cases = sum(not (case.packed or case.probe) for each in plan.comparisons for case in each.cases)
    assert plan.launches == 3 * max(6, turns(cases))
    assert plan.is_duel
    assert not make(RunRequest(names=["split"], devices="cpu:1")).is_duel


def test_a_side_reads_like_a_shell(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    _, b, again = of_duel("", f"{tmp_path} NCCL_ALGO=Tree 'NCCL_DEBUG=WARN now'")
    assert b.python == str(python)
    assert b.variables == {"NCCL_ALGO": "Tree", "NCCL_DEBUG": "WARN now"}
    assert (again.name, again.control, again.python, again.variables) == ("a again", True, None, {})


@pytest.mark.parametrize(
    ("b", "why"),
    [
        ("", "--b must differ from --a"),
        ("/no/such/python", "name an interpreter"),
        ("HF_TOKEN=abc", "cannot set HF_TOKEN, which looks secret"),
        ("RAY_REDIS_ADDRESS=redis://me:abc@host", "which looks secret"),
        ("1X=2", "set variables as NAME=value"),
        ("X='", "be quoted as in a shell"),
        ("OMP_NUM_THREADS=2", "cannot set OMP_NUM_THREADS: --threads sets"),
        (sys.executable, "--b must differ from --a"),
    ],
)
def test_sides_that_make_no_duel_are_refused(b: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as told:
        of_duel("", b)
    assert "abc" not in str(told.value)


def test_differences_are_told_where_they_are() -> None:
    one = {"host": {"name": "a", "cores": 2}, "torch": "2.13", "load_average": [1], "hash": "1"}
    other = {"host": {"name": "a", "cores": 4}, "torch": "2.13", "load_average": [2], "hash": "2", "ray": "2.60"}
    assert differences(one, other) == {"host": {"cores": 4}, "ray": "2.60"}
    assert differences(other, one) == {"host": {"cores": 2}, "ray": None}
    assert differences(one, one) == {}


ONE = {"variants": ("whole",), "world_sizes": (1,), "packed": False, "probes": False}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({**ONE, "pace": {"b": 1.2}}, "`b` against `a`: slower, +20\N{NO-BREAK SPACE}% time;"),
        ({**ONE, "pace": {"b": 0.8}}, "`b` against `a`: faster, −20\N{NO-BREAK SPACE}% time;"),
        ({"pace": {"b": 1.2}}, "`b` against `a`: of 4 cases 4 slower;"),
        ({}, "`b` against `a`: of 4 cases 4 no difference;"),
    ],
)
def test_the_headline_of_a_duel_is_its_verdict(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    found = summarise(build(tmp_path / "run", Synthetic(sides=DUEL, launches=24, noise=0.002, **changes)))  # type: ignore[arg-type]
    assert found.headline.startswith(told)
    texts = [claim.text for claim in found.claims]
    (noise,) = [text for text in texts if "which is noise" in text]
    assert re.search(r": [−+]?0\.\d.% to [−+]?0\.\d.% time, which is noise\.$|: [−+]?\d\.\d.% time, which", noise), (
        noise
    )
    assert next(place for place, text in enumerate(texts) if text.startswith("`b` against")) == 0


def test_the_page_of_a_duel_has_what_was_set_and_all_of_its_launches(tmp_path: Path) -> None:
    page = build(tmp_path / "run", Synthetic(sides=DUEL, launches=24))
    text = text_of(page)
    assert "<code>NCCL_ALGO</code> Tree" in text
    assert 'class="strip long"' in text
    assert 'class="strip long"' not in text_of(build(tmp_path / "few", Synthetic(launches=6)))


def test_a_budget_that_is_too_small_for_a_verdict_is_refused_beforehand() -> None:
    like = {"names": ["split"], "devices": "cpu:1", "sides": of_duel("", "X=1")}
    with pytest.raises(UsageError, match=r"--budget must be at least \d+ s for the 7 turns that a verdict needs"):
        make(RunRequest(budget_s=30, **like))
    assert make(RunRequest(budget_s=30, launches=3, **like)).launches == 9
    least = make(RunRequest(budget_s=120, **like))
    assert least.launches >= 3 * 7 and least.precision is not None and least.precision.limit_s == 120
    usual = make(RunRequest(**like)).precision
    assert usual is not None and usual.limit_s == 420


def test_a_duel_that_cannot_decide_says_how_far_it_is_and_the_other_sides_warnings_are_told(tmp_path: Path) -> None:
    warning = MeasurementWarning(kind=Kind.FOREIGN_LOAD, rank=0, fact="rank 0 waited for its core 9% of the time")
    key = "split[how=whole,size=1024]@1"
    plan = plan_of(Synthetic(sides=DUEL, launches=24))
    on_b = {(launch, key): (warning,) for launch in range(24) if plan.side_of(launch).name == "b"}
    like = Synthetic(sides=DUEL, launches=24, warnings=on_b, pace={"b": 1.05}, launch_noise=0.03, **ONE)  # type: ignore[arg-type]
    texts = [claim.text for claim in summarise(build(tmp_path / "run", like)).claims]
    (told,) = [text for text in texts if "is undecided on `b`" in text]
    assert "[" in told and "margin" in told
    assert "On `b` there are warnings, too: foreign-load in 1 of 1 case." in texts
    assert not any("On `a again`" in text for text in texts)


def test_an_interrupted_turn_counts_for_the_sides_that_had_theirs(tmp_path: Path) -> None:
    told = summarise(build(tmp_path / "run", Synthetic(sides=DUEL, launches=20, done=19)))
    assert told.run.turns_planned == 7
    assert told.chapter == ()
