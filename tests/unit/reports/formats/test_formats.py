"""A run in the formats of other tools, each read by that tool's own parser or by a strict one."""

from __future__ import annotations

import builtins
import io
import json
import re
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.cli import app
from harness.common.errors import UsageError
from harness.journal.plan import Exercise, Side
from reports.analysis import summary
from reports.formats import formats
from reports.formats import markdown as md
from reports.formats.comment import markdown
from tests import factories, hostile

EVIL = hostile.EVERYTHING.replace("\ud800", "")
"""A journal cannot hold half a surrogate pair."""
PIECES, WHOLE = (f"split[how={how},size=1024]@2" for how in ("pieces", "whole"))
OUTCOMES = {
    (1, PIECES): ("wrong", 1, "Tensor-likes are not close!"),
    (2, "null@2"): ("error", 0, "boom"),
    (3, "split[how=whole,size=512]@2"): ("oom", 0, "tried to allocate"),
    (4, "split[how=pieces,size=512]@1"): ("skipped", None, "the budget was spent"),
    (5, "split[how=pieces,size=512]@2"): ("missing", None, ""),
}
TEXTS = [name for name in formats.FORMATS if name != "parquet"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "run"
    return factories.build(root, sizes=(512, 1024), rounds=4, outcomes=OUTCOMES)


@pytest.fixture(scope="module")
def found(run):
    return summary.summarise(run)


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A run whose every text is foreign, and whose worst variant is wrong, too."""
    root = tmp_path_factory.mktemp("evil") / "run"
    key = f"split[how={EVIL},note={EVIL},size=1024]@2"
    return factories.build(
        root,
        variants=("whole", EVIL),
        params={"note": EVIL},
        rounds=4,
        outcomes={(0, key): ("wrong", 1, EVIL)},
        exercises=(Exercise(number=EVIL, task=EVIL, answer=EVIL.replace("{", "(").replace("}", ")")),),
        title=EVIL,
        command=EVIL,
    )


def test_every_format_is_known_to_the_help(capsys):
    assert app.run_app(["export", "--help"]) == 0
    told = re.findall(r"^  ([a-z][a-z-]*)(?:  +\S.*)?$", capsys.readouterr().out, re.MULTILINE)
    assert told == list(formats.FORMATS)


@pytest.mark.parametrize("form", TEXTS)
def test_texts_go_where_they_are_asked_to(run, form, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert app.run_app(["export", str(run.root), "--format", form]) == 0
    text = capsys.readouterr().out
    assert text == formats.export(run, form)
    assert text.endswith("\n")
    assert app.run_app(["export", str(run.root), "--format", form, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_text() == text


@pytest.mark.parametrize("form", TEXTS)
def test_a_wrong_case_has_no_time_anywhere(run, form):
    """Its time is about 80 ms: no line that names it has such a figure, nor one of those up to the next name."""
    text = formats.export(run, form)
    told, its = [], False
    for line in text.splitlines():
        cells = line.split(",")
        if form == "csv":
            its = cells[3:6] == ["pieces", "2", "False"] and cells[-1] == "1024"
        elif re.search(r"split\[?.*how=|\"key\"|<testcase|\"name\"", line):
            its = PIECES in line or "`split how=pieces size=1024` | 2 " in line
        told += [line] if its and re.search(r"\b0\.0[78]\d+|\b[78]\d\.\d", line) else []
    assert PIECES in text or form in {"csv", "github-action-benchmark"}
    assert told == []


def test_the_json_is_the_summary(run, found):
    assert formats.export(run, "json") == found.to_json()


def test_parquet_has_what_the_csv_has(run, tmp_path):
    path = tmp_path / "samples.parquet"
    assert app.run_app(["export", str(run.root), "--format", "parquet", "--out", str(path)]) == 0
    table, text = pd.read_parquet(path), formats.export(run, "csv")
    assert table.to_csv(index=False, lineterminator="\n") == text
    assert (str(table["size"].dtype), str(table["how"].dtype), str(table["rank"].dtype)) == ("Int64", "string", "Int64")


def test_parquet_takes_parameters_of_several_kinds(tmp_path):
    one = factories.Synthetic(scenario="one", params={"x": 1, "y": True, "z": 2**70, "w": 1}, rounds=4, launches=1)
    other = factories.Synthetic(scenario="other", params={"x": "a", "y": False, "w": 0.5}, rounds=4, launches=1)
    told = formats.export(factories.build(tmp_path / "run", one, other), "parquet")
    table = pd.read_parquet(io.BytesIO(told))
    assert {name: str(table[name].dtype) for name in "xyzw"} == {
        "x": "string", "y": "boolean", "z": "string", "w": "Float64",
    }  # fmt: skip
    assert set(table["z"].dropna()) == {str(2**70)}


@pytest.mark.parametrize("params", [{}, {"side": 3}])
def test_samples_of_all_sides_are_there_and_told_apart(tmp_path, params):
    sides = (Side(name="torchrun"), Side(name="ray", launcher="ray"))
    like = {"sides": sides, "launches": 4, "rounds": 4, "params": params}
    told = factories.build(tmp_path / "run", outcomes={(0, WHOLE): ("wrong", 0, "off")} if not params else {}, **like)
    table = pd.read_parquet(io.BytesIO(formats.export(told, "parquet")))
    text = formats.export(told, "csv")
    assert table.to_csv(index=False, lineterminator="\n") == text
    assert list(table.columns[:3]) == ["launch", "side", "comparison"]
    plan = told.plan()
    assert {(launch, side) for launch, side in zip(table["launch"], table["side"], strict=True)} == {
        (launch, plan.side_of(launch).name) for launch in range(4)
    }
    assert list(table.columns[-3:]) == (["how", "param_side", "size"] if params else ["status", "how", "size"])
    if not params:
        case = table[(table["how"] == "whole") & (table["world_size"] == 2) & ~table["packed"]]
        bare = case[case["seconds"].isna()]
        assert set(bare["side"]) == {
            plan.side_of(0).name
        }  # wrong there, in a launch: no seconds in any of its launches
        assert len(case) - len(bare) == 2 * 2 * 8


def test_parquet_goes_to_a_pipe_but_not_to_a_terminal(run, capfdbinary, monkeypatch):
    assert app.run_app(["export", str(run.root), "--format", "parquet"]) == 0
    assert capfdbinary.readouterr().out[:4] == b"PAR1"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert app.run_app(["export", str(run.root), "--format", "parquet"]) == 2
    assert b"--out is missing, but parquet is no text" in capfdbinary.readouterr().err


def test_without_pyarrow_the_remedy_is_told(run, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("pandas.io.parquet.import_optional_dependency", lambda name, **_: absent(name))
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"needs pyarrow, which is not installed; pip install -e '\.\[parquet\]'"):
        formats.export(run, "parquet")


def as_html(text):
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def test_the_comment_tells_failures_first_and_folds_the_table(run, found):
    text = formats.export(run, "markdown")
    assert len(text) < 65_536
    lines = text.splitlines()
    assert lines[0].startswith("### On 2 devices: ")
    assert lines[2] == "| not ok | what became of it |"
    bad = lines[4 : lines.index("", 4)]
    assert [line.split("`")[1] for line in bad] == [
        "split[how=pieces,size=512]@1",
        "split[how=whole,size=512]@2",
        "split[how=pieces,size=512]@2",
        "null@2",
        "split[how=pieces,size=1024]@2",
        "null@2",
    ]
    assert "wrong in 1 of 6 launches (rank 1: Tensor-likes are not close!)" in bad[4]
    assert "<details><summary>8 cases</summary>" in text
    assert as_html(text).count("<tr>") == (1 + 6) + (1 + 8)
    (row,) = [row for row in found.cells if row.key == "split[how=whole,size=1024]@2"]
    assert f"| 2 | {row.median_s * 1e3:.1f}" in text


def test_a_run_that_is_well_shows_its_table_at_once(tmp_path):
    text = formats.export(factories.build(tmp_path / "run", rounds=4), "markdown")
    assert "<details open><summary>4 cases</summary>" in text
    assert "not ok |" not in text


@pytest.mark.parametrize("limit", [3_000, 10_000, md.COMMENT, md.JOB_SUMMARY])
def test_markdown_stays_below_any_limit(tmp_path, limit):
    found = summary.summarise(factories.build(tmp_path / "run", rounds=4, launches=1))
    row, cell = found.cells[0], found.strip[0]
    cells = tuple(row.model_copy(update={"params": {"what": f"{place} {hostile.LONG}"}}) for place in range(2000))
    failed = {"status": "died", "message": hostile.LONG}
    strip = tuple(cell.model_copy(update=failed | {"case": f"{place} {hostile.LONG}"}) for place in range(1000))
    text = markdown(found.model_copy(update={"cells": cells, "strip": strip}), limit)
    assert limit / 2 < len(text.encode()) <= limit
    assert text.count("<details") == text.count("</details>")
    assert re.search(r"_\d+ rows left out for want of room: `summary\.json`", text)


def test_foreign_text_does_nothing_in_markdown(evil):
    text = formats.export(evil, "markdown")
    html = as_html(text)
    ours = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "ul", "li", "details", "summary"}
    assert set(re.findall(r"<(\w+)", html)) <= ours
    assert html.count("<tr>") == (1 + 1) + (1 + 4)
    assert html.count("<h3>") == 1
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", text)
    assert "evil.example" in outside
    assert not re.search(r"(?<!\\)://|www\.|@\w", outside)  # GitHub makes links of these, and mentions
    assert all(each.isprintable() or each in "\n\xa0\u200b" for each in text)


def test_the_job_summary_is_added_to_what_the_step_has_written(run, tmp_path, monkeypatch, capsys):
    path = tmp_path / "summary.md"
    path.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert app.run_app(["export", str(run.root), "--format", "github"]) == 0
    assert capsys.readouterr().out == ""
    assert path.read_text() == "# Before\n" + formats.export(run, "github")
    path.write_bytes(b"x" * (md.JOB_SUMMARY - 5_000))
    assert app.run_app(["export", str(run.root), "--format", "github"]) == 0
    assert md.JOB_SUMMARY - 5_000 < path.stat().st_size <= md.JOB_SUMMARY
    path.write_bytes(b"x" * (1 << 20))
    assert app.run_app(["export", str(run.root), "--format", "github"]) == 2
    assert "has no room left" in capsys.readouterr().err


JUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "timestamp"}, ["properties", "testcase"]),
    "properties": (set(), ["property"]),
    "property": ({"name", "value"}, []),
    "testcase": ({"name", "classname", "time"}, ["skipped", "error", "failure", "system-out"]),
    "failure": ({"message", "type"}, []),
    "error": ({"message", "type"}, []),
    "skipped": ({"message"}, []),
    "system-out": (set(), []),
}
"""What Jenkins's schema allows of each element, and in which order its children come."""


def checked(text):
    """The document, once every element is what the schema allows."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) <= attributes
        order = [children.index(child.tag) for child in element]
        assert order == sorted(order)
    for suite in root:
        cases = suite.findall("testcase")
        counted = {name: len(suite.findall(f"testcase/{name[:-1]}")) for name in ("failures", "errors")}
        assert {name: int(suite.get(name)) for name in counted} == counted
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        for case in cases:
            assert re.fullmatch(r"\d+(\.\d+)?", case.get("time", "0"))
    for name in ("tests", "failures", "errors"):
        assert int(root.get(name)) == sum(int(suite.get(name)) for suite in root)
    return root


def test_junit_has_a_test_case_for_every_planned_case(run, found):
    root = checked(formats.export(run, "junit"))
    cases = {(suite.get("name"), case.get("name")): case for suite in root for case in suite.findall("testcase")}
    assert len(cases) == len({(cell.comparison, cell.case) for cell in found.strip}) == 24
    assert len({(case.get("classname"), case.get("name")) for case in cases.values()}) == 24
    assert (root.get("failures"), root.get("errors")) == ("1", "4")  # the null of both comparisons
    wrong = cases["split[size=1024]", PIECES]
    assert wrong.get("time") is None
    (failure,) = wrong
    assert (failure.tag, failure.get("type")) == ("failure", "wrong")
    assert failure.get("message") == "wrong in 1 of 6 launches (rank 1: Tensor-likes are not close!)"
    assert cases["split[size=512]", "split[how=pieces,size=512]@2"][0].get("type") == "missing"
    assert cases["split[size=512]", "split[how=pieces,size=512]@1"][0].tag == "skipped"
    (row,) = [row for row in found.cells if row.key == WHOLE]
    assert float(cases["split[size=1024]", WHOLE].get("time")) == row.median_s


def test_junit_writes_no_exponents(tmp_path):
    def truth(case):
        return factories.work_time(case) if case.probe else 2e-5

    root = checked(formats.export(factories.build(tmp_path / "run", rounds=4, truth=truth), "junit"))
    assert any(0 < float(case.get("time", 0)) < 1e-4 for case in root.iter("testcase"))


def test_foreign_text_is_text_in_junit(evil):
    root = checked(formats.export(evil, "junit"))
    (failure,) = root.iter("failure")
    assert "<img src=x onerror=alert(1)>" in failure.get("message")
    assert root.get("failures") == "1"


def families(text):
    """The metrics of a text, as Prometheus's own parser reads it; it refuses what the specification does."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_openmetrics_has_the_numbers_of_the_summary(run, found):
    text = formats.export(run, "openmetrics")
    assert text.endswith("\n# EOF\n")
    told = families(text)
    for name, field in (
        ("rankbench_step_seconds", "median_s"),
        ("rankbench_step_low_seconds", "ci_low_s"),
        ("rankbench_step_high_seconds", "ci_high_s"),
        ("rankbench_speedup_ratio", "speedup"),
        ("rankbench_efficiency_ratio", "efficiency"),
    ):
        samples = {sample.labels["case"]: sample.value for sample in told[name].samples}
        expected = {row.key: getattr(row, field) for row in found.cells}
        assert samples == {key: value for key, value in expected.items() if value is not None}
        assert (told[name].unit, told[name].type) == (name.rpartition("_")[2], "gauge")
        assert told[name].documentation
        assert PIECES not in samples
    ok = {sample.labels["case"]: sample.value for sample in told["rankbench_case_ok"].samples}
    assert ok == {row.key: float(row.status == "ok") for row in found.cells}
    counted = {sample.labels["state"]: sample.value for sample in told["rankbench_cells"].samples}
    assert counted == {state: count for state, count in found.counts.items() if state != "planned"}
    (info,) = told["rankbench_run"].samples
    assert info.labels["version"] == found.run.version


def test_foreign_text_is_a_labels_value_in_openmetrics(evil):
    told = families(formats.export(evil, "openmetrics"))
    variants = {sample.labels["variant"] for sample in told["rankbench_step_seconds"].samples}
    (variant,) = variants - {"whole"}
    assert hostile.MARKUP in variant
    assert r"| a || b \| c" in variant
    assert variant.endswith("end\\")
    assert variant.isprintable()


def test_the_benchmark_action_gets_a_chart_a_case_and_none_for_what_failed(run, found):
    told = json.loads(formats.export(run, "github-action-benchmark"))
    assert {frozenset(entry) for entry in told} == {frozenset(("name", "unit", "value", "range", "extra"))} | {
        frozenset(("name", "unit", "value", "extra"))  # five launches have no interval
    }
    named = {entry["name"]: entry for entry in told}
    assert len(named) == len(told) == 8 - 2
    assert {PIECES, "split[how=whole,size=512]@2"} & named.keys() == set()
    for row in found.cells:
        if row.key in named:
            assert named[row.key]["value"] == pytest.approx(row.median_s * 1e3)
            assert named[row.key]["unit"] == "ms"
            assert f"{row.launches} launches" in named[row.key]["extra"]
    assert re.fullmatch(r"5\d\.\d\d to 5\d\.\d\d", named[WHOLE]["range"])


def test_foreign_text_is_plain_for_the_benchmark_action(evil):
    told = json.loads(formats.export(evil, "github-action-benchmark"))
    assert all(entry["name"].isprintable() for entry in told)
    assert len(told) == 3
