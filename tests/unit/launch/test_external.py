"""The scribe of somebody's torchrun: every planned case has a cell in each launch, however the launch ended."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from rich.console import Console

from harness.common.errors import FullError, GangLostError, JournalError, UsageError
from harness.journal.plan import Plan
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import CellRecord, EndRecord, LaunchRecord
from harness.journal.run_directory import RunDir
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world.control import StopRequest
from launch.external import ExternalJournal, Resume


@pytest.fixture
def plan() -> Plan:
    return make(RunRequest(names=["split"], settings=["split.size=64"], devices="cpu:1", launcher="inline"))


def begun(run: RunDir, plan: Plan) -> tuple[ExternalJournal, Order]:
    """An invocation whose ranks are up."""
    journal_writer = ExternalJournal(run, plan, Console(file=io.StringIO()), StopRequest())
    order = journal_writer.open()
    assert isinstance(order, Order), order
    journal_writer.record(
        LaunchRecord(launch=order.launch, launcher="t", started="", fingerprint="", lead_s=0, ranks=())
    )
    return journal_writer, order


def cell(order: Order, case: str, status: str) -> CellRecord:
    return CellRecord.model_validate({"launch": order.launch, "comparison": 0, "case": case, "status": status})


def cells(run: RunDir, launch: int) -> dict[str, tuple[str, str | None]]:
    found = [entry for entry in run.entries() if isinstance(entry, CellRecord) and entry.launch == launch]
    assert len({each.case for each in found}) == len(found)
    return {each.case: (each.status, each.message) for each in found}


def test_what_a_launch_did_not_come_to_is_skipped_and_what_failed_twice_is_not_tried(
    tmp_path: Path, plan: Plan
) -> None:
    run, (first, *rest) = RunDir(tmp_path / "run"), [case.key for case in plan.comparisons[0].cases]
    for launch in (0, 1):
        journal_writer, order = begun(run, plan)
        assert [case.key for case in order.todo[0]] == [first, *rest] and order.launch == launch
        journal_writer.record(cell(order, first, "oom"))
        journal_writer.skip_rest(order, "the processes had to end")
        journal_writer.close(order.launch)
        assert journal_writer.failed
        assert cells(run, launch) == {first: ("oom", None)} | dict.fromkeys(
            rest, ("skipped", "the processes had to end")
        )
    journal_writer, order = begun(run, plan)
    assert [case.key for case in order.todo[0]] == rest
    for key in rest:
        journal_writer.record(cell(order, key, "ok"))
    journal_writer.close(order.launch)
    why = "not tried again after it ended as oom in launch 0, oom in launch 1; --retry-failed does"
    assert cells(run, 2) == {first: ("skipped", why)} | dict.fromkeys(rest, ("ok", None))
    assert sum(isinstance(entry, EndRecord) for entry in run.entries()) == 3


@pytest.mark.parametrize(("words", "told"), [("peer closed\nmore", "peer closed"), ("", "GangLostError")])
def test_a_lost_launch_died_where_it_was_and_came_to_nothing_else(
    tmp_path: Path, plan: Plan, words: str, told: str
) -> None:
    run, (first, second, *rest) = RunDir(tmp_path / "run"), [case.key for case in plan.comparisons[0].cases]
    journal_writer, order = begun(run, plan)
    journal_writer.record(cell(order, first, "ok"))
    journal_writer.record(VisitNote(comparison=0, case=second, round=0, rounds=1))
    journal_writer.write_lost(order, GangLostError(words))
    journal_writer.close(order.launch)
    lost = ("skipped", "a rank or a node was lost before")
    assert cells(run, 0) == {first: ("ok", None), second: ("died", told)} | dict.fromkeys(rest, lost)


def test_a_journal_that_takes_no_more_ends_the_launch_in_good_order(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path / "run")
    journal_writer, order = begun(run, plan)
    had = len(list(run.entries()))

    def full(record: object) -> None:
        raise FullError("it cannot be written")

    monkeypatch.setattr(journal_writer._journal, "append", full)
    journal_writer.record(cell(order, plan.comparisons[0].cases[0].key, "ok"))
    monkeypatch.undo()
    assert (
        journal_writer._stop_request.asked
        and journal_writer.failed
        and str(journal_writer.full) == "it cannot be written"
    )
    journal_writer.skip_rest(order, "never written: the line before is missing")
    assert journal_writer.profiling() is None
    journal_writer.close(order.launch)
    assert len(list(run.entries())) == had


def test_what_all_ranks_refuse_is_the_same_error_on_each(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path / "run")
    journal_writer, order = begun(run, plan)
    journal_writer.close(order.launch)

    def refused() -> object:
        return pickle.loads(pickle.dumps(ExternalJournal(run, plan, Console(file=io.StringIO()), StopRequest()).open()))

    run.journal_path.write_text("no record" + chr(10) + run.journal_path.read_text())
    damaged = refused()
    assert isinstance(damaged, JournalError) and "line 1" in str(damaged)
    monkeypatch.setattr(RunDir, "exists", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    barred = refused()
    assert isinstance(barred, UsageError) and "run directory must be writable" in str(barred)


def test_launches_of_changed_code_do_not_join_those_before(tmp_path: Path, plan: Plan) -> None:
    run = RunDir(tmp_path / "run")
    begun(run, plan)[0].close(0)
    (comparison,) = plan.comparisons
    changed = plan.model_copy(update={"comparisons": (comparison.model_copy(update={"code": "0" * 16}),)})
    refusal = ExternalJournal(run, changed, Console(file=io.StringIO()), StopRequest()).open()
    assert str(refusal) == (f"run directory {run.root} has launches of other code of split; choose another folder")


def resumed(run: RunDir, plan: Plan, *, retry_failed: bool = False) -> tuple[ExternalJournal, Order | None, str]:
    """An invocation that resumes a run, and what it says."""
    said = io.StringIO()
    console, resume = Console(file=said, width=200), Resume(retry_failed)
    journal_writer = ExternalJournal(run, plan, console, StopRequest(), resume=resume)
    order = journal_writer.open()
    assert order is None or isinstance(order, Order), order
    return journal_writer, order, said.getvalue()


def test_what_is_missing_is_resumed_launch_by_launch_and_no_launch_is_added(tmp_path: Path, plan: Plan) -> None:
    run, keys = RunDir(tmp_path / "run"), [case.key for case in plan.comparisons[0].cases]
    for statuses in (["ok"] * (len(keys) - 1), ["ok"] * len(keys), ["ok", "error"]):  # the second one is whole
        journal_writer, order = begun(run, plan)
        for key, status in zip(keys, statuses, strict=False):
            journal_writer.record(cell(order, key, status))
        journal_writer.close(order.launch)
    for launch, missing, more in ((0, keys[-1:], True), (2, keys[2:], False)):
        journal_writer, order, said = resumed(run, plan)
        assert order is not None and (order.launch, order.attempt) == (launch, 1)
        assert [case.key for case in order.todo[0]] == missing
        assert ("1 more launch lacks cells: give the same command again" in said) == more
        for key in missing:
            journal_writer.record(cell(order, key, "ok"))
        journal_writer.close(order.launch)
        assert journal_writer.failed  # of the run a cell is missing, or not ok
    journal_writer, order, _ = resumed(run, plan)
    assert order is None and journal_writer.failed
    journal_writer, order, _ = resumed(run, plan, retry_failed=True)
    assert order is not None and [case.key for case in order.todo[0]] == keys[1:2]
    journal_writer.record(cell(order, keys[1], "ok"))
    journal_writer.close(order.launch)
    assert not journal_writer.failed
    journal_writer, order, _ = resumed(run, plan, retry_failed=True)
    assert order is None and not journal_writer.failed


def test_a_run_that_never_came_to_a_launch_is_resumed_with_its_first(tmp_path: Path, plan: Plan) -> None:
    run = RunDir(tmp_path / "run")
    run.create(plan)
    journal_writer, order, _ = resumed(run, plan)
    assert order is not None and (order.launch, order.attempt) == (0, 0)
    journal_writer.close(order.launch)
