"""Launches are added until intervals are narrow enough: by their width alone, and never past the limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.common.errors import UsageError
from harness.journal.plan import Side
from harness.journal.records import CellRecord
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.planning.sides import of_duel
from harness.planning.stopping_rule import StoppingRule, half_width, interval_ranks, launch_value
from reports.analysis.summary import summarise
from reports.reading.run import load
from reports.statistics.measured import measure
from tests.factories import Synthetic, build, plan_of

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=40)


@given(st.integers(0, 200))
def test_the_ranks_are_those_of_the_binomial_law(n: int) -> None:
    ranks = interval_ranks(n)
    if n < 6:
        assert ranks is None
        return
    assert ranks is not None
    k = ranks[0] + 1
    assert ranks == (k - 1, n - k)
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95 - 1e-12
    assert 1 - 2 * stats.binom.cdf(k, n, 0.5) < 0.95


@given(TIMES, st.floats(0.1, 100))
def test_a_width_is_a_fraction_of_the_median(times: list[float], factor: float) -> None:
    width = half_width(times)
    assert width is not None
    assert 0 <= width <= (max(times) - min(times)) / (2 * median(times)) + 1e-12
    scaled = half_width([factor * time for time in times])
    assert scaled is not None and math.isclose(scaled, width, rel_tol=1e-6, abs_tol=1e-12)


def test_a_launch_value_is_that_of_the_reports(tmp_path: Path) -> None:
    run = build(tmp_path / "run", Synthetic(slow_ranks={1: 1.1}))
    values = measure(load(run)).values_by_case
    written = [entry for entry in run.entries() if isinstance(entry, CellRecord)]
    assert len(written) > 50
    for cell in written:
        assert launch_value(cell) == pytest.approx(values[cell.comparison, cell.case][cell.launch], rel=1e-9)


def cells(folder: Path, **changes: object) -> list[CellRecord]:
    run = build(folder / "run", Synthetic(**changes))  # type: ignore[arg-type]
    key = "split[how=whole,size=1024]@2"
    found = [entry for entry in run.entries() if isinstance(entry, CellRecord) and entry.case == key]
    return sorted(found, key=lambda cell: cell.launch)


def test_five_launches_are_never_narrow_and_six_are_where_they_agree(tmp_path: Path) -> None:
    widths = StoppingRule(plan_of(Synthetic()))
    for number, cell in enumerate(cells(tmp_path, launch_noise=0.0, noise=0.0), start=1):
        widths.add("case", cell)
        assert widths.within(0.01) == (number == 6)
    assert not StoppingRule(plan_of(Synthetic())).within(0.5)


def test_one_wide_series_is_enough_to_go_on_and_what_is_not_ok_is_not_asked(tmp_path: Path) -> None:
    widths = StoppingRule(plan_of(Synthetic()))
    for cell in cells(tmp_path, launch_noise=0.1):
        widths.add("wide", cell)
        widths.add("died", cell.model_copy(update={"status": "died", "samples": None}))
    assert not widths.within(0.01)
    assert widths.within(0.9)
    assert set(widths.values) == {"wide"}


DUEL = (Side(name="a"), Side(name="b"), Side(name="a again", control=True))


def test_a_duel_asks_for_its_ratios_turn_by_turn(tmp_path: Path) -> None:
    """Times that differ widely from turn to turn, by the same factor on each side, and then on one side only."""
    plan = plan_of(Synthetic(sides=DUEL, launches=24))
    (cell,) = cells(tmp_path, launches=1, launch_noise=0.0, noise=0.0)
    taken = cell.samples
    assert taken is not None

    def told(factor: Callable[[int], float]) -> StoppingRule:
        widths = StoppingRule(plan)
        for launch in range(24):
            ends = [
                [start + (end - start) * factor(launch) for start, end in zip(*rank, strict=True)]
                for rank in zip(taken.start_s, taken.end_s, strict=True)
            ]
            samples = taken.model_copy(update={"end_s": ends})
            widths.add("case", cell.model_copy(update={"launch": launch, "samples": samples}))
        return widths

    assert told(lambda launch: 1.0 + plan.turn_of(launch)).within(0.001)
    wild = plan.side_of(0).name
    assert not told(lambda launch: 1.0 + plan.turn_of(launch) * (plan.side_of(launch).name == wild)).within(0.5)


def test_a_duel_goes_on_until_its_ratios_are_within_half_the_margin() -> None:
    like = {"names": ["split"], "devices": "cpu:1", "sides": of_duel("", "X=1")}
    plan = make(RunRequest(margin="2%", **like))
    assert plan.precision is not None and (plan.precision.fraction, plan.precision.limit_s) == (0.01, 420)
    asked = make(RunRequest(margin="2%", precision="3%", budget_s=300, **like)).precision
    assert asked is not None and (asked.fraction, asked.limit_s) == (0.03, 300)
    for settled in ({"launches": 7}, {"preset": "smoke"}, {"margin": "0"}):
        assert make(RunRequest(**(like | settled))).precision is None
    assert make(RunRequest(names=["split"], devices="cpu:1")).precision is None


@pytest.mark.parametrize(("text", "fraction"), [("2%", 0.02), ("0.02", 0.02), (" 1.5 %", 0.015)])
def test_it_is_asked_for_in_percent_or_as_a_fraction(text: str, fraction: float) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", precision=text, budget_s=600))
    assert plan.precision is not None
    assert (plan.precision.fraction, plan.precision.limit_s) == (pytest.approx(fraction), 600)
    usual = make(RunRequest(names=["split"], devices="cpu:1"))
    assert (plan.launches, plan.budget_s) == (usual.launches, usual.budget_s)  # the rest is for more launches


@pytest.mark.parametrize("text", ["0", "-1%", "100%", "two", "2%%", "nan", ""])
def test_what_is_no_fraction_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--precision must be a fraction"):
        make(RunRequest(names=["split"], devices="cpu:1", precision=text))


@pytest.mark.parametrize(("text", "fraction"), [("2%", 0.02), ("0.02", 0.02), ("0", 0)])
def test_a_margin_is_written_alike_and_may_be_none(text: str, fraction: float) -> None:
    assert make(RunRequest(names=["split"], devices="cpu:1", margin=text)).margin == pytest.approx(fraction)


def test_it_needs_launches_of_our_own() -> None:
    with pytest.raises(UsageError, match="--precision cannot be used under an external torchrun"):
        make(RunRequest(names=["split"], devices="cpu:1", precision="2%", launcher="inline"))


@pytest.mark.parametrize(
    ("noise", "told"),
    [(0.0, "all times are within ±5 %, as wanted"), (0.2, "Not all times are within ±5 %, as wanted")],
)
def test_the_report_says_whether_it_was_reached(tmp_path: Path, noise: float, told: str) -> None:
    run = build(tmp_path / "run", Synthetic(launch_noise=noise, noise=0.001))
    plan = run.plan_path.read_text().replace('"precision": null', '"precision": {"fraction": 0.05, "limit_s": 60}')
    run.plan_path.write_text(plan)
    (claim,) = [claim for claim in summarise(run).claims if "±5" in claim.text]
    assert told in claim.text.replace("\N{NO-BREAK SPACE}", " ")
