"""Compiled steps: what is timed is what was compiled, for each of many cases in one process, and in profiles too."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from harness.device.device import CpuDevice
from harness.journal.plan import Case, Comparison, Plan, Record, Side
from harness.journal.protocol import Order
from harness.journal.records import CellRecord
from harness.measure import profiler
from harness.measure.case_runner import CaseRunner
from harness.measure.worker import run
from harness.scenario import Gang, Work, Workload, variant
from harness.world.world import World

SIZES = 4, 8, 16, 32, 64, 128
OPERATIONS = 40
steps: Counter[tuple[str, int]] = Counter()
"""Calls of each case's step."""
runs: Counter[tuple[str, int]] = Counter()
"""Those of them that ran what the backend made."""
inputs: dict[tuple[str, int], list[Any]] = {}
"""What each case was compiled for."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Forty operations, an element at a time: one function for all cases, as most scenarios have it."""

    scaling: ClassVar = "none"
    size: int = 4
    how: Literal["sines", "cosines"] = variant(baseline="sines")

    def prepare(self, gang: Gang) -> Workload:
        name = self.how, self.size

        def backend(graph: torch.fx.GraphModule, examples: Sequence[Any]) -> Callable[..., Any]:
            inputs.setdefault(name, []).extend(examples)
            return lambda *args: (runs.update([name]), graph.forward(*args))[1]

        @torch.compile(backend=backend)
        def chain(x: torch.Tensor) -> torch.Tensor:
            for _ in range(OPERATIONS):
                x = x.sin() if self.how == "sines" else x.cos()
            return x

        x = torch.randn(self.size, self.size, generator=gang.generator)

        def step() -> torch.Tensor:
            steps[name] += 1
            return chain(x)

        return Workload(step, check=lambda _: None, work=Work())


NAMES = [(how, size) for size in SIZES for how in ("sines", "cosines")]
CASES = tuple(
    Case(scenario="chain", reference=f"{__name__}:Chain", params={"how": how, "size": size}, world_size=1)
    for how, size in NAMES
)


def world() -> World:
    sys.modules.setdefault(__name__, sys.modules[Chain.__module__])
    return World(0, 1, CpuDevice(0), "cpu:0", (0,), 1)


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    torch._dynamo.reset()
    for counts in (steps, runs, inputs):
        counts.clear()


def test_every_timed_step_runs_what_was_compiled_however_many_cases_there_are() -> None:
    compared = Comparison(scenario="chain", title="", scaling="none", params={}, cases=CASES)
    plan = Plan(
        version="0", command="", sides=(Side(name="inline", launcher="inline"),), devices=("cpu:0",), world_sizes=(1,),
        launches=1, budget_s=1, regime={}, comparisons=(compared,),
    )  # fmt: skip
    order = Order(plan=plan, launch=0, attempt=0, todo={0: CASES}, budget_s=0.1, fingerprint="f", scratch="")
    here, told = world(), list[Record]()
    here.settle_in()
    run(order, here, told.append)
    cells = [entry for entry in told if isinstance(entry, CellRecord)]
    assert [cell.status for cell in cells] == ["ok"] * len(CASES)
    assert {name: steps[name] - runs[name] for name in NAMES} == dict.fromkeys(NAMES, 1)  # the one that is counted
    assert {name: [tuple(each.shape) for each in inputs[name]] for name in NAMES} == {
        name: [(name[1], name[1])] for name in NAMES
    }  # and not for any size, as when a case before it had another


def test_a_profile_is_of_what_was_compiled(tmp_path: Path) -> None:
    here = world()
    for case in CASES:
        runner = CaseRunner(case, here.gang(case), here)
        runner.prepare()
        profiler.traced(runner, 2, tmp_path / "trace.json.gz")
        runner.close()
    assert {name: steps[name] - runs[name] for name in NAMES} == dict.fromkeys(NAMES, 1)
