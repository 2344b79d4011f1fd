"""Progress: what is odd, late or over the budget is said, and said once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.journal.protocol import VisitNote
from harness.planning.builder import make
from harness.planning.request import RunRequest
from launch import progress
from launch.progress import Progress


def note(over_s: float) -> VisitNote:
    return VisitNote(comparison=0, case="a@1", round=0, rounds=4, over_s=over_s)


@pytest.fixture
def shown() -> tuple[Progress, io.StringIO]:
    console = Console(file=io.StringIO(), width=300)
    assert isinstance(console.file, io.StringIO)
    plan = make(RunRequest(names=["split"], devices="cpu:1", budget_s=20, launches=2))
    return Progress(plan, console), console.file


def test_a_budget_that_cannot_be_kept_is_foretold_once(shown: tuple[Progress, io.StringIO]) -> None:
    watching, out = shown
    watching.watch(note(0.9))
    assert not out.getvalue()
    for over_s in (38.2, 50.0):
        watching.watch(note(over_s))
    (line,) = out.getvalue().splitlines()
    assert "the budget of 20 s will be exceeded: for the fewest rounds this launch takes about 38 s more" in line
    assert "raise --budget" in line


def test_a_run_over_its_budget_says_by_how_much(
    shown: tuple[Progress, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, _ = shown
    start_s = watching._start_s
    for spent_s, words in ((5, ", about 15 s left"), (95, ", over budget by 75 s")):
        monkeypatch.setattr(progress.time, "monotonic", lambda spent_s=spent_s: start_s + spent_s)
        assert watching._left() == words


def test_where_no_rank_comes_up_it_is_said_what_is_waited_for(
    shown: tuple[Progress, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, out = shown
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    with watching:
        watching.waiting(Path("run/logs"))
        assert watching._quiet is not None
        watching._quiet.join()
    assert out.getvalue().strip() == (
        "no rank is up after 0 s: they import PyTorch, and look for each other; see run/logs"
    )
    monkeypatch.setattr(progress, "QUIET_S", 3600.0)
    with watching:
        watching.waiting(Path("run/logs"))
    watching._quiet.join()
    assert out.getvalue().count("no rank is up") == 1
