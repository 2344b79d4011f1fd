"""The parent of a run: who failed first, what is still missing, and when to give a launch up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from harness.journal.log import Journal, read
from harness.journal.plan import Plan, Precision, Record
from harness.journal.protocol import Order, RankNote, VisitNote
from harness.journal.records import BeginRecord, CellRecord, LaunchRecord, Samples, Status
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world.control import StopRequest
from launch.launcher import Ending, Launcher
from launch.local import agent
from launch.local.channel import Event, Peer
from launch.local.gang_state import Gang
from launch.local.torchrun import Torchrun
from launch.supervision.hang_detector import HangDetector
from launch.supervision.stop_signals import Interrupt
from launch.supervision.supervisor import Supervisor
from tests.limits import LIMIT_S


def told(gang: Gang, peer: Peer, **message: Any) -> None:
    gang.take((peer, "line", json.dumps(message).encode()))


def ended(gang: Gang, exits: Mapping[int, int | None]) -> None:
    """The agent tells how the ranks ended, in turn."""
    for rank, code in exits.items():
        told(gang, Peer(None), type="exit", rank=rank, code=code)  # type: ignore[arg-type]


def gang_of_two() -> tuple[Gang, list[Peer]]:
    gang, peers = Gang(2), [Peer(None), Peer(None)]  # type: ignore[arg-type]
    for rank, peer in enumerate(peers):
        told(gang, peer, type="hello", rank=rank, pid=rank)
    return gang, peers


def test_a_gang_that_says_bye_ended_well() -> None:
    gang, peers = gang_of_two()
    for peer in peers:
        told(gang, peer, type="bye")
        gang.take((peer, "closed", b""))
    assert not gang.unwell and not gang.over
    ended(gang, {0: 0, 1: -11})  # one fails to end, but has measured everything
    assert gang.over and gang.ending() is None


def test_the_silent_rank_died_first_and_not_the_one_that_complains() -> None:
    gang, peers = gang_of_two()
    told(gang, peers[0], type="words", words="RuntimeError: Connection closed by peer")
    gang.take((peers[0], "closed", b""))
    gang.take((peers[1], "closed", b""))
    assert gang.unwell
    ended(gang, {0: 70, 1: -9})
    assert gang.ending() == Ending("died", "rank 1 was killed by SIGKILL", 1)


@pytest.mark.parametrize(
    ("exits", "ending"),
    [
        ({0: -15, 1: 3}, Ending("died", "rank 1 left with exit code 3", 1)),
        ({0: -15, 1: -15}, Ending("died", "rank 0 was killed by SIGTERM", 0)),
        ({0: -40, 1: -15}, Ending("died", "rank 0 was killed by signal 40", 0)),
        ({}, Ending("died", "rank 0 left without a word", 0)),
    ],
)
def test_who_was_asked_to_go_since_another_had_failed_did_not_die_first(exits: dict[int, int], ending: Ending) -> None:
    """A parent that was stopped for a moment hears of all ends at once."""
    gang, peers = gang_of_two()
    for peer in peers:
        gang.take((peer, "closed", b""))
    ended(gang, exits)
    assert gang.ending() == ending


@pytest.mark.parametrize(
    ("exits", "trouble", "named"),
    [
        ({0: -15, 1: 70}, None, 1),  # it said why it failed; the other was terminated
        ({0: 1, 1: 70}, None, 0),  # nobody asked it to go, and the other may only tell of that
        ({1: 70, 0: -9}, None, 0),
        ({1: 70}, "the launching process was killed by SIGKILL", 1),
    ],
)
def test_words_come_before_who_was_merely_ended_by_somebody_else(
    exits: dict[int, int], trouble: str | None, named: int
) -> None:
    gang, peers = gang_of_two()
    told(gang, peers[1], type="words", words="Traceback\nValueError: outside of a case")
    for peer in peers:
        gang.take((peer, "closed", b""))
    ended(gang, exits)
    gang.trouble = trouble
    ending = gang.ending()
    assert ending is not None and ending.rank == named
    assert (ending.message == "ValueError: outside of a case") == (named == 1)


def test_ranks_that_end_with_the_launching_process_are_not_blamed_for_it() -> None:
    gang, peers = gang_of_two()
    for peer in peers:
        gang.take((peer, "closed", b""))
    told(gang, Peer(None), type="trouble", words="no fork server")  # type: ignore[arg-type]
    assert gang.unwell and gang.ending() == Ending("died", "no fork server")


def test_the_end_of_the_fork_server_is_told_and_no_exit_code_of_its_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "3600"]) as server:
        monkeypatch.setattr(forkserver._forkserver, "_forkserver_pid", server.pid)
        monkeypatch.setattr(agent, "END_S", 0.05)
        assert agent._fork_server_code() is None
        server.kill()
        monkeypatch.setattr(agent, "END_S", LIMIT_S)
        assert agent._fork_server_code() == -9
    gang, _ = gang_of_two()
    words = "the fork server, whose children the ranks are, was killed by SIGKILL"
    told(gang, Peer(None), type="trouble", words=words)  # type: ignore[arg-type]
    ended(gang, {0: None, 1: None})
    assert gang.over and gang.ending() == Ending("died", words)
    assert {outcome.outcome.partition(" ")[2].partition(" ")[2] for outcome in gang.outcomes()} == {
        "left without a word"
    }


def test_a_rank_that_ends_before_it_has_come_up_is_named() -> None:
    gang = Gang(2)
    ended(gang, {1: 1})
    assert gang.unwell and gang.ending() == Ending("died", "rank 1 left with exit code 1", 1)
    assert [outcome.outcome for outcome in gang.outcomes()] == ["rank 1 left with exit code 1"]


def test_a_rank_that_leaves_with_exit_code_0_has_died() -> None:
    gang, peers = gang_of_two()
    gang.take((peers[1], "closed", b""))
    assert gang.unwell
    assert gang.ending() == Ending("died", "rank 1 left without a word", 1)
    ended(gang, {0: 70, 1: 0})
    assert gang.ending() == Ending("died", "rank 1 left with exit code 0", 1)


class Script(Launcher):
    """A launcher that does what a test says, launch by launch."""

    def __init__(self, *acts: Callable[[Order, Callable[[Record], None]], Ending | None]) -> None:
        self.acts = list(acts)
        self.orders: list[Order] = []

    def launch(self, order: Order, hear: Callable[[Record], None]) -> Ending | None:
        self.orders.append(order)
        hear(
            LaunchRecord(
                launch=order.launch, attempt=order.attempt, launcher="t", started="", fingerprint="", lead_s=0, ranks=()
            )
        )
        act = self.acts.pop(0) if self.acts else well
        return act(order, hear)


def well(order: Order, hear: Callable[[Record], None]) -> None:
    for index, cases in order.todo.items():
        for case in cases:
            hear(CellRecord(launch=order.launch, comparison=index, case=case.key, status="ok"))


def dies(order: Order, hear: Callable[[Record], None]) -> Ending:
    (index, cases), *_ = order.todo.items()
    hear(BeginRecord(launch=order.launch, comparison=index, case=cases[1].key))
    hear(VisitNote(comparison=index, case=cases[1].key, round=0, rounds=4))
    return Ending("died", "rank 1 was killed by SIGKILL", 1)


def skips(order: Order, hear: Callable[[Record], None], *, by_design: bool = False) -> None:
    """The first case cannot be measured as asked: its rank says so, and does the rest."""
    (index, cases), *_ = order.todo.items()
    cell = CellRecord(launch=order.launch, comparison=index, case=cases[0].key, status="skipped", message="no graph")
    hear(cell.model_copy(update={"by_design": by_design}))
    rest = {place: each[1:] if place == index else each for place, each in order.todo.items()}
    well(order.model_copy(update={"todo": rest}), hear)


def dies_at_once(order: Order, hear: Callable[[Record], None]) -> Ending:
    return Ending("died", "rank 0 left with exit code 3", 0)


def run(
    folder: Path,
    script: Script,
    plan: Plan | None = None,
    *,
    retry_failed: bool = False,
    interrupt: Interrupt | None = None,
) -> tuple[bool, list[CellRecord]]:
    plan = plan or make(RunRequest(names=["split"], devices="cpu:1", launches=2))
    path, scratch = folder / "journal.jsonl", folder / "scratch"
    scratch.mkdir(exist_ok=True)
    with Journal(path) as journal:
        supervisor = Supervisor(
            plan,
            journal,
            list(read(path)),
            lambda _: None,
            fingerprints={"torchrun": "f"},
            scratch=str(scratch),
            retry_failed=retry_failed,
            interrupt=interrupt,
        )
        complete = supervisor.run({"torchrun": script})  # type: ignore[arg-type]
    return complete, [entry for entry in read(path) if isinstance(entry, CellRecord)]


def test_a_quiet_run_launches_once_a_launch(tmp_path: Path) -> None:
    script = Script()
    complete, cells = run(tmp_path, script)
    assert complete
    assert [(order.launch, order.attempt) for order in script.orders] == [(0, 0), (1, 0)]
    assert len(cells) == 2 * 6


def test_what_a_gang_skips_is_not_given_to_the_next_but_tried_again_on_resumption(tmp_path: Path) -> None:
    script = Script(skips, skips)
    complete, cells = run(tmp_path, script)
    assert not complete
    assert [order.launch for order in script.orders] == [0, 1]
    assert [cell.status for cell in cells].count("skipped") == 2
    (tmp_path / "scratch").rmdir()
    again = Script()
    assert run(tmp_path, again)[0]
    assert [[case.key for case in order.todo[0]] for order in again.orders] == [[cells[0].case]] * 2


@pytest.mark.parametrize("retry_failed", [False, True])
def test_what_is_skipped_by_design_is_not_missing_and_not_tried_again(tmp_path: Path, retry_failed: bool) -> None:
    act = partial(skips, by_design=True)
    complete, cells = run(tmp_path, Script(act, act))
    assert complete
    assert [cell.by_design for cell in cells if cell.status == "skipped"] == [True, True]
    (tmp_path / "scratch").rmdir()
    again = Script()
    complete, after = run(tmp_path, again, retry_failed=retry_failed)
    assert complete
    assert not again.orders
    assert after == cells


def test_a_death_costs_its_case_and_the_rest_is_measured_by_a_new_gang(tmp_path: Path) -> None:
    script = Script(dies)
    complete, cells = run(tmp_path, script)
    assert not complete
    assert [(order.launch, order.attempt) for order in script.orders] == [(0, 0), (0, 1), (1, 0)]
    (died,) = [cell for cell in cells if cell.status != "ok"]
    assert (died.status, died.rank, died.launch) == ("died", 1, 0)
    assert died.case not in {case.key for cases in script.orders[1].todo.values() for case in cases}
    assert len(cells) == 2 * 6


@pytest.mark.parametrize(("status", "cells"), [("died", []), ("hang", ["hang"])])
def test_ranks_that_a_scheduler_ends_with_their_run_are_no_cases_fault(
    tmp_path: Path, status: Status, cells: list[str]
) -> None:
    """One that hung before it was to end is."""
    interrupt = Interrupt()

    def ends(order: Order, hear: Callable[[Record], None]) -> Ending:
        ending = dies(order, hear)
        interrupt.asked, interrupt.signal = True, "SIGTERM"
        return replace(ending, status=status)

    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        run(tmp_path, Script(ends), interrupt=interrupt)
    told = [entry.status for entry in read(tmp_path / "journal.jsonl") if isinstance(entry, CellRecord)]
    assert told == cells


def test_what_a_dead_gang_has_left_is_gone_before_the_next_one_starts(tmp_path: Path) -> None:
    left = tmp_path / "scratch" / "0badcafe" / "checkpoint"
    seen: list[bool] = []

    def dies_in_the_middle(order: Order, hear: Callable[[Record], None]) -> Ending:
        left.parent.mkdir()
        left.write_bytes(b"half of it")
        return dies(order, hear)

    def looks(order: Order, hear: Callable[[Record], None]) -> None:
        seen.append(left.parent.exists())
        well(order, hear)

    run(tmp_path, Script(dies_in_the_middle, looks))
    assert seen == [False]


def test_a_launch_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    script = Script(dies_at_once, dies_at_once)
    complete, cells = run(tmp_path, script)
    assert not complete
    assert [order.launch for order in script.orders] == [0, 0, 1]
    assert {cell.status for cell in cells if cell.launch == 0} == {"died"}
    assert {cell.status for cell in cells if cell.launch == 1} == {"ok"}


def test_a_case_that_has_failed_in_two_launches_is_not_tried_in_the_others(tmp_path: Path) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=4))
    key = plan.comparisons[0].cases[1].key
    script = Script(dies, well, dies)
    complete, cells = run(tmp_path, script, plan)
    assert not complete
    tried = [order.launch for order in script.orders if key in {case.key for case in order.todo[0]}]
    assert tried == [0, 1]
    told = [(cell.launch, cell.status, cell.message) for cell in cells if cell.case == key]
    why = "not tried again after it ended as died in launch 0, died in launch 1; --retry-failed does"
    assert told[2:] == [(2, "skipped", why), (3, "skipped", why)]
    assert len(cells) == 4 * 6 and [cell.status for cell in cells].count("ok") == 4 * 5
    (tmp_path / "scratch").rmdir()
    again = Script()
    run(tmp_path, again, plan)
    assert not again.orders  # resuming alone does not try it either


def test_failed_cells_are_measured_again_where_that_is_asked_for_and_no_others(tmp_path: Path) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=4))
    key = plan.comparisons[0].cases[1].key
    run(tmp_path, Script(dies, well, dies), plan)
    (tmp_path / "scratch").rmdir()
    again = Script()
    assert run(tmp_path, again, plan, retry_failed=True)[0]
    assert [order.launch for order in again.orders] == [0, 1, 2, 3]
    assert {case.key for order in again.orders for case in order.todo[0]} == {key}


class Away(Script):
    """Has no devices for the launches in ``away``."""

    def __init__(self, away: set[int], *acts: Callable[[Order, Callable[[Record], None]], Ending | None]) -> None:
        super().__init__(*acts)
        self.away = away

    def launch(self, order: Order, hear: Callable[[Record], None]) -> Ending | None:
        return Ending("skipped", "no room") if order.launch in self.away else super().launch(order, hear)


def test_a_launch_without_devices_is_skipped_at_once_and_the_next_one_tried(tmp_path: Path) -> None:
    complete, cells = run(tmp_path, Away({0}))
    assert not complete
    assert {(cell.launch, cell.status, cell.message) for cell in cells} == {(0, "skipped", "no room"), (1, "ok", None)}
    back = Script(well)
    assert run(tmp_path, back)[0]
    assert [order.launch for order in back.orders] == [0]


def test_resuming_measures_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=2))
    first, *rest = plan.comparisons[0].cases
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append(CellRecord(launch=0, comparison=0, case=first.key, status="ok"))
        journal.append(CellRecord(launch=0, comparison=0, case=rest[0].key, status="skipped"))
    script = Script()
    complete, _ = run(tmp_path, script, plan)
    assert complete
    assert script.orders[0].todo == {0: tuple(rest)}


def test_a_spent_budget_skips_launches_only_where_the_user_set_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent_s: list[float] = []
    monkeypatch.setattr("launch.supervision.supervisor.time.monotonic", lambda: sum(spent_s))

    def slow(order: Order, hear: Callable[[Record], None]) -> None:
        spent_s.append(1000.0)
        well(order, hear)

    for budget_s, statuses in ((100.0, {"skipped"}), (None, {"ok"})):
        folder = tmp_path / str(budget_s)
        folder.mkdir()
        _, cells = run(
            folder, Script(slow), make(RunRequest(names=["split"], devices="cpu:1", launches=2, budget_s=budget_s))
        )
        assert {cell.status for cell in cells if cell.launch == 1} == statuses


def steady(spread: list[float]) -> Callable[[Order, Callable[[Record], None]], None]:
    """A launcher's act: all cells are ok, each launch with times of its own."""

    def act(order: Order, hear: Callable[[Record], None]) -> None:
        took = spread[order.launch % len(spread)]
        samples = Samples(round=(0,), position=(0,), start_s=((0.0,),), end_s=((took,),))
        for index, cases in order.todo.items():
            for case in cases:
                hear(CellRecord(launch=order.launch, comparison=index, case=case.key, status="ok", samples=samples))

    return act


