"""The sentry tells whether its rank moves, and where one stands that does not."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from harness.common.errors import HangError
from harness.device.device import CpuDevice
from harness.gang import Gang
from harness.journal.protocol import Order, RankNote
from harness.journal.records import CellRecord
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world import control, watchdog
from harness.world.watchdog import AlarmWatchdog, Watchdog, seen
from harness.world.world import World
from launch.inline import Inline
from tests.ranks import Ranks

PLUGINS = Path(__file__).parents[3] / "distributed" / "plugins.py"


def test_who_moves_is_told_to_move_and_who_stands_where_it_stands() -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    watch = Watchdog()
    with watch.posted(3, 0.05, told.put):
        first = None
        while first is None or first.state != "moves":  # one that came late may have told something else
            watch.beat()
            first = told.get() if told.qsize() else first
        while (second := told.get()).state == "moves":  # may still have seen the last of the signs of life
            pass
    assert (first.rank, first.state, first.stack) == (3, "moves", "")
    assert (second.rank, second.state) == (3, "stuck")
    assert "test_who_moves" in second.stack and "(test_watchdog.py:" in second.at


def test_a_sentry_sleeps_for_as_long_as_its_rank_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up a deadline, however many signs of life there are: they cost an assignment."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    watch, beats = Watchdog(), 0
    with watch.posted(0, 0.05, told.put):
        while told.qsize() < 3:
            watch.beat()
            beats += 1
    assert beats > 100


class Relief:
    """In place of the event that relieves a sentry: time passes while it waits, and its rank moves every second."""

    def __init__(self, watch: Watchdog, moves_until_s: float, ends_s: float) -> None:
        self.watch, self.moves_until_s, self.ends_s = watch, moves_until_s, ends_s
        self.now_s = watch._beat_s = 0.0
        self.looks = 0

    def wait(self, timeout_s: float) -> bool:
        self.looks += 1
        self.now_s += timeout_s
        self.watch._beat_s = min(float(int(self.now_s)), self.moves_until_s)
        return self.now_s >= self.ends_s


@pytest.mark.parametrize("moves_until_s", [0.0, 1.0, 30.0, 39.0, 41.0, 300.0])
def test_a_rank_that_moves_is_told_twice_a_deadline_and_one_that_stands_when_it_has_passed(
    moves_until_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, told = Watchdog(), list[tuple[float, str]]()
    relief = Relief(watch, moves_until_s, 300)
    monkeypatch.setattr(watchdog, "now", lambda: relief.now_s)
    watch._stand(relief, threading.get_ident(), 0, 60, lambda note: told.append((relief.now_s, note.state)))  # type: ignore[arg-type, attr-defined]
    moves_s = [0.0, *(when_s for when_s, state in told if state == "moves")]
    stands_s = [when_s for when_s, state in told if state != "moves"]
    assert all(later_s - sooner_s <= 30 for sooner_s, later_s in pairwise(moves_s))
    assert not moves_until_s or moves_s[-1] >= min(moves_until_s, 270)
    assert relief.looks <= 300 / 30 + 6 * len(stands_s)
    assert stands_s == [when_s for when_s in (moves_until_s + 60 * turn for turn in range(1, 5)) if when_s < 300]


def test_a_rank_that_stood_still_with_all_others_is_told_to_move_as_soon_as_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, told = Watchdog(), list[tuple[float, str]]()

    class Stopped(Relief):
        """From second 30 to 110 the machine is stopped."""

        def wait(self, timeout_s: float) -> bool:
            over = super().wait(timeout_s)
            if 30 <= self.now_s < 110:
                self.now_s, self.watch._beat_s = 110, 30
            return over

    relief = Stopped(watch, 300, 200)
    monkeypatch.setattr(watchdog, "now", lambda: relief.now_s)
    watch._stand(relief, threading.get_ident(), 0, 60, lambda note: told.append((relief.now_s, note.state)))  # type: ignore[arg-type, attr-defined]
    assert told[:2] == [(110, "stuck"), (111, "moves")]
    assert {state for _, state in told[1:]} == {"moves"}


def frame_of(call: Callable[[Callable[[], FrameType]], FrameType]) -> FrameType:
    return call(lambda: sys._getframe(1))


def compiled(name: Path | str, source: str = "def call(here):\n    return here()\n") -> Any:
    """A function that is in a file of that name."""
    space: dict[str, Any] = {}
    exec(compile(source, str(name), "exec"), space)
    return space["call"]


def test_who_waits_for_others_is_told_from_who_is_in_a_collective_and_from_who_just_hangs() -> None:
    collective = compiled("/venv/torch/distributed/distributed_c10d.py")
    home = Path(watchdog.__file__).parents[1] / "measure"
    assert seen(0, frame_of(compiled(control.__file__))).state == "waits"
    assert seen(0, frame_of(collective)).state == "collective"
    assert seen(0, frame_of(compiled("/somebody/plugin.py"))).state == "stuck"
    between = compiled(control.__file__, "def call(here):\n    return next_(here)\n")
    between.__globals__["next_"] = collective
    assert seen(0, frame_of(between)).state == "waits"  # agreeing takes a collective too
    below = compiled("/venv/torch/distributed/launcher/api.py", "def call(here):\n    return next_(here)\n")
    below.__globals__["next_"] = compiled(home / "comparison.py")
    assert seen(0, frame_of(below)).state == "stuck"  # the launcher of the ranks is there too, but it waits for nobody


def test_who_waits_for_its_gpu_while_nccl_has_a_collective_in_flight_waits_for_the_others() -> None:
    """NCCL's collectives return at once: that one is not done is seen wherever the GPU is waited for next."""
    step = frame_of(compiled("/somebody/plugin.py"))
    flying = ("nccl:all_reduce number 7 of group 0 (default_pg), Float [1024]: started",)
    assert seen(1, step, flying).state == "collective" and seen(1, step, flying).pending == flying
    assert seen(1, step, ("gloo:all_reduce number 7 of group 0 (default_pg), Float [1]: scheduled",)).state == "stuck"
    assert seen(1, frame_of(compiled(control.__file__)), flying).state == "waits"


