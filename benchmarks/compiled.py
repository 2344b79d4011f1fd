"""How much faster a compiled step is than an eager one: by rankbench, and by a plain loop in the same process.

    python benchmarks/compiled.py

A step is forty operations, an element at a time, which Inductor fuses. It needs a C++ compiler.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.journal.plan import Case, Comparison, Plan, Record, Side
from harness.journal.protocol import Order
from harness.journal.records import CellRecord
from harness.measure import worker
from harness.planning.stopping_rule import launch_value
from harness.plugins.registry import load
from harness.scenario import Gang, Scaling, Work, Workload, variant
from harness.world import world

OPERATIONS = 40
HOW = "eager", "compiled"
SIZES = 64, 256, 512
TURNS, BUDGET_S = 5, 12.0
BLOCKS, BLOCK_S = 500, 0.002


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Forty operations in a row on one matrix."""

    scaling: ClassVar[Scaling] = "none"
    size: int = 256
    how: Literal["eager", "compiled"] = variant(baseline="eager")

    def prepare(self, gang: Gang) -> Workload:
        """One n × n matrix."""
        x = torch.randn(self.size, self.size, generator=gang.generator)
        exact = chain(x.double())
        function = chain if self.how == "eager" else torch.compile(chain)

        def check(y: torch.Tensor) -> None:
            torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-5)

        return Workload(lambda: function(x), check=check, work=Work())


def chain(x: torch.Tensor) -> torch.Tensor:
    for place in range(OPERATIONS):
        x = x * 1.01 if place % 2 else x + 0.01
    return x


def measured(here: world.World, plan: Plan) -> dict[str, float]:
    """Seconds of a step of each case, as rankbench finds them."""
    told: list[Record] = []
    todo = {0: plan.comparisons[0].cases}
    order = Order(plan=plan, launch=0, attempt=0, todo=todo, budget_s=BUDGET_S, fingerprint="", scratch="")
    worker.run(order, here, told.append)
    return {cell.case: launch_value(cell) for cell in told if isinstance(cell, CellRecord)}


def plain(steps: list[Callable[[], object]]) -> list[float]:
    """Seconds of each step: the median of blocks that take turns."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(BLOCKS):
        for step, taken in zip(steps, seconds, strict=True):
            step()
            count, start_s = 0, time.perf_counter()
            while time.perf_counter() - start_s < BLOCK_S:
                step()
                count += 1
            taken.append((time.perf_counter() - start_s) / count)
    return [statistics.median(taken) for taken in seconds]


def main() -> None:
    reference = f"{__file__}:Chain"
    cases = tuple(
        Case(scenario="chain", reference=reference, params={"size": size, "how": how}, world_size=1)
        for size in SIZES
        for how in HOW
    )
    compared = Comparison(scenario="chain", title="", scaling="none", params={}, cases=cases)
    plan = Plan(
        version="0", command="", sides=(Side(name="inline", launcher="inline"),), devices=("cpu:0",), world_sizes=(1,),
        launches=1, budget_s=BUDGET_S, regime={}, comparisons=(compared,),
    )  # fmt: skip
    with world.alone(plan) as here:
        gang = here.gang(cases[0])
        steps = [load(reference).cls(**case.params).prepare(gang).step for case in cases]
        keys = [case.key for case in cases]
        turns = [(measured(here, plan), dict(zip(keys, plain(steps), strict=True))) for _ in range(TURNS)]
    print("| size | rankbench: eager | compiled | ratio | plain loop: eager | compiled | ratio | apart |")
    for eager, compiled in zip(cases[::2], cases[1::2], strict=True):
        row, ratios = [f"| {eager.params['size']}²"], []
        for each in zip(*turns, strict=True):
            times = [statistics.median(turn[case.key] for turn in each) for case in (eager, compiled)]
            ratios.append(statistics.median(turn[eager.key] / turn[compiled.key] for turn in each))
            row += [*(f"{1e6 * time_s:.1f} µs" for time_s in times), f"{ratios[-1]:.2f}"]
        print(" | ".join([*row, f"{100 * (ratios[0] / ratios[1] - 1):+.1f} % |"]))


if __name__ == "__main__":
    main()
