"""Forests, ranks over time, distributions and roofs: drawn from the summary, each with a true sentence."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.journal.plan import Side
from reports.analysis.ranks import behind, bins
from reports.analysis.summary import summarise
from reports.figures.axes import ratio_axis, tick_change
from reports.figures.contrasts import MOST, Branch, forest_plot, side_forests, sorted_forest, surest, variant_forest
from reports.figures.scaling import speedup_plot
from reports.figures.section import sections, span
from reports.figures.svg import blank, styled
from reports.page.drawings import drawings
from reports.text import units
from tests import factories
from tests.pages import text_of

ratios = st.floats(0.2, 5.0)


def spaced(text):
    return text.replace(units.THIN, " ").replace(units.TIMES, "x")


def drawn(run):
    found = summarise(run)
    return found, [drawings(part) for part in sections(found)]


@st.composite
def branches(draw):
    ends = sorted(draw(st.lists(ratios, min_size=3, max_size=3)))
    sure = draw(st.booleans())
    return Branch("x", ends[1], ends[0] if sure else None, ends[2] if sure else None, "undecided", 0.05)


@given(st.lists(branches(), max_size=60))
def test_a_forest_goes_from_the_surely_fastest_to_the_surely_slowest_and_drops_the_least_sure(told):
    kept = surest(told)
    assert len(kept) == min(len(told), MOST)
    assert [each.sure for each in kept] == sorted(each.sure for each in kept)
    assert sorted_forest(kept) == kept
    left = [abs(each.sure) for each in told]
    for each in kept:
        left.remove(abs(each.sure))
    assert not left or max(left) <= min(abs(each.sure) for each in kept)


@pytest.mark.parametrize(("low", "high"), [(0.95, 1.1), (0.4, 4.0), (0.1, 1.0), (0.02, 50.0)])
def test_a_scale_can_be_read_however_wide_it_is(low, high):
    drawn = forest_plot([Branch("case", 1.0, low, high, "undecided", 0.05)], "time", "wide")
    ticks = set(re.findall(r">([-+−]?[0-9.e+]+) %<", spaced(drawn).replace("\N{NO-BREAK SPACE}", " ")))
    assert len(ticks) >= 3, ticks


def test_variants_of_several_comparisons_are_in_one_forest_with_their_verdicts(tmp_path):
    found = summarise(factories.build(tmp_path / "run", variants=("whole", "pieces", "halves"), sizes=(512, 1024)))
    forest = variant_forest(found)
    rows = [row for row in found.comparisons if row.world_size == 2]
    assert [(branch.ratio, branch.verdict) for branch in forest.branches] == [(row.ratio, row.verdict) for row in rows]
    assert forest.sentence == "Of 4 ratios 2 slower and 2 no difference."
    for row in rows:
        assert f"{row.variant} size={row.params['size']}" in forest.svg
        assert units.change(row.ratio).replace(units.THIN, " ") in forest.svg


def test_what_cannot_be_compared_is_counted_and_not_drawn(tmp_path):
    outcomes = {(0, "split[how=pieces,size=512]@2"): ("wrong", 0, "differs")}
    variants = ("whole", "pieces", "halves")
    forest = variant_forest(
        summarise(factories.build(tmp_path / "a", variants=variants, sizes=(512, 1024), outcomes=outcomes))
    )
    assert forest.sentence == "Of 4 ratios 1 slower, 2 no difference and 1 not comparable."
    assert "pieces size=512" not in forest.svg


def test_one_comparison_has_no_forest_beside_its_own_plot(tmp_path):
    assert variant_forest(summarise(factories.build(tmp_path / "run", variants=("whole", "pieces", "halves")))) is None


def test_sides_have_a_forest_with_the_control_beside_each_ratio(tmp_path):
    sides = (Side(name="a"), Side(name="b"), Side(name="a-again", control=True))
    found = summarise(factories.build(tmp_path / "run", sides=sides, pace={"b": 1.2}, launches=18, launch_noise=0.0))
    (forest,) = side_forests(found)
    against = {row.key: row.ratio for row in found.sides if row.control}
    own = {row.key: row for row in found.sides if not row.control}
    assert [branch.ratio for branch in forest.branches] == [row.ratio for row in own.values()]
    assert [branch.control for branch in forest.branches] == [against[key] for key in own]
    assert forest.sentence == f"Of {len(own)} ratios {len(own)} slower."


@given(st.integers(2, 6), st.integers(1, 40), st.integers(1, 12), st.randoms(use_true_random=False))
def test_bins_hold_every_sample_and_ranks_that_are_alike_are_not_behind(ranks, samples, most, luck):
    one = np.array([luck.uniform(1, 2) for _ in range(samples)])
    binned = bins(np.stack([one] * ranks), most)
    assert binned.shape == (ranks, min(most, samples))
    assert np.allclose(behind(binned), 0)
    assert min(one) <= binned.min() <= binned.max() <= max(one)


def test_a_rank_that_is_slow_for_a_while_is_dark_then_and_then_alone(tmp_path):
    """Both ranks of a case share the course of a launch: a rank's own pace is what is behind."""
    run = factories.build(tmp_path / "run", world_sizes=(1, 4), slow_ranks={2: 1.3}, noise=0.0, launch_noise=0.0)
    found, (figures,) = drawn(run)
    assert {row.world_size for row in found.heat} == {4}
    for row in found.heat:
        excess = np.array(row.excess)
        assert excess.shape == (4, len(row.launches))
        assert sorted(set(row.launches)) == list(range(6))
        assert excess[2] == pytest.approx(0.3, abs=1e-3)
        assert np.delete(excess, 2, axis=0) == pytest.approx(0.0, abs=1e-3)
    assert spaced(figures["heat"].sentence).startswith(
        "Rank 2 (cpu:2) is slow; furthest behind its peers at any time was rank 2"
    )
    assert "by 30 %" in spaced(figures["heat"].sentence)


