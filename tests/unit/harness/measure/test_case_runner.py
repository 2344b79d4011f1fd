"""A trial: what is called when around the timed steps, and what it tells."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from harness.common.errors import RefusedError
from harness.device.device import CpuDevice
from harness.device.timing import now
from harness.journal.plan import Case
from harness.measure.case_runner import CaseRunner
from harness.plugins.source_digest import digest
from harness.scenario import Gang, Work, Workload
from harness.work import contract, memory
from harness.world.aligned_start import HostClock
from harness.world.world import World
from tests import emulated

told: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Consuming:
    """Steps use up what there is; without a reset there is soon nothing left."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        def step() -> torch.Tensor:
            told.append("counted" if _get_current_dispatch_mode() else "step")
            return torch.randn(4, 4) @ torch.randn(4, 4)

        def check(output: torch.Tensor) -> dict[str, object]:
            told.append("check")
            return {"answer": 42, "half": 0.5, "word": "yes", "sure": True}

        return Workload(step, check=check, work=Work(), reset=lambda: told.append("reset"))


@pytest.fixture
def runner() -> Iterator[CaseRunner]:
    sys.modules.setdefault(__name__, sys.modules[Consuming.__module__])
    world = World(0, 1, CpuDevice(0), "cpu:0", (0,), 1)
    case = Case(scenario="consuming", reference=f"{__name__}:Consuming", params={}, world_size=1)
    told.clear()
    made = CaseRunner(case, world.gang(case), world)
    yield made
    made.close()


def calls() -> list[tuple[str, int]]:
    """What was called and how often in a row, since the last look."""
    seen = [(name, len(list(same))) for name, same in groupby(told)]
    told.clear()
    return seen


def test_a_case_whose_code_is_not_what_was_planned_is_not_measured(runner: CaseRunner) -> None:
    replace(runner, code=digest(Consuming)).prepare()
    with pytest.raises(RefusedError, match="the code of consuming is not what was planned: it has changed since"):
        replace(runner, code="0" * 16).prepare()


def test_who_failed_first_is_told_by_the_hosts_clock_and_not_by_an_emulated_one() -> None:
    own = emulated.device()
    case = Case(scenario="consuming", reference=f"{__name__}:Consuming", params={}, world_size=1)
    world = World(0, 1, own, "emulated:0", (0,), 1, clock=HostClock(own.now))
    mine = CaseRunner(case, world.gang(case), world)
    before_s = now()
    mine.fail(ValueError("planted"))
    assert mine.failed_s is not None and before_s <= mine.failed_s <= now()
    assert own.now() == 0


def test_messages_of_a_case_that_failed_are_not_waited_for_by_the_next_one() -> None:
    def never() -> float:
        raise RuntimeError("connection closed by peer")

    own = emulated.device()
    world = World(0, 2, own, "emulated:0", (0,), 1, backend="emulated", sizes=(2,))
    own.pending.append(never)
    with pytest.raises(RuntimeError, match="closed by peer"):
        own.synchronize()
    own.pending.append(never)
    world.release(2)
    own.synchronize()


def test_ranks_are_uneven_only_where_there_are_several(runner: CaseRunner) -> None:
    assert runner.gang is not None
    runner.prepare()
    pair = replace(runner.gang, size=2)
    assert not replace(runner, gang=pair).facts().asymmetric
    assert runner.workload is not None
    asymmetric = replace(runner.workload, asymmetric=True)
    assert replace(runner, workload=asymmetric, gang=pair).facts().asymmetric
    assert not replace(runner, workload=asymmetric).facts().asymmetric


def test_the_state_is_put_back_before_every_sample_and_before_untimed_steps(runner: CaseRunner) -> None:
    runner.prepare()
    step = [("reset", 1), ("step", 1)]
    assert calls() == [*step, *step, ("reset", 1), ("counted", 1), *step]
    runner.inner, runner.warm = 3, 2
    runner.visit(2)
    assert calls() == [("reset", 1), ("step", 2), ("reset", 1), ("step", 3), ("reset", 1), ("step", 3)]


def test_watched_samples_are_samples_that_do_not_count(runner: CaseRunner) -> None:
    runner.prepare()
    calls()
    runner.inner, runner.warm = 3, 2
    runner.watch(2)
    assert calls() == [("reset", 1), ("step", 2), ("reset", 1), ("step", 3), ("reset", 1), ("step", 3)]
    assert runner.laps == []
    assert [len(each.calls) for each in runner.watched] == [0, 0]


def test_nothing_comes_between_the_last_timed_step_and_the_check(runner: CaseRunner) -> None:
    runner.prepare()
    runner.visit(1)
    runner.check()
    assert calls()[-2:] == [("step", 1), ("check", 1)]


def test_the_memory_is_that_of_a_plain_step(runner: CaseRunner) -> None:
    runner.prepare()
    assert calls()[-1] == ("step", 1)  # and not of one that is counted: counting needs memory of its own
    assert runner.facts().peak_bytes is None or runner.facts().peak_bytes < 2**22


