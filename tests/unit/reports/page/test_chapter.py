"""The page's chapter: what it shows is what summary.json says, in a page that stays small and can be walked through."""

import json
import re
from html import unescape

import pytest

from reports.analysis.summary import summarise
from reports.page import page
from reports.page.chapter import solutions
from reports.page.markup import answer_marked, environment
from reports.wording.tally import Tally
from tests import factories
from tests.chapters import SWEPT, ask, counted, spaced
from tests.factories import Synthetic
from tests.pages import Checked, text_of


@pytest.fixture(scope="module")
def chapter(chapter_run):
    return chapter_run, chapter_run.page_path.read_text(encoding="utf-8")


def solved(path, answer, **changes):
    """The only exercise of a run on the page."""
    like = Synthetic(exercises=ask(answer), rounds=4, **changes)
    (found,) = solutions(summarise(factories.build(path / "run", like)))
    return found


def words(html):
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_its_answers_are_those_of_the_summary(chapter):
    run, text = chapter
    rows = json.loads(run.summary_path.read_text())["chapter"]
    shown = re.findall(r'<article class="exercise" id="x\d+">.*?</article>', text, flags=re.DOTALL)
    assert len(rows) == len(shown) == 3
    for row, article in zip(rows, shown, strict=True):
        answer = re.search(r'<p class="answer">(.*?)</p>', article, flags=re.DOTALL)[1]
        assert words(answer) == row["answer"].replace("`", "")
        assert words(re.search("<h3>(.*?)</h3>", article, flags=re.DOTALL)[1]) == (
            f"{row['exercise']} {row['task'].replace('`', '')}"
        )


def test_nothing_in_it_is_left_unescaped(chapter):
    _, text = chapter
    assert "<script>alert" not in text
    assert "<img" not in text
    Checked(text)


def test_it_is_whole_small_and_the_same_each_time(chapter):
    run, text = chapter
    assert text_of(run) == text
    checked = Checked(text)
    assert len(set(checked.ids)) == len(checked.ids)
    assert {link.removeprefix("#") for link in checked.links} <= set(checked.ids)
    assert len(text.encode()) < 200_000 * 7


def test_the_contents_lead_to_everything(chapter):
    _, text = chapter
    nav = re.search("<nav.*?</nav>", text, flags=re.DOTALL)[0]
    links = re.findall(r'<a href="#([^"]+)"( class="bad")?>([^<]*)</a>', nav)
    assert [target for target, _, _ in links[:3]] == ["x0", "x1", "x2"]
    told = [(target, words(name)) for target, _, name in links if target.startswith("c") and target != "cells"]
    assert told == [
        ("c0", "split size=64"),
        ("c1", "16"),
        ("c2", "256"),
        ("c3", "1024"),
        ("c4", "quick"),
        ("c5", "count"),
        ("c6", "plain"),
    ]
    assert {target for target, bad, _ in links if bad} == {"c4", "x1"}


def test_many_comparisons_are_folded_and_few_are_not(chapter, tmp_path):
    _, text = chapter
    assert text.count('<details class="part">') == 7
    assert "every case is ok in every launch" in text
    few = text_of(factories.build(tmp_path / "few", sizes=(1, 2), launches=1))
    assert "<nav" not in few
    assert 'class="part"' not in few


def test_a_run_without_exercises_has_no_chapter(tmp_path):
    run = factories.build(tmp_path / "run", exercises=(), launches=1)
    text = text_of(run)
    assert 'id="chapter"' not in text
    assert json.loads(run.summary_path.read_text())["chapter"] == []


def test_what_fails_stands_before_the_chapter(chapter):
    _, text = chapter
    before, _, behind = text.partition('id="chapter"')
    assert "wrong in 1 of 6 launches" in before
    assert "No rank is slower" not in before
    assert "No rank is slower" in behind


@pytest.mark.parametrize(
    ("answer", "titles"),
    [
        ("{whole.time}", ["Time of one step"]),
        ("{pieces.versus} {whole.speedup}", ["Time of one step"]),
        ("{whole.time} {whole.speedup} {pieces.speedup}", ["Speed-up on 2 devices"]),
        ("{whole.size}", []),
        ("{whole.tme}", []),
    ],
)
def test_the_figure_is_of_what_the_sentence_quotes(tmp_path, answer, titles):
    found = solved(tmp_path, answer)
    assert [figure.title for figure in found.figures] == titles
    devices = [("1 device<" in figure.svg, "2 devices<" in figure.svg) for figure in found.figures]
    expected = {"{whole.time}": [(True, False)], "{pieces.versus} {whole.speedup}": [(True, True)]}
    assert devices == expected.get(answer, devices)


