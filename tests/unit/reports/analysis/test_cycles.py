"""Comparisons in clock cycles: code is told from clock, in journals whose times and clocks are known."""

import io

import numpy as np
import pytest
from rich.console import Console

from harness.journal.plan import Side
from reports.analysis import cycles, summary
from reports.compare import render
from reports.compare.compare import compare
from reports.page import page
from reports.reading.samples import CaseSamples
from reports.text import units
from tests import factories

QUIET = {"noise": 0.002, "launch_noise": 0.002, "probes": False, "packed": False}
DUEL = (Side(name="a"), Side(name="b"))


def cool(case, side):
    """Variant ``pieces`` makes its devices hold back: they run at 90 %; so do two devices, and side b."""
    return 2000.0 * (0.9 if "pieces" in (case.variant, side) or side == "b" else 1.0)


def as_much_work(case):
    """Both variants take 200 million cycles; seconds differ by the clock alone."""
    return 0.2e9 / case.world_size / (cool(case, "") * 1e6)


def found(tmp_path, **changes):
    return summary.summarise(factories.build(tmp_path / "run", **(QUIET | changes)))


def test_a_difference_of_clocks_alone_is_none_in_cycles_and_one_sentence_says_so(tmp_path):
    told = found(tmp_path, truth=as_much_work, mhz=cool)
    for row in told.comparisons:
        assert row.verdict == "slower" and row.ratio == pytest.approx(1 / 0.9, rel=0.01)
        assert row.in_cycles.ratio == pytest.approx(1, rel=0.01)
        assert row.in_cycles.ratio_low < row.in_cycles.ratio < row.in_cycles.ratio_high
        assert row.in_cycles.clock == pytest.approx(0.9, rel=0.001)
        assert row.in_cycles.disagrees
    sentences = [claim.text for claim in told.claims if claim.kind == "comparison"]
    assert len(sentences) == 2
    for text in sentences:
        assert (
            text.count("In clock cycles, which leave the clock out, it is") == 1
            and f"ran at {units.percent(0.9)} of the other's" in text
        )


def test_where_clocks_are_alike_cycles_say_what_seconds_say_and_no_sentence_is_spent(tmp_path):
    told = found(tmp_path, mhz=lambda *_: 1500.0)
    for row in told.comparisons:
        ends = (row.in_cycles.ratio, row.in_cycles.ratio_low, row.in_cycles.ratio_high, row.in_cycles.clock)
        assert ends == pytest.approx((row.ratio, row.ratio_low, row.ratio_high, 1.0))
        assert not row.in_cycles.disagrees
    assert not any("cycles" in claim.text for claim in told.claims)


def test_the_same_verdict_at_a_surely_other_clock_is_told_too(tmp_path):
    told = found(tmp_path, truth=lambda case: as_much_work(case) * (1.5 if case.variant == "pieces" else 1), mhz=cool)
    for row in told.comparisons:
        assert row.verdict == "slower" and row.in_cycles.ratio == pytest.approx(1.5, rel=0.01)
        assert row.in_cycles.disagrees


def test_clocks_within_the_margin_are_told_only_where_they_make_the_verdict(tmp_path):
    """Clocks are 3 % apart, and the margin is 5 %."""

    def mhz(case, _):
        return 2000.0 * (0.97 if case.variant == "pieces" else 1.0)

    for extra, verdict, disagrees in ((1.035, "slower", True), (1.2, "slower", False), (1.0, "equivalent", False)):

        def truth(case, extra=extra):
            return 0.1 / case.world_size * (extra / 0.97 if case.variant == "pieces" else 1.0)

        for row in found(tmp_path / str(extra), truth=truth, mhz=mhz).comparisons:
            assert (row.verdict, row.in_cycles.disagrees) == (verdict, disagrees)


def test_equal_seconds_at_another_clock_are_no_equal_work(tmp_path):
    told = found(tmp_path, truth=lambda case: 0.1 / case.world_size, mhz=cool)
    for row in told.comparisons:
        assert row.verdict == "equivalent"
        assert row.in_cycles.ratio == pytest.approx(0.9, rel=0.01) and row.in_cycles.disagrees