def precise(launches: int, fraction: str, limit_s: float) -> Plan:
    run_request = RunRequest(names=["split"], devices="cpu:1", launches=launches, precision=fraction, budget_s=limit_s)
    plan = make(run_request)
    assert not plan.strict  # planned launches are not skipped where there is time for more
    return plan.model_copy(update={"budget_s": 1e-3})


def test_launches_are_added_until_intervals_are_narrow(tmp_path: Path) -> None:
    times = [1.0, 1.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    script = Script(*[steady(times)] * 30)
    complete, _ = run(tmp_path, script, precise(6, "2%", 600))
    assert complete
    assert [order.launch for order in script.orders] == list(range(9))  # of nine, the interval leaves out the extremes


def test_no_launch_is_added_where_they_agree_at_once(tmp_path: Path) -> None:
    script = Script(*[steady([1.0])] * 30)
    run(tmp_path, script, precise(6, "2%", 600))
    assert len(script.orders) == 6


def test_no_launch_is_added_that_would_end_past_the_limit(tmp_path: Path) -> None:
    plan = precise(6, "2%", 600)
    tight = plan.model_copy(update={"precision": Precision(fraction=0.02, limit_s=1e-6)})
    script = Script(*[steady([1.0, 2.0])] * 30)
    run(tmp_path, script, tight)
    assert len(script.orders) == 6


def test_no_launch_is_added_that_the_plan_may_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.journal.plan.MOST_LAUNCHES", 7)
    script = Script(*[steady([1.0, 2.0])] * 30)
    complete, _ = run(tmp_path, script, precise(6, "2%", 600))
    assert complete and [order.launch for order in script.orders] == list(range(7))


def test_no_launch_is_added_where_the_devices_are_gone_but_after_they_are_back(tmp_path: Path) -> None:
    plan, act = precise(6, "2%", 600), steady([1.0, 1.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    complete, cells = run(tmp_path, Away({7}, *[act] * 30), plan)
    assert not complete
    assert {cell.launch for cell in cells if cell.status == "ok"} == set(range(7))
    assert {cell.launch for cell in cells if cell.status == "skipped"} == {7}
    back = Script(*[act] * 30)
    assert run(tmp_path, back, plan)[0]
    assert [order.launch for order in back.orders] == [7, 8]


class Late:
    """A parent that has been stopped: when it goes on, what its ranks have told meanwhile waits to be read."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines, self.waits = lines, []
        self._server, self._stop_request, self._agent = self, StopRequest(), self
        self._hear = partial(Torchrun._hear, self)  # type: ignore[arg-type]

    def poll(self) -> None:
        """It lives."""

    def events(self, timeout_s: float) -> Iterator[Event]:
        self.waits.append(timeout_s)
        yield from ((self.peer, "line", line) for line in self.lines[:1])
        self.lines = self.lines[1:]


def test_a_parent_that_was_stopped_hears_what_has_come_before_it_judges() -> None:
    note = RankNote(rank=0, state="moves").model_dump_json().encode()
    parent = Late([note, b'{"type": "exit", "rank": 0, "code": 0}', b'{"type": "bye"}'])
    gang, parent.peer = Gang(1), Peer(None)  # type: ignore[arg-type]
    told(gang, parent.peer, type="hello", rank=0, pid=1)
    detector = HangDetector(1, 5.0)
    detector.hear(VisitNote(comparison=0, case="a@1", round=0, rounds=1))
    detector._heard_s[0] -= 100
    assert Torchrun._follow(parent, gang, detector, lambda _: None)  # type: ignore[arg-type]
    assert gang.done and parent.waits[0] < 0

    silent, detector = Late([]), HangDetector(1, 5.0)
    detector.hear(VisitNote(comparison=0, case="a@1", round=0, rounds=1))
    detector._heard_s[0] -= 100
    assert not Torchrun._follow(silent, Gang(1), detector, lambda _: None)  # type: ignore[arg-type]
