"""How far the speed-up from one device to two moves from run to run: rankbench's, and that of two separate jobs.

python benchmarks/speedup_spread.py FILE [--how whole|inner] [--runs 10] [--budget 30]

Both measure the same two products, whole on each device or split along the inner dimension and reduced, for the same
wall-clock: what a run of rankbench took is divided between the jobs of torchrun that follow. Each turn is a line of
FILE; a FILE that is there is gone on with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.split_job import PRODUCTS, SIZE

HERE = Path(__file__).parent
START_S = 4.0
"""What a job takes before and after its timed loop here."""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}


def ours(out: Path, how: str, budget_s: float) -> tuple[float, float]:
    """The speed-up of one run of rankbench, and the seconds that it took."""
    values = {"how": how, "size": SIZE, "products": PRODUCTS}
    settings = [word for name, value in values.items() for word in ("--set", f"split.{name}={value}")]
    line = [sys.executable, "-m", "harness", "run", "split", *settings, "--devices", "cpu:2"]
    start_s = time.monotonic()
    done = subprocess.run(
        [*line, "--budget", str(budget_s), "--out", out], check=False, capture_output=True, env=ENVIRONMENT
    )
    if done.returncode not in {0, 1}:  # 1: the last launch found its time spent, on a busy machine
        raise SystemExit(done.stderr.decode())
    took_s = time.monotonic() - start_s
    cells = json.loads((out / "summary.json").read_text())["cells"]
    return next(cell["speedup"] for cell in cells if cell["scenario"] == "split" and cell["world_size"] == 2), took_s


def jobs(how: str, wall_s: float) -> tuple[float, float]:
    """The speed-up between two jobs that take so long together, and the seconds that they took."""
    seconds = max(wall_s / 2 - START_S, 1)
    start_s, told = time.monotonic(), []
    for ranks in (1, 2):
        line = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        done = subprocess.run(
            [*line, HERE / "split_job.py", str(seconds), how],
            check=True,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        told.append(float(done.stdout))
    return told[0] / told[1], time.monotonic() - start_s


def turn(how: str, budget_s: float, wall_s: float) -> dict[str, float]:
    """One of each, in random order."""
    took: dict[str, tuple[float, float]] = {}
    load = os.getloadavg()[0]
    for name in random.sample(["ours", "jobs"], 2):
        with tempfile.TemporaryDirectory() as folder:
            took[name] = ours(Path(folder) / "run", how, budget_s) if name == "ours" else jobs(how, wall_s)
    return {"load": load} | {
        f"{name}{what}": value for name in took for what, value in zip(("", "_s"), took[name], strict=True)
    }


def main(options: argparse.Namespace) -> None:
    file: Path = options.file
    turns = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    while len(turns) < options.runs:
        wall_s = turns[-1]["ours_s"] if turns else options.budget + 6.0
        turns.append(turn(options.how, options.budget, wall_s))
        with file.open("a") as lines:
            lines.write(json.dumps(turns[-1]) + "\n")
        print(len(turns), "of", options.runs, json.dumps(turns[-1]), flush=True)
    spreads = {}
    for name in ("ours", "jobs"):
        told = [each[name] for each in turns]
        spreads[name] = statistics.stdev(map(math.log, told))
        seconds = statistics.mean(each[f"{name}_s"] for each in turns)
        print(f"{name}: {min(told):.3f} to {max(told):.3f}, spread {spreads[name]:.2%}, {seconds:.1f} s each")
    print(f"ours is {spreads['ours'] / spreads['jobs']:.2f} of the other")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--how", choices=("whole", "inner"), default="whole")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--budget", type=float, default=30)
    main(parser.parse_args())