@pytest.mark.parametrize(("scaling", "due"), [("strong", 1.0), ("weak", 2.0), ("none", 1.0)])
def test_world_sizes_are_compared_in_cycles_too(tmp_path, scaling, due):
    """Two devices hold back to 80 %: their seconds have the clock in them, and their cycles do not."""

    def mhz(case, side):
        return 2000.0 * (0.8 if case.world_size == 2 else 1.0)

    told = found(tmp_path, scaling=scaling, variants=("whole",), truth=lambda case: 2e8 / mhz(case, "") / 1e6, mhz=mhz)
    (row,) = [row for row in told.cells if row.world_size == 2]
    assert row.speedup == pytest.approx(0.8 * due, rel=0.01)
    assert row.in_cycles.ratio == pytest.approx(due, rel=0.01) and row.in_cycles.disagrees
    assert row.in_cycles.ratio_low < row.in_cycles.ratio < row.in_cycles.ratio_high
    assert row.in_cycles.clock == pytest.approx(0.8, rel=0.001)
    assert all(row.in_cycles is None for row in told.cells if row.world_size == 1)


def test_a_duel_s_sides_are_compared_in_cycles_turn_by_turn(tmp_path):
    told = found(tmp_path, sides=DUEL, launches=12, pace={"b": 1 / 0.9}, mhz=cool, variants=("whole",))
    for row in told.sides:
        assert row.verdict == "slower" and row.in_cycles.disagrees
        assert row.in_cycles.ratio == pytest.approx(1, rel=0.01)
    assert any("is slower on `b`" in claim.text and "In clock cycles" in claim.text for claim in told.claims)


def compared(tmp_path, **changes):
    like = QUIET | {"variants": ("whole",)}
    base = factories.build(tmp_path / "base", **(like | {"mhz": lambda *_: 2000.0}))
    new = factories.build(tmp_path / "new", **(like | {"seed": 8} | changes))
    return compare(base.root, new.root, None)


def shown(told, form):
    console = Console(file=io.StringIO(), width=200)
    render.printed(told, form, console)
    return console.file.getvalue()


def test_two_runs_are_compared_in_cycles_as_runs_are(tmp_path):
    told = compared(tmp_path, truth=lambda case: factories.work_time(case) / 0.9, mhz=lambda *_: 1800.0)
    for row in told.cases:
        assert row.verdict == "slower" and row.in_cycles.disagrees
        assert row.in_cycles.ratio == pytest.approx(1, rel=0.01) and row.in_cycles.ratio_low < 1.01
        assert row.in_cycles.clock == pytest.approx(0.9, rel=0.001)
    for form in ("table", "markdown"):
        text = shown(told, form)
        assert "in cycles" in text and "In clock cycles, which leave the clock out, it is" in text


def test_launches_of_two_runs_are_no_pairs(tmp_path):
    told = compared(tmp_path, launches=8, mhz=lambda *_: 2000.0)
    for row in told.cases:
        ends = (row.in_cycles.ratio, row.in_cycles.ratio_low, row.in_cycles.ratio_high)
        assert ends == pytest.approx((row.ratio, row.ratio_low, row.ratio_high), rel=1e-9)


@pytest.mark.parametrize("mhz", [None, lambda *_: 0.0])
def test_where_one_side_has_no_clocks_there_are_no_cycles(tmp_path, mhz):
    told = compared(tmp_path, mhz=mhz)
    assert all(row.in_cycles is None and row.ratio for row in told.cases)
    assert "In clock cycles" not in shown(told, "table")
    bare = found(tmp_path, mhz=mhz)
    assert all(row.in_cycles is None for row in (*bare.comparisons, *bare.cells))


def test_the_clock_of_a_sample_is_that_of_its_slowest_rank():
    starts, ends = np.zeros((2, 3)), np.array([[2.0, 1.0, 2.0], [1.0, 3.0, 1.0]])
    mhz = np.array([[1000.0, 9.0, 1000.0], [9.0, 500.0, 9.0]])
    taken = CaseSamples(round=np.arange(3), position=np.arange(3), start_s=starts, end_s=ends, clock_mhz=mhz)
    assert cycles._cycles(taken, 2) == 1e9  # the median of 1, 0.75 and 1


def test_the_page_has_them_beside_the_seconds_only_where_there_are_clocks(tmp_path):
    run = factories.build(tmp_path / "run", **(QUIET | {"truth": as_much_work, "mhz": cool}))
    page.write(run)
    text = run.page_path.read_text()
    assert (
        text.count(f'class="bad">{units.times(1.0)} in cycles</small>') == 2
    )  # of both variants against their baseline
    assert text.count(" in cycles</small>") == 2 + 2  # and of both speed-ups, whose clocks are alike
    assert "In clock cycles, which leave the clock out, it is" in text
    bare = factories.build(tmp_path / "bare", **QUIET)
    page.write(bare)
    assert "in cycles</small>" not in bare.page_path.read_text()
