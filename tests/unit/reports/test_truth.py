"""Numbers and sentences of a report are what they say: each of these was once false in some run."""

import json
import re

import numpy as np
import pytest

from harness.journal.run_directory import RunDir
from reports.analysis import summary
from reports.analysis.warnings import DROWNED
from reports.figures.ranks import rank_plot
from reports.figures.section import sections
from reports.formats import formats
from reports.page.drawings import drawings
from reports.statistics.series import Series
from reports.text import units
from tests import factories
from tests.pages import text_of

QUIET = {"noise": 0.002, "launch_noise": 0.002, "variants": ("whole",)}


def found_in(tmp_path, **changes):
    return summary.summarise(factories.build(tmp_path / "run", **(QUIET | changes)))


def plain(text):
    return text.replace(units.THIN, " ").replace(units.TIMES, "x").replace("\N{MINUS SIGN}", "-")


def of_kind(found, kind):
    return [plain(claim.text) for claim in found.claims if claim.kind == kind]


def shares(*parts):
    """What each rank of a gang of several declares of the whole work."""
    return {"share": lambda case, rank: 1.0 if case.gang_size == 1 else parts[rank], "packed": False}


def takes(seconds):
    """So many seconds on several devices, and 100 ms on one."""
    return {
        "truth": lambda case: factories.work_time(case) if case.probe else seconds if case.gang_size > 1 else 0.1,
    }


def test_three_products_on_two_devices_are_at_best_one_and_a_half_times_as_fast(tmp_path):
    found = found_in(tmp_path, **shares(2 / 3, 1 / 3), **takes(0.1 * 2 / 3))
    (row,) = [row for row in found.cells if row.world_size == 2]
    assert row.ideal_speedup == pytest.approx(1.5)
    assert row.ideal_s == pytest.approx(0.1 * 2 / 3, rel=0.01)
    assert row.efficiency == pytest.approx(1.0, rel=0.01)
    assert not row.warnings
    (figures,) = [drawings(part) for part in sections(found)]
    assert "ideally, 66." in plain(figures["time"].sentence)
    (claim,) = of_kind(found, "scaling")
    assert "(at best 1.50x, as its work divides)" in claim
    slower = found_in(tmp_path / "slower", **shares(2 / 3, 1 / 3), **takes(0.075))
    (claim,) = of_kind(slower, "scaling")
    assert "; 91 % of the 1.47x [1.47, 1.47] that its division over two busy devices allows here" in claim


def test_more_than_the_declared_work_allows_is_no_success(tmp_path):
    """Shares of 15/16 and 1/16 allow 1.07x: 1.82x is no 91 % of two devices, but an error of measurement."""
    found = found_in(tmp_path, **shares(15 / 16, 1 / 16), **takes(0.055))
    (row,) = [row for row in found.cells if row.world_size == 2]
    (warning,) = row.warnings
    assert warning.kind == "superlinear"
    assert "but the declared work divides so that 1.07x is the most" in plain(warning.fact)


def test_a_small_ratio_never_reads_as_nothing():
    shown = [plain(units.times(value)) for value in (0.05, 0.0123, 0.00047, 0.0000123)]
    assert shown == ["0.050x", "0.012x", "0.00047x", "0.000012x"]
    assert plain(units.times_between(0.00047, 0.0004, 0.0006)) == "0.00047x [0.00040, 0.00060]"
    assert plain(units.times_between(0.2, 0.0004, 1.3)) == "0.20x [0.0004, 1.30]"
    assert plain(units.percent(0.00012)) == "0.012 %"
    assert plain(units.percent_between(0.00012, 0.0001, 0.0002)) == "0.012 % [0.010, 0.020]"
    assert plain(units.percent_between(0.095, 0.09, 0.1)) == "9.5 % [9.0, 10.0]"
    assert plain(units.percent_between(0.97, 0.961, 0.98)) == "97 % [96, 98]"


def test_plurals_are_words():
    assert plain(units.rate(1200, "pass")) == "1.20 k passes/s"
    assert plain(units.rate(3, "entry")) == "3.00 entries/s"
    assert plain(units.rate(3, "items")) == "3.00 items/s"
    assert (units.count(2, "launch"), units.count(2, "day")) == ("2 launches", "2 days")


def test_nothing_is_said_of_two_times_below_resolution(tmp_path):
    tiny = {"truth": lambda case: 2e-6 if not case.probe else factories.work_time(case), "packed": False}
    found = found_in(tmp_path, variants=("whole", "pieces"), **tiny)
    assert {(row.verdict, row.reason) for row in found.comparisons} == {("undecided", DROWNED)}