@pytest.mark.parametrize("plugin", ["/home/me/train.py", "/venv/lib/python3.11/site-packages/somebody/train.py"])
def test_where_a_rank_stands_is_a_line_of_the_user_s(plugin: str) -> None:
    """Neither PyTorch's, nor Python's, nor that of who called the harness."""
    frames = [
        "/home/me/launcher.py",  # called the harness
        Path(watchdog.__file__).parents[1] / "measure" / "case_runner.py",
        plugin,
        "/venv/lib/python3.11/site-packages/torch/nn/modules/module.py",
        contextlib.__file__,
        "<string>",
        "/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py",
    ]
    calls = [compiled(name, "def call(here):\n    return next_(here)\n") for name in frames]
    for outer, inner in pairwise([*calls, compiled("/venv/torch/distributed/c10d.py")]):
        outer.__globals__["next_"] = inner
    told = seen(0, frame_of(calls[0]))
    assert (told.state, told.at) == ("collective", "call (train.py:2)")


def alone_in_a_collective(mine: Gang) -> RankNote | None:
    """Rank 1 waits in an all-reduce until its sentry has told so; then rank 0 comes."""
    told: list[RankNote] = []
    seen_there = mine.scratch / "seen"

    def tell(note: Any) -> None:
        if note.state == "collective" and note.pending and not told:
            told.append(note)
            seen_there.touch()

    if mine.rank == 0:
        while not seen_there.exists():
            time.sleep(0.01)
        mine.all_reduce(torch.ones(1))
        seen_there.unlink()
        return None
    with Watchdog().posted(mine.rank, 0.1, tell):
        mine.all_reduce(torch.ones(1))
    return told[0]


def test_a_real_collective_that_nobody_else_comes_to_is_recognised(two_ranks: Ranks) -> None:
    _, note = two_ranks.do(alone_in_a_collective)
    assert note is not None and note.state == "collective"
    assert note.at.startswith("alone_in_a_collective (test_watchdog.py:")
    (flying,) = note.pending  # and none of what has ended
    assert flying.startswith("gloo:all_reduce number ") and flying.endswith(", Float [1]: scheduled")


def spin() -> None:
    while True:
        pass


def stand(alarm: AlarmWatchdog) -> None:
    """Give a last sign of life."""
    alarm.beat()
    spin()