def test_curves_cross_in_a_shaded_bracket(tmp_path):
    found = solved(tmp_path, "{pieces.crossover}, {whole@most.crossover}", **SWEPT)
    assert [figure.title for figure in found.figures] == [
        "Time of one step over size on 1 device",
        "Time of one step over size",
    ]
    variants, devices = (figure.svg for figure in found.figures)
    assert all("fill: var(--wash)" in svg for svg in (variants, devices))
    assert ">pieces</text>" in variants and ">whole</text>" in variants
    assert ">1 device</text>" in devices and ">2 devices</text>" in devices
    unshaded = solved(tmp_path / "none", "{pieces.crossover}", **(SWEPT | {"sizes": (16, 64)}))
    assert "fill: var(--wash)" not in unshaded.figures[0].svg


def test_a_wrong_size_is_no_point_of_a_curve(tmp_path):
    outcomes = {(0, "split[how=pieces,size=256]@1"): ("wrong", 0, "differs")}
    whole = solved(tmp_path / "a", "{pieces.crossover}", **SWEPT).figures[0].svg
    short = solved(tmp_path / "b", "{pieces.crossover}", outcomes=outcomes, **SWEPT).figures[0].svg
    assert short.count("<use") < whole.count("<use")


def test_of_a_sweep_the_page_says_whose_figures_they_are(chapter):
    _, text = chapter
    assert "Figures are those of <code>split size=64</code>" in text


def test_what_was_counted_is_a_table_where_variants_differ(tmp_path):
    found = solved(tmp_path, "{pieces.memory} {pieces.traffic} {whole.p} {whole.same}", counted=counted, found=facts)
    (tally,) = found.tallies
    assert tally.columns == ("memory a step adds", "traffic", "p", "same")
    rows = {name: tuple(map(spaced, values)) for name, values, _ in tally.rows}
    assert rows["pieces on 1"] == ("3.00 MiB", "0 B", "2", "1")
    assert rows["whole on 2"] == ("0 B", "2.57 kB", "1", "1")
    assert solved(tmp_path / "same", "{whole.same}", found=facts).tallies == ()


def facts(case, launch):
    return {"p": 2 if case.variant == "pieces" else 1, "same": 1}


def test_counts_that_say_nothing_are_no_columns(tmp_path):
    plain = text_of(factories.build(tmp_path / "plain", launches=1))
    assert "Counted and checked" not in plain
    full = text_of(factories.build(tmp_path / "full", launches=1, counted=counted, found=facts))
    table = full.partition("Counted and checked")[2].partition("</table>")[0]
    assert re.findall('<th scope="row">([^<]+)</th>', table) == [
        "memory held",
        "memory a step adds",
        "traffic",
        "host reads",
        "p",
        "same",
    ]
    assert "2.57" in table


def test_a_wrong_case_has_no_counts(tmp_path):
    key = "split[how=pieces,size=1024]@2"
    found = summarise(
        factories.build(tmp_path / "run", outcomes={(1, key): ("wrong", 0, "x")}, counted=counted, found=facts)
    )
    row = next(row for row in found.cells if row.key == key)
    assert (row.peak_bytes, row.traffic_bytes, row.host_reads, row.facts) == (None, None, None, {})


def test_names_may_stand_around_a_figure(tmp_path):
    found = solved(tmp_path, "`a < b` and `x {whole.size} y`", launches=1)
    assert answer_marked(found.row) == "<code>a &lt; b</code> and <code>x </code><b>1024</b><code> y</code>"


def test_an_interval_is_quieter_than_its_figure(tmp_path):
    html = answer_marked(solved(tmp_path, "{pieces.versus}").row)
    assert re.fullmatch(r'<b>slower than whole, with \d\d.% more time</b> <span class="interval">\(.*\)</span>', html)


def test_the_timeline_says_what_its_marks_mean(tmp_path):
    text = text_of(factories.build(tmp_path / "run", launches=2))
    timeline = text.partition("In true order")[2].partition("</svg>")[0]
    assert all(f">{name}</text>" in timeline for name in ("whole", "pieces", "1 device", "2 devices"))


def test_a_page_of_one_exercise_is_short(tmp_path):
    run = factories.build(tmp_path / "run", rounds=4)
    page.write(run)
    assert run.page_path.stat().st_size < 200_000


def test_a_table_of_more_counts_than_cases_has_a_line_for_each_count():
    counts = tuple(f"count {place}" for place in range(6))
    told = Tally(counts, (("one", tuple("abcdef"), ""), ("two", ("",) * 6, "wrong")))
    macros = environment().get_template("macros.html.j2").make_module({"many": False})
    text = macros.tally_table(told, "x")
    assert '<th scope="col" class="n">one</th><th scope="col" class="n">two</th>' in text
    assert '<tr><th scope="row">count 0</th><td class="n">a</td><td class="bad" rowspan="6">wrong</td></tr>' in text
    assert '<tr><th scope="row">count 5</th><td class="n">f</td></tr>' in text
