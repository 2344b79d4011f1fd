"""Profiles: a trace a rank of each case, by gangs of their own; one that fails is a warning and no failed cell."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any

import pytest

from harness.journal.records import ProfileRecord
from tests.distributed.conftest import PLUGINS, TWO, Run, rankbench
from tests.pages import Checked

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("profiles") / "run"
    scenarios = ("split", f"{PLUGINS}:Shy", f"{PLUGINS}:WrongOnOne")
    small = ("--set", "split.size=128", "--set", "split.how=inner")
    line = ("run", *scenarios, *TWO, *small, "--launches", 1, "--budget", 6, "--profile")
    return rankbench(*line, "--out", root, root=root)


def profiles(run: Run) -> dict[str, ProfileRecord]:
    return {entry.case: entry for entry in run.entries if isinstance(entry, ProfileRecord)}


def events(run: Run, name: str) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress((run.root / "profiles" / name).read_bytes()))["traceEvents"]


def test_every_case_that_was_ok_is_traced_on_each_of_its_ranks(run: Run) -> None:
    told = profiles(run)
    ok = {cell.case for cell in run.cells if cell.status == "ok" and cell.case.startswith(("split", "shy", "wrong"))}
    assert set(told) == {case for case in ok if not case.endswith("@1x2")}
    assert "wrong_on_one@2" not in told
    for case, record in told.items():
        if record.files:
            assert len(record.files) == int(case.rpartition("@")[2])
            assert record.steps == 3
            sizes = [(run.root / "profiles" / name).stat().st_size for name in record.files]
            assert sum(sizes) == record.bytes
    assert len({name for record in told.values() for name in record.files}) == len(
        list((run.root / "profiles").iterdir())
    )


def test_a_trace_has_its_steps_and_what_was_done_in_them(run: Run) -> None:
    record = profiles(run)["split[dtype=float32,how=inner,products=2,size=128]@2"]
    for name in record.files:
        seen = [event["name"] for event in events(run, name)]
        steps = [f"{record.case} step {number}" for number in (1, 2, 3)]
        assert [each for each in seen if each.startswith("split[")] == steps
        assert seen.count("aten::mm") == 2 * 3
        assert any("all_reduce" in each for each in seen)


def test_the_profiler_is_not_heard_in_what_the_ranks_print(run: Run) -> None:
    printed = [path.read_text() for path in (run.root / "logs").rglob("*") if path.is_file()]
    assert not any("profiler_start" in text for text in printed)


def test_gangs_that_trace_measure_nothing(run: Run) -> None:
    kinds = [entry.type for entry in run.entries]
    assert kinds.index("profile") > max(place for place, kind in enumerate(kinds) if kind in ("cell", "launch", "end"))
    assert len(run.launches) == 1


def test_a_profile_that_fails_is_a_warning_and_no_failed_cell(run: Run) -> None:
    told = profiles(run)
    assert told["shy[way=raise]@2"].message == "rank 1: ValueError: somebody is looking"
    assert told["shy[way=exit]@2"].message == "rank 1 left with exit code 3"
    assert {cell.status for cell in run.cells if cell.case.startswith("shy")} == {"ok"}
    assert [case for case, record in told.items() if record.message] == ["shy[way=raise]@2", "shy[way=exit]@2"]
    assert told["shy[way=none]@2"].files  # traced by the next gang, or by this one with other groups
    (claim,) = [claim for claim in run.summary["claims"] if "no profile" in claim["text"]]
    assert claim["kind"] == "caveat" and claim["text"].startswith("2 of 9 cases have no profile")
    assert "shy[way=exit]@2: no profile: rank 1 left with exit code 3" in run.out


def test_the_page_links_every_trace_and_the_summary_lists_them(run: Run) -> None:
    rows = {row["key"]: row for row in run.summary["profiles"]}
    assert {key: tuple(row["files"]) for key, row in rows.items()} == {
        case: record.files for case, record in profiles(run).items()
    }
    links = [link.replace("%40", "@") for link in Checked(run.page).links if link.startswith("profiles/")]
    assert sorted(links) == sorted(f"profiles/{name}" for row in rows.values() for name in row["files"])
    assert all((run.root / link).is_file() for link in links)
    assert "somebody is looking" in run.page
    assert f"profiles: {run.root / 'profiles'} ({len(links)} traces)" in run.out