def test_distributions_are_the_traces_quantiles_and_the_widest_is_told(tmp_path):
    found, (figures,) = drawn(factories.build(tmp_path / "run", rounds=40, noise=0.03))
    own = [trace for trace in found.traces if trace.key.endswith("@2")]
    widest = max((trace.at(0.95) - trace.at(0.05)) / trace.at(0.5) for trace in own)
    assert f"span up to {units.percent(widest)} of its time" in figures["spread"].sentence
    assert figures["spread"].svg.count("<path") >= 2


def test_the_ideal_time_is_told_and_drawn(tmp_path):
    found, (figures,) = drawn(factories.build(tmp_path / "run", variants=("whole",), variant_field=None))
    row = next(row for row in found.cells if row.world_size == 2)
    expected = f"On 2 devices a step takes {units.seconds(row.median_s)}; ideally, {units.seconds(row.ideal_s)}."
    assert figures["time"].sentence == expected
    assert "Dashed: the ideal, the base" in text_of(factories.build(tmp_path / "again"))
    loose = text_of(factories.build(tmp_path / "none", scaling="none"))
    assert "Dashed: the ideal, the base" not in loose


def test_a_variant_is_named_at_an_end_only_where_its_interval_is_apart_from_all_others(tmp_path):
    found = summarise(factories.build(tmp_path / "run", variants=("whole", "pieces", "halves")))
    rows = [row for row in found.cells if row.world_size == 2]

    def told(*ends):
        by_variant = dict(zip((row.variant for row in rows), ends, strict=True))
        return span(rows, lambda row: by_variant[row.variant], "{:g}".format)

    assert told((1, 0.9, 1.1), (2, 1.9, 2.1), (3, 2.9, 3.1)) == "from 1 (`whole`) to 3 (`halves`)"
    assert told((1, 0.9, 1.1), (2, 1.9, 2.95), (3, 2.9, 3.1)) == "from 1 (`whole`) to 3"
    assert told((1, 0.9, 2), (2, 1.9, 2.1), (3, 2.9, 3.1)) == "from 1 to 3 (`halves`)"
    assert told((1, 0.9, 2), (2, 1.9, 2.95), (3, 2.9, 3.1)) == "1 to 3"
    assert told((1, 0.9, 1.1), (2, None, None), (3, 2.9, 3.1)) == "1 to 3"