def test_a_winner_needs_intervals_that_are_apart(tmp_path):
    """Three variants that are alike have no fastest: neither in the headline nor above a figure."""
    like = {"variants": ("a", "b", "c"), "noise": 0.02, "launch_noise": 0.02}
    found = found_in(tmp_path / "alike", **like)
    assert re.match(r"On 2 devices: 1\.\d\dx to 1\.\d\dx in 3 cases, which are not told apart; ", plain(found.headline))
    (figures,) = [drawings(part) for part in sections(found)]
    assert not re.search("`[abc]`", figures["time"].sentence + figures["speedup"].sentence)
    apart = found_in(tmp_path / "apart", variants=("whole", "each"), truth=_slower_on_two)
    assert re.match(r"On 2 devices: from 1\.\d\dx \(`split how=each`\) to", plain(apart.headline))


def _slower_on_two(case):
    return factories.work_time(case) * (1.2 if case.variant == "each" and case.gang_size > 1 else 1.0)


def test_a_speed_up_says_how_many_launches_it_rests_on(tmp_path):
    base = "split[how=whole,size=1024]@1"
    missing = {(launch, base): ("missing", None, "") for launch in (0, 1, 2)}
    found = found_in(tmp_path, outcomes=missing)
    (row,) = [row for row in found.cells if row.world_size == 2]
    assert (row.launches, row.speedup_launches) == (6, 3)
    assert "a step in 3 launches" in of_kind(found, "scaling")[0]


def test_without_a_claim_to_scale_cycles_are_told_as_times_are(tmp_path):
    """More time at a higher clock is yet more cycles."""
    clocks = {"mhz": lambda case, _: 2000.0 if case.gang_size > 1 else 1760.0, "device_events": True}
    found = found_in(tmp_path, scaling="none", **takes(0.11), **clocks)
    (row,) = [row for row in found.cells if row.world_size == 2]
    assert 1 / row.efficiency == pytest.approx(1.1, rel=0.01)
    assert row.in_cycles.ratio == pytest.approx(1.25, rel=0.01)


def test_not_all_are_narrow_where_one_has_no_interval(tmp_path):
    base = "split[how=whole,size=1024]@1"
    missing = {(launch, base): ("skipped", None, "spent") for launch in (0, 1)}
    run = factories.build(tmp_path / "run", **QUIET, outcomes=missing)
    plan = json.loads(run.plan_path.read_text())
    plan["precision"] = {"fraction": 0.2, "limit_s": 60.0}
    run.plan_path.write_text(json.dumps(plan))
    (claim,) = [text for text in of_kind(summary.summarise(RunDir(run.root)), "caveat") if "20 %" in text]
    assert claim.startswith("Not all times are known to be within ±20 %: `split how=whole` on 1 device has no interval")


def test_what_is_not_comparable_is_nowhere_drawn_as_a_ratio(tmp_path):
    key = "split[how=pieces,size=1024]@2"
    found = found_in(tmp_path, variants=("whole", "pieces"), outcomes={(3, key): ("died", 1, "signal 9")})
    (row,) = [row for row in found.comparisons if row.world_size == 2]
    assert (row.verdict, row.ratio, row.ratio_low) == ("not comparable", None, None)


def test_the_floor_counts_its_own_cases_alone(tmp_path):
    """A time within reach of the device's marks is no matter of the step that does nothing."""
    found = found_in(tmp_path, least=1.0, inner=2, device_events=True)
    assert all(row.below_resolution for row in found.cells)
    (claim,) = of_kind(found, "floor")
    assert "no time here is within its reach; 2 cases within reach of the device’s own marks" in claim


def test_only_the_roof_of_the_numbers_that_a_case_multiplies_is_drawn(tmp_path):
    """All probes of a synthetic GPU are equally fast."""
    like = {"roofs": True, "moved": 3e8, "counted": lambda *_: {"products": ("bfloat16",)}}
    found = found_in(tmp_path, **like)
    assert {row.roof_probe for row in found.cells} == {"gemm_bf16"}
    (figures,) = [drawings(part) for part in sections(found)]
    assert ">bf16<" in figures["roof"].svg
    assert ">fp16<" not in figures["roof"].svg