FIRST = """
import sys
from harness.world import world
from harness.planning.builder import make
from harness.planning.request import RunRequest

with world.alone(make(RunRequest(names=["split"], devices="cpu:1"))):
    sys.exit("torch._dynamo" not in sys.modules)
"""


def test_what_takes_seconds_to_import_is_there_before_a_deadline_counts() -> None:
    """An import that an alarm interrupts may leave a module of which half is missing, for good."""
    subprocess.run([sys.executable, "-c", FIRST], check=True)


def test_an_alarm_interrupts_what_does_not_move() -> None:
    alarm = AlarmWatchdog(0.05)
    with pytest.raises(HangError, match=r"no sign of life for 0.05 s: in spin \(test_watchdog"), alarm.set():
        stand(alarm)
    end_s = time.monotonic() + 0.2
    while time.monotonic() < end_s:  # nothing rings any more
        pass


def stubborn(alarm: AlarmWatchdog, rings: int) -> None:
    """A loop that goes on whatever happens, until it has been interrupted so often."""
    alarm.beat()
    while True:
        try:
            spin()
        except Exception as error:  # noqa: BLE001 - as many a loop has it
            pytest.fail(f"{error!r} was swallowed")
        except BaseException:
            if not (rings := rings - 1):
                raise


def test_an_alarm_that_is_not_heeded_rings_again_and_nothing_that_catches_exceptions_swallows_it() -> None:
    alarm = AlarmWatchdog(0.05)
    with pytest.raises(HangError), alarm.set():
        stubborn(alarm, 3)


def test_an_alarm_rings_for_a_scenario_alone() -> None:
    """What the harness does beside, such as waiting for a slow disk, may take longer."""
    alarm = AlarmWatchdog(0.05)
    with alarm.set():
        with pytest.raises(HangError), alarm.minding():
            spin()
        end_s = time.monotonic() + 0.2
        while time.monotonic() < end_s:
            pass


@dataclass(frozen=True)
class Broken(CpuDevice):
    """A device that takes no more of this process, as after a fault of CUDA."""

    def synchronize(self) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


class Hanging(CpuDevice):
    """One whose work does not end."""

    def synchronize(self) -> None:
        threading.Event().wait()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Broken(0), "an illegal memory access"),
        (Hanging(0), "it has not ended its work within 0.2 s"),
        (CpuDevice(0), None),
    ],
)
def test_inline_nothing_is_started_on_a_device_that_takes_no_more_of_this_process(
    monkeypatch: pytest.MonkeyPatch, device: CpuDevice, words: str | None
) -> None:
    monkeypatch.setattr("launch.inline.ANSWER_S", 0.2)
    orders: list[int] = []

    def run(order: Order, world: World, hear: object) -> bool:
        world.device = device
        orders.append(order.launch)
        return False

    monkeypatch.setattr("harness.measure.worker.run", run)
    plan = make(RunRequest(names=["split"], devices="cpu:1", launcher="inline"))
    with Inline() as inline:
        told = [
            inline.launch(Order(plan=plan, launch=n, attempt=0, todo={}, budget_s=1, fingerprint="", scratch=""), print)
            for n in range(2)
        ]
    assert told[0] is None and orders == ([0, 1] if words is None else [0])
    if words is not None:
        assert told[1] is not None and told[1].status == "skipped" and words in told[1].message


def test_inline_what_hangs_is_a_cell_and_the_rest_is_measured(tmp_path: Path) -> None:
    """The deadline is far off, so that nothing else misses it: the step itself brings it near."""
    run_request = RunRequest(
        names=[f"{PLUGINS}:Spins"], devices="cpu:1", launcher="inline", budget_s=3, deadline_s=3600
    )
    plan = make(run_request)
    told: list[Any] = []
    todo = {0: plan.comparisons[0].cases}
    order = Order(plan=plan, launch=0, attempt=0, todo=todo, budget_s=3, fingerprint="f", scratch=str(tmp_path))
    with Inline() as inline:
        inline.launch(order, told.append)
    cells = {cell.case: cell for cell in told if isinstance(cell, CellRecord)}
    assert len(cells) == len(plan.comparisons[0].cases)
    hung = cells.pop("spins[moves=no]@1")
    assert (hung.status, hung.rank) == ("hang", 0) and "in step (plugins.py:" in (hung.message or ""), hung.message
    assert {cell.status for cell in cells.values()} == {"ok"}
