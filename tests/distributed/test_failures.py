"""What goes wrong in a scenario is a typed cell, and everything else is measured."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
import pytest

from harness.journal.records import CellRecord
from harness.journal.run_directory import RunDir
from tests.distributed.conftest import PLUGINS, Run, torchrun

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")


def test_exactly_what_is_broken_is_not_ok(faulty_run: Run) -> None:
    assert faulty_run.code == 1
    broken = {cell.case: cell.status for cell in faulty_run.cells if cell.status != "ok"}
    assert broken == {
        "wrong_on_one@2": "wrong",
        "lazy[how=cached]@1": "wrong",
        "lazy[how=cached]@2": "wrong",
        "lazy[how=cached]@1x2": "wrong",
        "raises@2": "error",
        "dies[way=kill]@2": "died",
        "dies[way=exit]@2": "died",
        "sticky@2": "error",
        "deserts@2": "error",
        "trains[by=gang_raises]@2": "error",
        "trains[by=ddp_raises]@2": "error",
        "trains[by=default]@1": "error",
        "trains[by=default]@2": "error",
        "trains[by=default]@1x2": "error",
    }


def test_the_first_failing_rank_is_named(faulty_run: Run) -> None:
    told = {cell.case: cell for cell in faulty_run.cells}
    assert told["wrong_on_one@2"].rank == 1
    assert told["raises@2"].rank == 1
    assert told["raises@2"].message == "ValueError: the twelfth step"
    for case in ("trains[by=gang_raises]@2", "trains[by=ddp_raises]@2"):
        assert (told[case].rank, told[case].message) == (1, "ValueError: the twelfth step")
    for gang in ("1", "2", "1x2"):
        assert "on the default process group" in told[f"trains[by=default]@{gang}"].message
    assert told["dies[way=kill]@2"].message == "rank 1 was killed by SIGKILL"
    assert told["dies[way=exit]@2"].message == "rank 1 left with exit code 0"
    assert "does 0 FLOP" in told["lazy[how=cached]@1"].message


def test_after_an_error_of_the_accelerator_new_processes_do_the_rest(faulty_run: Run) -> None:
    (place,) = [
        place
        for place, entry in enumerate(faulty_run.entries)
        if getattr(entry, "case", "") == "sticky@2" and entry.type == "cell"
    ]
    (cell, *after), before = faulty_run.entries[place:], faulty_run.entries[:place]
    assert (cell.rank, cell.message) == (1, "AcceleratorError: CUDA error: device-side assert triggered")
    assert [entry.type for entry in after[:2]] == ["end", "launch"]
    last = [entry for entry in before if entry.type == "launch"][-1]
    assert not {rank.pid for rank in last.ranks} & {rank.pid for rank in after[1].ranks}
    assert "sticky@1" in {entry.case for entry in after if entry.type == "cell" and entry.status == "ok"}


def test_after_an_error_of_the_scenario_the_same_processes_go_on(faulty_run: Run) -> None:
    kinds = [(entry.type, getattr(entry, "case", "")) for entry in faulty_run.entries]
    after = kinds[kinds.index(("cell", "raises@2")) :]
    assert next(kind for kind, case in after if kind == "end" or case == "raises@1") == "cell"


def test_cases_that_hold_the_group_of_a_failed_one_are_measured_by_new_processes(faulty_run: Run) -> None:
    """DDP, FSDP, device meshes and functional collectives go on with the group that they were made with."""
    entries = [entry for entry in faulty_run.entries if entry.type in ("launch", "cell")]
    (failed,) = [
        place for place, entry in enumerate(entries) if getattr(entry, "case", "") == "trains[by=gang_raises]@2"
    ]
    assert entries[failed + 1].type == "launch"
    ok = {entry.case for entry in entries[failed:] if isinstance(entry, CellRecord) and entry.status == "ok"}
    assert {f"trains[by={how}]@2" for how in ("gang", "ddp", "fsdp", "functional", "dtensor")} <= ok


def test_a_wrong_case_has_no_time_anywhere(faulty_run: Run) -> None:
    row = next(
        row for row in faulty_run.summary["cells"] if (row["scenario"], row["world_size"]) == ("wrong_on_one", 2)
    )
    assert row["status"] == "wrong"
    assert row["median_s"] is None and row.get("speedup") is None
    (sample,) = [row for row in faulty_run.csv() if row["status"] == "wrong" and row["scenario"] == "wrong_on_one"]
    assert sample["seconds"] == sample["rank"] == ""
    (line,) = [line for line in faulty_run.out.splitlines() if re.match(r"wrong_on_one +2 ", line)]
    assert "wrong" in line and " ms" not in line and "×" not in line


def test_no_process_is_left(faulty_run: Run) -> None:
    pids = {rank.pid for launch in faulty_run.launches for rank in launch.ranks}
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_rank_whose_peers_nothing_frees_is_told_long_before_the_deadline(faulty_run: Run) -> None:
    """Which is an hour off."""
    (deserted,) = [cell for cell in faulty_run.cells if cell.case == "deserts@2"]
    assert (deserted.status, deserted.rank, deserted.message) == ("error", 1, "ValueError: the twelfth step")
    outcomes = {outcome.rank: outcome for outcome in deserted.outcomes}
    assert outcomes[1].outcome == "rank 1, which has failed" and 'raise ValueError("the twelfth step")' in (
        outcomes[1].words or ""
    )


def test_where_it_failed_is_told(faulty_run: Run) -> None:
    """The plugin's own line, as Python tells it; a check that rejects says all there is."""
    told = [cell for cell in faulty_run.cells if cell.status in ("error", "wrong")]
    assert {cell.status for cell in told} == {"error", "wrong"}
    for cell in told:
        if cell.status == "wrong":
            assert not cell.outcomes, cell.case
        else:
            (outcome,) = [outcome for outcome in cell.outcomes if outcome.rank == cell.rank]
            assert re.search(r'plugins.py", line \d+, in (step|prepare)', outcome.words or ""), (cell.case, outcome)


@pytest.mark.parametrize(
    ("name", "bad", "rest"),
    [
        (
            ("Trains", "--set", "trains.by=gang,ddp,gang_raises"),  # of which one holds the group that another breaks
            ("error", "ValueError: the twelfth step"),
            {"ok", "skipped"},
        ),
        pytest.param(
            ("Dies", "--set", "dies.way=kill"),
            ("died", "onnection closed by peer"),
            {"skipped"},
            marks=pytest.mark.quiet,  # torchrun gives it half a minute
        ),
    ],
)
def test_under_somebodys_torchrun_rank_0_reports_before_it_is_ended_with_the_others(
    tmp_path: Path, name: tuple[str, ...], bad: tuple[str, str], rest: set[str]
) -> None:
    run = torchrun(tmp_path / "run", f"{PLUGINS}:{name[0]}", *name[1:], "--devices", "cpu:2", "--budget", "5")
    assert run.code != 0
    cells = {cell.case: cell for cell in run.cells}
    assert cells.keys() == {case.key for _, _, case in RunDir(run.root).plan().cells()}
    (failed,) = [cell for cell in cells.values() if cell.status not in ("ok", "skipped")]
    assert failed.status == bad[0] and bad[1] in (failed.message or "")
    assert {cell.status for cell in cells.values()} - {failed.status} == rest
    if "ok" in rest:
        (skipped,) = [cell for cell in cells.values() if cell.status == "skipped"]
        assert skipped.case == "trains[by=ddp]@2" and "trains[by=gang_raises]@2 failed" in (skipped.message or "")
    assert failed.status in run.page and "report: " in run.out
    assert [entry.type for entry in run.entries][-1] == "end"