def test_a_case_that_claims_no_scaling_exports_no_speed_up(tmp_path):
    run = factories.build(tmp_path / "run", scaling="none", **QUIET)
    text = formats.known("openmetrics").write(run)
    assert not [line for line in str(text).splitlines() if line.startswith("rankbench_speedup_ratio{")]


def test_samples_that_echo_count_as_few_however_many_they_are():
    """AR(1) with 0.9: of 4000 samples about 4000 * 0.1 / 1.9 are independent."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(4000)
    for place in range(1, 4000):
        noise[place] += 0.9 * noise[place - 1]
    seconds, start = 1 + 0.01 * noise, np.arange(4000.0)
    series = Series(start, seconds, start, ((0, 4000),), (True,))
    assert series.lag1 == pytest.approx(0.9, abs=0.03)
    assert series.independent == pytest.approx(211, rel=0.35)


def test_ties_say_nothing_of_order():
    """Kendall's S counts the pairs in and against order, and tied ones not at all."""
    seconds = np.array([1.0, 1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 2.0])
    start = np.arange(8.0)
    series = Series(start, seconds, start, ((0, 8),), (True,))
    signs = [np.sign(seconds[j] - seconds[i]) for i in range(8) for j in range(i + 1, 8)]
    assert series.trend[0] == pytest.approx(sum(signs))
    without_ties = 8 * 7 * 21 / 18
    assert series.trend[1] < without_ties * 40


def test_visits_of_a_wrong_case_open_rounds_too(tmp_path):
    """Without them the next case's visit would pass for the first of its round."""
    from reports.analysis.steadiness import openings
    from reports.reading.run import load
    from reports.statistics.measured import measure

    key = "split[how=whole,size=1024]@1"
    built = factories.build(tmp_path / "run", **QUIET, outcomes={(0, key): ("wrong", 0, "differs")})
    sane = factories.build(tmp_path / "sane", **QUIET)
    for run in (built, sane):  # the first case of a round is the wrong one
        factories.edit(
            run, lambda text: text if f'"{key}"' in text else re.sub(r'"position":\[([^\]]*)\]', _later, text)
        )
    assert openings(measure(load(built)))[0, 0] == openings(measure(load(sane)))[0, 0]


def _later(match):
    return f'"position":[{",".join(str(int(place) + 1) for place in match[1].split(","))}]'


def test_the_axis_of_ranks_has_no_negative_times(tmp_path):
    found = found_in(tmp_path, slow_ranks={1: 9.0})
    ticks = [float(tick) for tick in re.findall(r">(-?[\d.]+)×<", rank_plot(found.ranks, "r").replace("−", "-"))]
    assert ticks
    assert min(ticks) > 0


def test_commands_on_the_page_can_be_given_from_where_the_run_was(tmp_path):
    run = factories.build(tmp_path / "run", **QUIET, command="rankbench run split --out runs/slow200 --launches 6")
    text = text_of(run)
    assert f"rankbench report {run.root}" in text
    assert "<pre>rankbench run split --launches 6</pre>" in text
    assert "--out runs/slow200" not in text.partition('id="again"')[2]


def test_the_base_is_named_as_it_was_measured(tmp_path):
    text = plain(text_of(factories.build(tmp_path / "run", **QUIET, world_sizes=(2, 4))))
    assert "Over 2 devices, in the same launches" in text
    assert "Over one device" not in text


def hundred(case):
    """A comparison of a hundred variants, of which the last is by far the slowest."""
    pace = 1 + int(case.variant[1:]) / 1000 if case.variant else 1.0
    return factories.work_time(case.model_copy(update={"variant": None})) * (2.0 if case.variant == "a99" else pace)


def test_a_comparison_of_a_hundred_variants_folds_and_draws_the_surest(tmp_path):
    variants = tuple(f"a{place}" for place in range(100))
    like = {"variants": variants, "truth": hundred, "packed": False, "rounds": 2}
    run = factories.build(tmp_path / "run", **(QUIET | like))
    found = summary.summarise(run)
    (part,) = sections(found)
    assert len(part.drawn) == 12
    assert {"a0", "a99"} <= part.drawn
    figures = drawings(part)
    assert all(">a50<" not in figure.svg for figure in figures.values())
    heights = [float(re.search(r'viewBox="0 0 \d+ ([\d.]+)"', figure.svg)[1]) for figure in figures.values()]
    assert max(heights) < 1000
    text = text_of(run)
    assert "<summary>100 variants, 200 cases</summary>" in text
    assert "Figures show 12 of 100 variants" in text
