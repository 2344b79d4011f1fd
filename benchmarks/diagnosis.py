"""Which cause does a report's first sentence name? On simulated runs with planted causes, and on healthy ones.

    python -m benchmarks.diagnosis [--runs 20] [--healthy 1000] [--jobs 2]

prints the tables of docs/measured/diagnosis.md. A run is right if its report names the planted cause, and the planted
rank. Exit code 0: from 10 % on 98 % of the runs are, and at most 0.5 % of the healthy ones name a cause or a rank.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from reports.analysis.summary import summarise
from reports.schema.summary import Summary
from tests.planted import CAUSES, Machine

RANKS, SIZES = (2, 4, 8, 32), (0.05, 0.10, 0.30)
FROM, BAR = 0.10, 0.98
MOST_FALSE = 0.005
VARIATION = 0.03
"""Of the devices of healthy runs; those of the others vary by a hundredth."""
HARD = ("slow device", "page faults of a rank", "slow device by its clock", "causal imbalance")
"""Causes of single ranks, which are told once more among devices that vary as healthy ones do."""


def summary_of(machine: Machine) -> Summary:
    with tempfile.TemporaryDirectory() as folder:
        return summarise(machine.build(Path(folder) / "run"))


def named(machine: Machine) -> str:
    """What a run's report names: ``right``, the wrong cause, or nothing."""
    found = summary_of(machine)
    row = found.causes[-1] if found.causes else None
    if row is not None and row.text not in found.headline:
        return "not in the first sentence"
    return "right" if machine.right(row) else row.cause if row is not None else "nothing"


def ranks_named(machine: Machine) -> bool:
    """Whether a healthy run's report names a cause or a rank anywhere."""
    found = summary_of(machine)
    return bool(found.causes) or any(row.named for row in found.ranks)


def table(
    pool: ProcessPoolExecutor, causes: Sequence[str], runs: int, variation: float
) -> Iterator[tuple[float, float]]:
    """Print a row a cause; each cell's size, and the share of its runs that are right."""
    heads = [f"{100 * size:.0f} %, {ranks}" for size in SIZES for ranks in RANKS]
    print("| planted | " + " | ".join(heads) + " | else it says |")
    print("|---" * (len(heads) + 2) + "|")
    for cause in causes:
        told, wrong = [], Counter[str]()
        for size in SIZES:
            for ranks in RANKS:
                machines = [Machine(ranks, cause, size, variation, seed) for seed in range(runs)]
                said = Counter(pool.map(named, machines, chunksize=5))
                told.append(said.pop("right", 0) / runs)
                wrong += said if size >= FROM else Counter()
                yield size, told[-1]
        others = ", ".join(f"{what} {count}×" for what, count in wrong.most_common())
        print(f"| {cause} | " + " | ".join(f"{100 * share:.0f}" for share in told) + f" | {others} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--healthy", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.jobs) as pool:
        print("Planted, per cent of the runs that are right\n")
        cells = list(table(pool, list(CAUSES), asked.runs, 0.01))
        counted = [share for size, share in cells if size >= FROM]
        right = sum(counted) / len(counted)
        print(f"\nFrom {100 * FROM:.0f} % on: {100 * right:.1f} % of {len(counted) * asked.runs} runs are right.")
        print("\nThe same among devices that vary by 3 %\n")
        list(table(pool, HARD, asked.runs, VARIATION))
        print("\n| healthy, ranks | runs | a cause or a rank is named |\n|---|---|---|")
        false = []
        for ranks in RANKS:
            machines = [Machine(ranks, variation=VARIATION, seed=seed) for seed in range(asked.healthy)]
            false.append(sum(pool.map(ranks_named, machines, chunksize=20)) / asked.healthy)
            print(f"| {ranks} | {asked.healthy} | {100 * false[-1]:.1f} % |", flush=True)
    return 0 if right >= BAR and max(false) <= MOST_FALSE else 1


if __name__ == "__main__":
    sys.exit(main())