def test_what_a_case_holds_between_steps_and_what_a_step_adds_are_told_apart(runner: CaseRunner) -> None:
    held, added = 2**26, 2**25

    class Large:
        def prepare(self, gang: Gang) -> Workload:
            operand, gradient = torch.ones(held // 8), []

            def step() -> None:
                gradient[:] = gradient or [torch.ones(held // 8)]  # the first step makes it, and it stays
                torch.ones(added // 4)

            return Workload(step, check=lambda _: operand, work=Work())

    memory.in_use(torch.device("cpu"))
    runner._scenario = Large  # type: ignore[method-assign]
    runner.prepare()
    facts = runner.facts()
    assert facts.held_bytes == pytest.approx(held, abs=2**23)
    assert facts.peak_bytes is None or facts.peak_bytes == pytest.approx(added, abs=2**22)


def test_what_the_check_has_established_reaches_the_journal(runner: CaseRunner) -> None:
    runner.prepare()
    runner.visit(1)
    assert runner.facts().found == {}
    runner.check()
    assert runner.facts().found == {"answer": 42, "half": 0.5, "word": "yes", "sure": True}


@pytest.mark.parametrize(
    "found",
    [{"a": 10**5000}, {"a": "\ud800"}, {"\ud800": 1}, {"a": "x" * 1001}, {str(place): 1 for place in range(101)}],
)
def test_what_no_reader_could_take_is_an_error_of_the_check(runner: CaseRunner, found: dict[str, object]) -> None:
    runner.prepare()
    runner.workload = replace(runner._my_workload, check=lambda _: found)
    with pytest.raises(ValueError, match=r"what check\(\) tells must be finite numbers of 64 bits"):
        runner.check()
    runner.workload = replace(runner._my_workload, check=lambda _: {"a": 2**62, "b": "x" * 1000, "c": False})
    runner.check()
    assert runner.facts().found == {"a": 2**62, "b": "x" * 1000, "c": False}


@pytest.mark.parametrize("unit", [5, "", "x" * 41, "a\nb", None])
def test_the_unit_of_work_is_a_word(unit: object) -> None:
    with pytest.raises(ValueError, match=r"Work\.unit must be a word"):
        contract.validated(Workload(lambda: None, check=lambda _: None, work=Work(unit=unit)))  # type: ignore[arg-type]


def test_what_was_returned_is_evaluated_once_and_kept_as_plain_values() -> None:
    class Counting(Workload):
        @property
        def asymmetric(self) -> Any:  # type: ignore[override]
            asked.append(1)
            return np.bool_(1)

    asked: list[int] = []
    strange = Counting.__new__(Counting)
    plain = Workload(lambda: None, check=lambda _: None, work=Work(flops=np.float32(3), items=2))  # type: ignore[arg-type]
    strange.__dict__.update(plain.__dict__)
    workload = contract.validated(strange)
    assert (type(workload), workload.asymmetric, workload.asymmetric, len(asked)) == (Workload, True, True, 1)
    assert [type(each) for each in (workload.work.flops, workload.work.items)] == [float, float]
    with pytest.raises(TypeError, match=r"Workload\.check must be callable, but is NoneType"):
        contract.validated(replace(plain, check=None))  # type: ignore[arg-type]


class Output:
    """Counts those that are alive."""

    alive: ClassVar[weakref.WeakSet[Output]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def test_one_output_at_most_is_alive_when_a_timed_step_begins(runner: CaseRunner) -> None:
    counts: list[int] = []

    def step() -> Output:
        counts.append(len(Output.alive))
        return Output()

    runner.prepare()
    runner.workload = replace(runner._my_workload, step=step)
    runner.inner, runner.warm = 3, 2
    for _ in range(2):
        runner.visit(3)
    assert max(counts) == 1  # that of the step before
    assert len(Output.alive) == 1  # and the last one is there for the check


def test_cycles_that_steps_leave_behind_go_with_each_visit(runner: CaseRunner) -> None:
    def step() -> None:
        node = Output()
        node.itself = node  # type: ignore[attr-defined]

    runner.prepare()
    runner.workload = replace(runner._my_workload, step=step)
    runner.inner = 5
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            runner.visit(2)
            assert len(Output.alive) == 0
    finally:
        gc.enable()


def test_files_stay_until_every_rank_has_closed(runner: CaseRunner, tmp_path: Path) -> None:
    assert runner.gang is not None
    runner.gang = replace(runner.gang, folder=tmp_path / "scratch")
    runner.prepare()
    path = runner.gang.scratch / "a peer's"
    path.touch()
    runner.close()
    assert path.exists()
    runner.remove_files()
    assert not runner.gang.folder.exists()


def test_nothing_that_a_scenario_says_of_its_workload_is_lost() -> None:
    def call(*_: object) -> None: ...

    other = {field.name: True for field in fields(Workload)} | dict.fromkeys(("step", "check", "reset", "close"), call)
    workload = Workload(**other | {"work": Work(flops=1, bytes=2, items=3, unit="row")})  # type: ignore[arg-type]
    assert contract.validated(workload) == workload
