"""What a fresh launch costs under each launcher: its wall-clock without the time from its first sample to its last.

python benchmarks/launch_cost.py RUN        RUN: e.g. of ``rankbench run split --launcher torchrun,ray --devices cpu:2``
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from harness.journal.records import CellRecord, EndRecord
from harness.journal.run_directory import RunDir


def main(run: RunDir) -> None:
    plan = run.plan()
    spans: dict[int, list[float]] = {}
    walls: dict[int, float] = {}
    for entry in run.entries():
        if isinstance(entry, EndRecord):
            walls[entry.launch] = walls.get(entry.launch, 0.0) + entry.wall_s
        elif isinstance(entry, CellRecord) and entry.samples:
            ends = [time for times in (entry.samples.start_s, entry.samples.end_s) for rank in times for time in rank]
            spans.setdefault(entry.launch, []).extend((min(ends), max(ends)))
    costs: dict[str, list[float]] = {}
    for launch, wall_s in sorted(walls.items()):
        own = spans.get(launch, [0.0])
        costs.setdefault(plan.side_of(launch).name, []).append(wall_s - (max(own) - min(own)))
    for name, told in costs.items():
        rest = sorted(told[1:] or told)
        middle_s = statistics.median(rest)
        print(f"{name:<12} first {told[0]:5.2f} s, then {middle_s:5.2f} s [{rest[0]:.2f}, {rest[-1]:.2f}]")


if __name__ == "__main__":
    main(RunDir(Path(sys.argv[1])))