def test_curves_of_speedups_are_solid_for_what_is_dashed_or_dotted_is_a_bound(tmp_path):
    rows = summarise(factories.build(tmp_path / "run", variants=("whole", "pieces", "halves", "more"))).cells
    plot = speedup_plot(rows, "x")
    dashed = re.findall(r"<path [^>]*stroke-dasharray[^>]*>", plot)
    assert dashed
    assert all("var(--quiet)" in each for each in dashed)


def test_names_in_a_forest_differ_after_they_were_cut_and_ticks_and_markers_have_room():
    names = ["lazy way=a-very-long-name-of-one", "lazy way=a-very-long-name-of-two"]
    ratios = (0.002, 1.4)
    plot = forest_plot(
        [Branch(n, r, r / 1.1, r * 1.1, "faster", 0.05) for n, r in zip(names, ratios, strict=True)], "t", "x"
    )
    assert "name-of-one<" in plot
    assert "name-of-two<" in plot
    figure, axes = blank(100, left=150, right=118)
    with styled():
        ratio_axis(axes, [0.94, 1.57], 0.05, "t", tick_change)
        figure.canvas.draw()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        low, high = axes.get_xlim()
    inside = [box for box, at in zip(boxes, axes.get_xticks(), strict=True) if low <= at <= high]
    assert len(inside) > 1
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(inside))


def test_launches_that_give_cause_for_a_warning_are_told(tmp_path):
    _, (figures,) = drawn(factories.build(tmp_path / "run", rounds=40, drift=0.5, noise=0.001))
    assert re.fullmatch(r"Drift \(\w\) in every launch\.", figures["order"].sentence)
    _, (figures,) = drawn(factories.build(tmp_path / "calm", rounds=40))
    assert figures["order"].sentence == "All 6 launches were steady."


def test_cases_are_held_against_the_roof_of_the_same_run(tmp_path):
    found, (figures,) = drawn(factories.build(tmp_path / "cpu"))
    shares = sorted(row.rate / row.roof for row in found.cells if row.world_size == 2)
    told = spaced(figures["roof"].sentence)
    assert told == spaced(
        f"On 2 devices cases reach from {units.percent(shares[0])} (`pieces`) to {units.percent(shares[1])} (`whole`) "
        "of what a large product does."
    )
    assert "Roofline" not in figures["roof"].svg
    _, (figures,) = drawn(factories.build(tmp_path / "gpu", roofs=True, moved=3e8))
    assert "Roofline" in figures["roof"].svg
    assert ">copy<" in figures["roof"].svg
    _, (figures,) = drawn(factories.build(tmp_path / "none", probes=False))
    assert "roof" not in figures


def test_every_figure_of_a_comparison_has_a_sentence_and_a_way_to_its_numbers(tmp_path):
    text = text_of(factories.build(tmp_path / "run", world_sizes=(1, 2, 4)))
    figures = re.findall(r"<figure><h3>.*?</figure>", text.partition('<section id="c0">')[2], flags=re.DOTALL)
    own = [each for each in figures if '<p class="says">' in each]
    assert len(own) == 8
    ids = set(re.findall(r' id="([^"]+)"', text))
    for each in own:
        assert each.index("says") < each.index("<svg") < each.index("<figcaption>")
        (target,) = re.findall(r'<a href="#([^"]+)">In numbers</a>', each)
        assert target in ids


def test_of_ticks_that_are_too_near_the_greater_one_stays():
    from reports.figures.scaling import _apart

    assert _apart([0.0, 0.01, 0.02, 0.3, 1.0]) == [2, 3, 4]
    assert _apart([0.0, 0.5, 1.0]) == [0, 1, 2]
