"""History: several runs on one page where they were measured alike; the others are named, each with its reason."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import app
from reports.compare.compare import compare
from reports.compare.history import direction
from reports.compare.history_page import render
from reports.page import page
from reports.schema.history import History, HistoryPoint
from reports.text import units
from tests import factories
from tests.pages import Checked

KEY = "split[how=whole,size=1024]@2"


def made(root, day, truth=1.0, seed=1, **changes):
    """A run of a day whose two-device times are so many times the usual."""

    def time(case):
        return factories.work_time(case) * (truth if case.key == KEY else 1.0)

    run = factories.build(root / f"day{day}", seed=seed, truth=time, **changes)
    factories.edit(run, lambda text: text.replace("2026-01-02T", f"2026-01-{day:02d}T"))
    told = json.loads(run.environment_path.read_text())
    run.environment_path.write_text(json.dumps(told | {"git": {"commit": f"{day:040d}", "changed": False}}))
    return run


def reported(*runs):
    return app.run_app(["report", *(str(run.root) for run in runs)])


def found(run):
    return History.model_validate_json((run.root / "history.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """The runs' own pages are another test's, and take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda *_, **__: "")
        yield


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The last one is slower in one case, and is given first: the order of days counts."""
    root = tmp_path_factory.mktemp("history")
    runs = [made(root, day, factor, seed=day) for day, factor in ((2, 1.0), (3, 1.0), (4, 1.2))]
    assert reported(runs[2], runs[0], runs[1]) == 0
    return runs


def test_every_time_is_that_of_its_run_and_the_oldest_is_first(three):
    history = found(three[-1])
    assert [run.name for run in history.runs] == ["day2", "day3", "day4"]
    assert [run.commit for run in history.runs] == [f"{day:040d}" for day in (2, 3, 4)]
    summaries = [json.loads(run.summary_path.read_text()) for run in three]
    for series in history.series:
        assert [point.run for point in series.points] == [0, 1, 2]
        for point in series.points:
            row = next(row for row in summaries[point.run]["cells"] if row["key"] == series.key)
            assert (point.seconds, point.low_s, point.high_s) == (row["median_s"], row["ci_low_s"], row["ci_high_s"])


def test_what_became_slower_is_told_without_a_verdict(three):
    history = found(three[-1])
    changed = next(series for series in history.series if series.key == KEY)
    assert changed.change == pytest.approx(1.2, abs=0.03)
    assert changed.direction == "slower"
    assert "1 above" in history.headline
    page = (three[-1].root / "history.html").read_text()
    assert "no verdict is given here" in page
    assert units.change(changed.change, None, None) in page


def test_the_page_is_made_of_history_json_alone_and_is_the_same_each_time(three):
    page = three[-1].root / "history.html"
    text = page.read_text()
    assert render(found(three[-1])) == text
    assert reported(*three) == 0
    assert page.read_text() == text
    checked = Checked(text)
    assert len(set(checked.ids)) == len(checked.ids)
    assert {link.removeprefix("#") for link in checked.links} <= set(checked.ids)
    assert text.count("<script") == 1
    assert len(re.findall("<svg ", text)) == 2  # one device, two devices
    assert not (three[0].root / "history.html").exists()


def test_runs_of_another_environment_are_named_in_one_line(tmp_path, capsys):
    runs = [made(tmp_path, day, seed=day) for day in (2, 3, 4)]
    told = json.loads(runs[1].environment_path.read_text())
    told["software"]["torch"] = "2.12.0"
    runs[1].environment_path.write_text(json.dumps(told))
    assert reported(*runs) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("no history"))
    assert line == f"no history of {runs[1].root}: software.torch is 2.12.0, and 2.11.0 in {runs[2].root}"
    assert [run.name for run in found(runs[2]).runs] == ["day2", "day4"]


def test_facts_that_change_from_run_to_run_set_no_run_apart_and_are_no_difference(tmp_path, capsys):
    runs = [made(tmp_path, day, seed=day) for day in (2, 3)]
    environment = json.loads(runs[0].environment_path.read_text())
    environment |= {"gpus_now": {"cuda:0": {"temperature": 41}}, "load_average": [3.0, 2.0, 1.0], "hash": "another"}
    environment["variables"] = {**environment.get("variables", {}), "RAY_GCS_RPC_ADDRESS": "10.0.0.7:6379"}
    runs[0].environment_path.write_text(json.dumps(environment))
    assert reported(*runs) == 0
    assert "history of 2 runs" in capsys.readouterr().out
    names = {difference.name.partition(".")[0] for difference in compare(runs[0].root, runs[1].root, None).differences}
    assert not names & {"gpus_now", "load_average", "hash", "variables"}


@pytest.mark.parametrize("change", [{"host": "x"}, {"threads": 2}])
def test_another_machine_or_way_of_measuring_is_no_history(tmp_path, capsys, change):
    runs = [made(tmp_path, day, seed=day) for day in (2, 3)]
    if "threads" in change:
        plan = json.loads(runs[0].plan_path.read_text())
        runs[0].plan_path.write_text(json.dumps(plan | {"threads": 2}))
    else:
        told = json.loads(runs[0].environment_path.read_text())
        told["host"]["cpu"] = "another"
        runs[0].environment_path.write_text(json.dumps(told))
    assert reported(*runs) == 0
    assert capsys.readouterr().out.count("no history of") == 2
    assert not any((run.root / "history.html").exists() for run in runs)


def test_a_run_without_a_time_is_a_gap_and_the_same_run_twice_is_one(tmp_path, capsys):
    outcomes = {(0, KEY): ("wrong", 0, "differs")}
    runs = [made(tmp_path, day, seed=day, outcomes=outcomes if day == 3 else {}) for day in (2, 3, 4)]
    assert reported(*runs, runs[0]) == 0
    series = next(series for series in found(runs[-1]).series if series.key == KEY)
    assert [point.run for point in series.points] == [0, 2]
    text = (runs[-1].root / "history.html").read_text()
    assert f'<td class="n" data-v="">{units.NONE}</td>' in text
    capsys.readouterr()
    assert reported(runs[0], runs[0]) == 0
    assert f"no history of {runs[0].root}: it is one run" in capsys.readouterr().out


intervals = st.tuples(st.floats(1, 9), st.floats(1, 9)).map(sorted)


@given(intervals, intervals)
def test_intervals_are_apart_or_have_a_time_in_common(one, two):
    before, after = (HistoryPoint(run=0, status="ok", seconds=5, low_s=a, high_s=b, launches=6) for a, b in (one, two))
    there, back = direction(before, after), direction(after, before)
    assert (there == "together") == (one[0] <= two[1] and two[0] <= one[1])
    assert {there, back} in ({"together"}, {"slower", "faster"})
