"""The large products by rankbench, triton.testing.do_bench and torch.utils.benchmark, in turn, in one process.

python benchmarks/gpu_products.py [cuda:0]      without a GPU it takes a CPU core, and shows no more than that it works

Prints a table in Markdown. Exits with 1 where rankbench's figure is not within 3 % of do_bench's, or where a step that
does nothing takes more than 5 µs. do_bench clears the L2 cache before each call and times every one by itself, so
it is held against samples that do so too.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils import benchmark

from harness.journal.plan import Case
from harness.measure.case_runner import CaseRunner
from harness.measure.sampling import Sampling
from harness.planning import builder
from harness.world import world
from harness.world.world import World

PRODUCTS = {"gemm": "fp32", "gemm_bf16": "bf16"}
ROUNDS = 11
SAMPLES = 4
"""Of rankbench in a round."""
APART = 0.03
FLOOR_S = 5e-6
OURS, OURS_COLD, DO_BENCH, TIMER = "rankbench", "rankbench, cold", "do_bench", "torch.utils.benchmark"
LIKE = {DO_BENCH: OURS_COLD}
"""The figure of rankbench's that is taken as another tool's is; of others the first."""


@dataclass(frozen=True)
class Told:
    """What every tool says of one step, in seconds, a round each."""

    name: str
    flops: float
    seconds: Mapping[str, Sequence[float]]

    def ratio(self, tool: str) -> float:
        """Rankbench's figure over another's: the median over the rounds, in which they were neighbours."""
        return statistics.median(
            a / b for a, b in zip(self.seconds[LIKE.get(tool, OURS)], self.seconds[tool], strict=True)
        )

    def rows(self) -> Iterator[str]:
        """A row of the table for each tool."""
        for tool, values in self.seconds.items():
            median_s = statistics.median(values)
            rate = f"{self.flops / median_s / 1e12:.4g}" if self.flops else ""
            span = f"{1e6 * min(values):.4g} to {1e6 * max(values):.4g}"
            over = "" if tool in (OURS, OURS_COLD) else f"{self.ratio(tool):.4f}"
            yield f"| {self.name} | {tool} | {1e6 * median_s:.4g} | {span} | {rate} | {over} |"


HEADING = """| step | tool | µs | over rounds | TFLOP/s | rankbench over it |
|---|---|---|---|---|---|"""


def ready(case: Case, here: World) -> CaseRunner:
    """A case as the harness would measure it."""
    runner = CaseRunner(case, here.gang(case, 0), here)
    runner.prepare()
    policy, step_s = Sampling(), min(lap.end_s - lap.start_s for lap in runner.visit(2))
    runner.inner, runner.warm = policy.inner(step_s), policy.warm(step_s)
    return runner


def ours(runner: CaseRunner) -> float:
    return statistics.median(lap.seconds for lap in runner.visit(SAMPLES)) / runner.inner


def tools(runner: CaseRunner) -> dict[str, Callable[[], float]]:
    """Each tool on the same step; do_bench where there is a GPU, and Triton."""
    assert runner.workload is not None
    step = runner.workload.step
    timer = benchmark.Timer("step()", globals={"step": step})
    found = {OURS: lambda: ours(runner), TIMER: lambda: float(timer.blocked_autorange(min_run_time=0.1).median)}
    if runner.world.device.torch.type == "cuda":
        from triton.testing import do_bench

        cold = replace(runner, cold=True, inner=1)
        found[OURS_COLD] = lambda: ours(cold)
        found[DO_BENCH] = lambda: float(do_bench(step, return_mode="median")) / 1e3
    return found


def in_turn(found: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, seed: int = 0) -> dict[str, list[float]]:
    """Every tool once a round, in a new order each."""
    told: dict[str, list[float]] = {tool: [] for tool in found}
    order, chance = list(found), random.Random(seed)
    for _ in range(rounds):
        chance.shuffle(order)
        for tool in order:
            told[tool].append(found[tool]())
    return told


def complaints(products: Sequence[Told], floor_s: float) -> list[str]:
    """What is not as it should be, a line each."""
    found = [
        f"{told.name}: rankbench's figure is {told.ratio(DO_BENCH):.4f} times do_bench's (limit {APART:.0%} from 1)"
        for told in products
        if DO_BENCH in told.seconds and abs(told.ratio(DO_BENCH) - 1) > APART
    ]
    if floor_s > FLOOR_S:
        found.append(f"a step that does nothing takes {1e6 * floor_s:.2f} µs (limit {1e6 * FLOOR_S:g} µs)")
    return found


def main(device: str) -> int:
    plan = builder.make(
        builder.RunRequest(names=("harness.plugins.floor_and_ceiling:Null",), devices=device, world_sizes="1")
    )
    with world.alone(plan) as here:
        probes = {case.scenario: case for case in plan.comparisons[0].cases if case.probe}
        null = ready(probes["null"], here)
        floor_s = statistics.median(ours(null) for _ in range(ROUNDS))
        products = []
        for name in (name for name in PRODUCTS if name in probes):
            runner = ready(probes[name], here)
            assert runner.workload is not None
            products.append(Told(PRODUCTS[name], runner.workload.work.flops, in_turn(tools(runner))))
            runner.check()
            runner.close()
        print(f"{here.device.model}, PyTorch {torch.__version__}, {ROUNDS} rounds\n\n{HEADING}")
    print(*(row for told in products for row in told.rows()), sep="\n")
    print(f"\nA step that does nothing takes {1e6 * floor_s:.3f} µs.")
    found = complaints(products, floor_s)
    print(*found, sep="\n", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if sys.argv[1:] else "cuda:0" if torch.cuda.is_available() else "cpu:1"))
