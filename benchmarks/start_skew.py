"""How far apart two ranks start: behind rankbench's delay window, and on leaving a gloo barrier.

python benchmarks/start_skew.py [RUN...]      RUN: a run directory, to tell the skew of its two-rank samples instead
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist
from two_ranks import HEADING, joined, relaunch, row

from harness.device.timing import StartLine, now
from harness.journal import log
from harness.journal.records import CellRecord

TIMES = 1000


def main() -> None:
    with joined() as (here, cases):
        group, agreed = here.groups[2], []

        def latest(value: float) -> float:
            """As here.line does it, and noting whether the agreement was over before the start that it set."""
            start_s = here.latest(value, cases[2].world_size) + here.lead_s
            agreed.append(start_s - now())
            return start_s - here.lead_s

        line = StartLine(latest, here.lead_s)
        left: dict[str, list[float]] = {"delay window": [], "gloo barrier": []}
        for _ in range(TIMES):
            line.cross()
            left["delay window"].append(now())
            dist.barrier(group=group)
            left["gloo barrier"].append(now())
        told, spare = (
            here.control.gather(left, dict[str, list[float]]),
            np.min(here.control.gather(agreed, list[float]), axis=0),
        )
        if here.rank == 0:
            print(f"lead {1e6 * here.lead_s:.0f} µs, {TIMES} starts each, interleaved\n{HEADING}")
            for name in left:
                print(row(f"{name}: start skew", np.abs(np.subtract(*(rank[name] for rank in told)))))
            print(row("later rank's time to spare at the agreement", spare))
            print(f"starts that a rank was too late for: {(spare < 0).sum()} of {TIMES}")


def of_run(run: Path) -> None:
    """The skew of every two-rank sample of a run, as its journal has it."""
    cells = (entry.samples for entry in log.read(run / "journal.jsonl") if isinstance(entry, CellRecord))
    skew = np.concatenate([np.abs(np.subtract(*told.start_s)) for told in cells if told and len(told.start_s) == 2])
    print(HEADING, row(f"{len(skew)} samples of {run.name}: start skew", skew), sep="\n")
    print(f"more than 10 µs apart: {np.mean(skew > 10e-6):.0%}")


if __name__ == "__main__":
    if runs := sys.argv[1:]:
        for path in runs:
            of_run(Path(path))
    else:
        relaunch()
        main()
