"""What the two-rank measurements share: the script starts again under torchrun, in rankbench's own world."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from harness.device.telemetry.cpu_load import CpuTime
from harness.journal.plan import Case
from harness.planning import builder
from harness.world import world
from harness.world.world import World

PLAN = builder.RunRequest(names=("harness.plugins.floor_and_ceiling:Null",), devices="cpu:2")


def relaunch() -> None:
    """Outside of torchrun, run this script there with two ranks, and end."""
    if "RANK" in os.environ:
        return
    print(f"load average before: {os.getloadavg()[0]:.2f}", flush=True)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *sys.argv]
    sys.exit(subprocess.run(start, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode)


@contextmanager
def joined() -> Iterator[tuple[World, dict[int, Case]]]:
    """The world of two pinned ranks, and the null case alone and on both, by world size."""
    plan = builder.make(PLAN, ranks=(2, 2))
    cases = {case.world_size: case for case in plan.comparisons[0].cases if case.probe and case.scenario == "null"}
    with world.joined(plan) as here:
        before = CpuTime.now()
        yield here, cases
        mine = CpuTime.now() - before
        told = here.control.gather((mine.delay_s or 0.0) / mine.wall_s, float)
        if here.rank == 0:  # not Load.foreign: it takes off all that gloo's threads ran, and so reads 0 here
            each = ", ".join(f"rank {rank} {share:.1%}" for rank, share in enumerate(told))
            print(f"main thread waited for its core, own gloo threads included: {each}")


def row(name: str, values_s: Sequence[float] | np.ndarray) -> str:
    """Median, p90, p99 and the greatest of some seconds, in microseconds."""
    told = (*np.percentile(values_s, [50, 90, 99]), np.max(values_s))
    return f"{name:<44}" + "".join(f"{1e6 * value:>10.2f}" for value in told)


HEADING = f"{'µs':<44}{'median':>10}{'p90':>10}{'p99':>10}{'max':>10}"
