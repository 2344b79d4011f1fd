"""What supervision costs: a sample with and without a sentry beside it, and what looks for processes and ends them.

python benchmarks/supervision.py
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from harness.device.timing import Timer, now
from harness.journal.plan import DEADLINE_S
from harness.measure.timing_loop import sample
from harness.planning import builder
from harness.scenario import Work, Workload
from harness.world import world
from harness.world.watchdog import Watchdog
from launch.processes.cleanup import kill_all, marked, temporary

BLOCKS, SAMPLES = 60, 300
NOTHING = Workload(lambda: None, check=lambda _: None, work=Work())
WATCHES = {"no sentry": None, f"a deadline of {DEADLINE_S:g} s": DEADLINE_S, "a deadline of 0.05 s": 0.05}
"""The last wakes the sentry up thousands of times as often as it usually does."""


def samples() -> None:
    """Null samples beside a sentry and without one, in blocks whose order is drawn anew in each round."""
    plan = builder.make(
        builder.RunRequest(names=("harness.plugins.floor_and_ceiling:Null",), devices="cpu:1", launcher="inline")
    )
    read: dict[str, list[float]] = {name: [] for name in WATCHES}
    periods: dict[str, list[float]] = {name: [] for name in WATCHES}
    with world.alone(plan) as here:
        case = next(case for case in plan.comparisons[0].cases if case.probe and case.scenario == "null")
        line, watch, watchdog = here.line(case), Timer(here.device), Watchdog()
        for _ in range(BLOCKS):
            for name in random.sample(list(WATCHES), len(WATCHES)):
                deadline_s = WATCHES[name]
                with watchdog.posted(0, deadline_s, lambda _: None) if deadline_s else nullcontext():
                    start_s = now()
                    for _ in range(SAMPLES):
                        read[name].append(sample(NOTHING, 1, here.device, line, watch)[0].seconds)
                        if deadline_s:
                            watchdog.beat()
                    periods[name].append((now() - start_s) / SAMPLES)
    print(f"{'a null sample, µs':<32}{'median':>9}{'p99':>9}{'whole, median of blocks':>26}")
    for name, each in read.items():
        median, high = 1e6 * np.percentile(each, [50, 99])
        print(f"{name:<32}{median:>9.3f}{high:>9.3f}{1e6 * statistics.median(periods[name]):>26.2f}")


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of an action."""
    took = []
    for _ in range(times):
        start_s = time.perf_counter()
        action()
        took.append(1e3 * (time.perf_counter() - start_s))
    return took


def post() -> None:
    with Watchdog().posted(0, DEADLINE_S, lambda _: None):
        pass


def stay() -> None:
    with temporary():
        pass


def launches() -> None:
    mark = tempfile.gettempdir() + "/rankbench-none"
    rows = {
        "a launch: look for its processes, twice": timed(lambda: (marked(mark), kill_all(marked(mark))), 50),
        "a launch: post a sentry on each rank": timed(post, 200),
        "a run: a folder, and who sweeps it": timed(stay, 20),
    }
    print(f"\n{'ms':<42}{'median':>9}{'p90':>9}")
    for name, took in rows.items():
        print(f"{name:<42}{statistics.median(took):>9.2f}{np.percentile(took, 90):>9.2f}")


if __name__ == "__main__":
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    samples()
    launches()
