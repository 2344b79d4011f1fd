"""The page: deterministic, self-contained, escaped, and silent about what has no time."""

import base64
import hashlib
import json
import re

import pytest

from harness.common.startup import program
from harness.journal.log import Journal
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.records import CellRecord, RankOutcome
from reports import cli
from reports.analysis.summary import summarise
from reports.page import page
from reports.schema.summary import Summary
from reports.text import units
from tests import factories
from tests.chapters import HOSTILE
from tests.pages import Checked, text_of

KEY = "split[how=pieces,size=1024]@2"


def spaced(text):
    return text.replace(units.THIN, " ")


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A page with everything on it: several comparisons, failures of each kind, a slow rank, warnings."""
    outcomes = {
        (2, KEY): ("wrong", 1, HOSTILE),
        (1, "gemm@1"): ("died", 0, "signal 9"),
        (0, "spin@1x2"): ("missing", None, ""),
    }
    run = factories.build(
        tmp_path_factory.mktemp("rich") / "run",
        sizes=(512, 1024),
        variants=("whole", "pieces", "$a$ <b>"),
        slow_ranks={1: 1.2},
        outcomes=outcomes,
        title=HOSTILE,
        command=f"rankbench run {HOSTILE}",
    )
    return run, text_of(run)


def test_what_became_of_each_rank_of_a_lost_gang_is_on_the_page(tmp_path):
    run = factories.build(tmp_path / "run", outcomes={(1, KEY): ("hang", 1, "no sign of life")})
    hung = RankOutcome(rank=1, outcome="rank 1, in step", words=f"in {HOSTILE}")
    outcomes = (RankOutcome(rank=0, outcome="rank 0, which waits"), hung)
    told = CellRecord(launch=1, comparison=0, case=KEY, status="hang", rank=1, message="silence", outcomes=outcomes)
    with Journal(run.journal_path) as journal:
        journal.append(told)
    text = text_of(run)
    Checked(text)
    shown = text[text.index("launch 1: what became of each rank") :]
    assert shown.index("<p>rank 0, which waits</p>") < shown.index("<p>rank 1, in step</p>") < shown.index("<pre>in ")
    assert HOSTILE not in text


def test_two_summaries_are_equal_to_the_byte(rich):
    run, _ = rich
    assert summarise(run).to_json() == run.summary_path.read_text()


def test_the_page_is_made_of_the_summary_and_nothing_else_and_two_renderings_are_equal_to_the_byte(rich):
    run, text = rich
    assert page.render(Summary.model_validate_json(run.summary_path.read_text()), run.root) == text


def test_it_fetches_nothing(rich):
    _, text = rich
    assert not re.search(r"""(?:src|href|url|@import)\s*[=(]?\s*['"]?\s*(?:https?:)?//""", text)
    checked = Checked(text)
    assert all(link.startswith("#") for link in checked.links)
    assert not {"link", "iframe", "object", "embed", "img", "image"} & set(checked.tags)
    assert re.findall(r"url\((?!#)", text) == []


def test_its_policy_allows_its_own_script_and_no_other(rich):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', rich[1])
    (script,) = re.findall(r"<script>(.*?)</script>", rich[1], flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    told = dict(part.split(" ", 1) for part in policy.split("; "))
    assert told == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not re.search(r"fetch|XMLHttpRequest|import|innerHTML|eval|https?:", script)


def test_every_figure_and_table_has_a_name_and_the_content_can_be_skipped_to(rich):
    checked = Checked(rich[1])
    assert checked.links[0] == "#main"
    assert rich[1].count('<main id="main" tabindex="-1">') == 1
    tables = re.findall(r"(<div[^>]*><table[^>]*>)", rich[1])
    assert len(tables) == rich[1].count("<table")
    assert all('aria-label="' in table or 'class="strip"' in table for table in tables)


def test_a_table_that_sorts_has_a_cell_for_every_heading(rich):
    """Rows that share a cell with others could not be moved apart."""
    tables = re.findall(r'<table class="sorts">(.*?)</table>', rich[1], flags=re.DOTALL)
    assert len(tables) > 8
    for table in tables:
        head, *rows = (re.findall(r"<t[hd][ >]", row) for row in re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL))
        assert {len(row) for row in rows} == {len(head)}
        assert "span=" not in table


def test_what_plugins_say_is_escaped(rich):
    _, text = rich
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "$a$ <b>" not in text
    assert "$a$ &lt;b&gt;" in text


def test_ids_are_unique_and_links_end_at_them(rich):
    checked = Checked(rich[1])
    assert len(set(checked.ids)) == len(checked.ids)
    assert {link.removeprefix("#") for link in checked.links} <= set(checked.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", rich[1])) <= set(checked.ids)


def test_it_stays_small(rich):
    assert len(rich[1].encode()) < 900_000


def test_figures_have_names_text_and_the_pages_colours(rich):
    figures = re.findall(r"<svg.*?</svg>", rich[1], flags=re.DOTALL)
    assert len(figures) == 2 * 8 + 1 + 1 + 1  # of each comparison, of the ranks, of the exercise, of all verdicts
    for svg in figures:
        assert re.match(r'<svg class="plot" role="img" aria-label="[^"]+" viewBox="0 0 380 [\d.]+"', svg)
        assert "<text" in svg
        assert "<metadata" not in svg
        assert "font-family" not in svg
        assert not re.search(r"(?:fill|stroke): ?#", svg)


def test_a_cell_that_is_deleted_from_the_journal_is_shown_as_missing(tmp_path):
    run = factories.build(tmp_path / "run")
    assert "1 missing" not in text_of(run)
    told = factories.texts_of(run)
    (gone,) = (text for text in told if f'"case":"{KEY}"' in text and '"launch":3' in text)
    factories.write_texts(run, (text for text in told if text != gone))
    text = text_of(run)
    assert '<span class="bad">1 missing (○)</span>' in text
    assert 'class="not missing" title="launch 3: missing"' in text
    found = Summary.model_validate_json(run.summary_path.read_text())
    assert found.counts["missing"] == 1
    (row,) = (row for row in found.cells if row.key == KEY)
    assert row.status == "missing"
    assert sorted(row.launch_s) == [0, 1, 2, 4, 5]


def test_a_wrong_cell_has_no_time_anywhere(tmp_path):
    """Its true time is one that nothing else has: neither its digits nor a dot of it may be seen."""

    def truth(case):
        return 0.7531 if case.key == KEY else factories.work_time(case)

    told = {"truth": truth, "noise": 0, "launch_noise": 0}
    sane = text_of(factories.build(tmp_path / "sane", **told))
    assert "753 ms" in spaced(sane)
    run = factories.build(tmp_path / "run", outcomes={(4, KEY): ("wrong", 0, "differs")}, **told)
    text = text_of(run)
    assert "753" not in spaced(text)
    row = next(row for row in json.loads(run.summary_path.read_text())["cells"] if row["key"] == KEY)
    assert row["status"] == "wrong"
    numbers = ("median_s", "ci_low_s", "ci_high_s", "speedup", "efficiency", "rate", "skew_s", "first_s", "ideal_s")
    assert {name: row[name] for name in numbers} == dict.fromkeys(numbers)
    assert row["launch_s"] == {}
    assert sane.count("<use") > text.count("<use")
    assert "wrong (rank 0)" in spaced(text)
    assert f"rankbench run --resume {run.root} --retry-failed" in text and "--retry-failed" not in sane


def test_what_is_missing_is_shown_as_missing(tmp_path):
    text = text_of(factories.build(tmp_path / "run", outcomes={(5, KEY): ("missing", None, "")}))
    assert 'class="not missing"' in text
    assert "1 missing" in text
    assert "missing, 5 of 6" in text


def test_launches_that_give_cause_for_a_warning_carry_its_mark(tmp_path):
    load = MeasurementWarning(
        kind=Kind.FOREIGN_LOAD, fact="rank 0 waited for its core 31 % of the time (limit 5 %)", rank=0
    )
    run = factories.build(
        tmp_path / "run",
        warnings={(2, KEY): (load,), (4, KEY): (load,)},
        clock=lambda i, count: (1980.0 - 400 * (i > count / 2), 0x40 if i > count / 2 else 0),
    )
    (timeline,) = re.findall(r"<svg[^>]*Step times in true order.*?</svg>", text_of(run), flags=re.DOTALL)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", timeline)
    marks = {name: texts[place + 1] for place, name in enumerate(texts[:-1]) if name.startswith("launch ")}
    told = {name: mark for name, mark in marks.items() if not mark.startswith("launch")}
    assert told == {f"launch {i}": "ab" if i in (2, 4) else "a" for i in range(6)}
    kinds = [warning.kind for row in page.summarise(run).first for warning in row.warnings]
    assert list(dict.fromkeys(kinds)) == [Kind.THROTTLED, Kind.FOREIGN_LOAD]
    held = sum(len(trace.held_back) for trace in page.summarise(run).traces)
    assert held == 6 * 4 * 5  # of twelve samples the last five, in each launch of each case


def test_no_difference_is_said_so(tmp_path):
    def same(case):
        return factories.work_time(case.model_copy(update={"variant": None}))

    text = text_of(factories.build(tmp_path / "run", truth=same))
    assert "no difference" in text.partition("<main ")[2].partition('<h3 id="cells"')[0]
    assert not re.search(
        r"slower|faster", text.partition('id="method"')[0].partition("<main ")[2].replace("No rank is slower", "")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"launches": 1, "world_sizes": (1,)},
        {"launches": 1, "world_sizes": (1,), "variant_field": None, "probes": False},
        {"launches": 6, "done": 0},
        {"packed": False, "probes": False},
        {"world_sizes": (2, 4)},
        {"scaling": "none"},
        {"devices": ("cuda:0", "cuda:0")},
        {"rounds": 1, "visits": 1},
        {"device_events": True},
        {"variants": tuple(f"variant-number-{i}-with-a-long-name" for i in range(9)), "launches": 2},
    ],
)
def test_every_shape_of_run_has_a_page(tmp_path, changes):
    run = factories.build(tmp_path / "run", **changes)
    Checked(text_of(run))


def test_warnings_stand_by_the_number_with_their_remedy(tmp_path):
    text = text_of(factories.build(tmp_path / "run", launches=3))
    assert '<td class="mark">a</td>' in text
    assert "few launches: use --launches 6 or more for an interval." in text


def test_numbers_on_the_page_are_in_the_summary(rich):
    """Every time with a unit in the tables is one of summary.json's, to the digits shown."""
    run, text = rich
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    known = [abs(value) for value in numbers(json.loads(run.summary_path.read_text()))]
    for table in re.findall(r"<table.*?</table>", spaced(text), flags=re.DOTALL):
        for shown, unit in re.findall(r">(\d+\.?\d*) (ms|µs|ns|s)\b", table):
            value, step = float(shown) * scale[unit], 10.0 ** -len(shown.partition(".")[2]) * scale[unit]
            assert any(abs(value - other) <= 0.51 * step for other in known), (shown, unit)


def numbers(told):
    if isinstance(told, dict):
        return [each for value in told.values() for each in numbers(value)]
    if isinstance(told, list):
        return [each for value in told for each in numbers(value)]
    return [told] if isinstance(told, float) else []


def test_the_command_writes_both_files(tmp_path):
    runs = [factories.build(tmp_path / name, launches=1) for name in ("a", "b")]
    made = list(cli.report([run.root for run in runs]))
    assert [each.page for each in made] == [run.page_path for run in runs]
    assert [each.summary.to_json() for each in made] == [run.summary_path.read_text() for run in runs]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("rankbench run split --out runs/x --seed 1", "rankbench run split --seed 1"),
        ("rankbench run split '--out=my runs/x'", "rankbench run split"),
        ("rankbench run 'a b.py:Mine'", "rankbench run 'a b.py:Mine'"),
        ("rankbench run --out", "rankbench run"),
        ("rankbench 'run", "rankbench 'run"),
    ],
)
def test_a_run_is_measured_again_in_another_folder_than_the_one_it_has_filled(command: str, shown: str) -> None:
    assert page._elsewhere(command, program(1, None)) == shown


@pytest.mark.parametrize(("ranks", "local"), [(8, 8), (16, 8)])
def test_under_torchrun_a_run_is_measured_again_by_as_many_ranks_on_each_host(ranks: int, local: int) -> None:
    begin = program(ranks, local)
    again = page._elsewhere(f"{begin} run split --out runs/x --seed 1", begin)
    assert again == f"{begin} run split --seed 1 --out runs/again"
