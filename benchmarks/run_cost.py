"""The wall-clock of a whole null run of six launches, against bare torchrun six times.

python benchmarks/run_cost.py [TURNS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.journal.records import CellRecord, EndRecord
from harness.journal.run_directory import RunDir
from harness.planning import builder

LAUNCHES = 6
BUDGET_S = 3.0
"""About the least that the planner accepts for this matrix."""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
JOIN = "import torch.distributed as dist; dist.init_process_group('gloo'); dist.destroy_process_group()\n"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def timed(*command: str | Path) -> float:
    """Seconds of wall-clock that a command takes."""
    start_s = time.monotonic()
    told = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT)
    took_s = time.monotonic() - start_s
    if told.returncode:
        print(f"  {command[2]} ended with {told.returncode} {told.stderr[-300:]}")
    return took_s


def bare(script: Path) -> float:
    """Six launches by torchrun, each in a process of its own."""
    return sum(timed(*TORCHRUN, script) for _ in range(LAUNCHES))


def null_run(out: Path, *, strict: bool) -> tuple[float, bool]:
    """A whole run under the least budget: its seconds, and whether each of its launches was measured.

    ``strict`` is what ``--budget`` gives: launches for which nothing is left of it are skipped. Else each is measured
    in the fewest rounds, which only a plan can ask for.
    """
    plugin = f"{Path(__file__).with_name('nothing.py')}:Nothing"
    request = builder.RunRequest(names=(plugin,), devices="cpu:2", launches=LAUNCHES, budget_s=BUDGET_S)
    RunDir(out).create(builder.make(request).model_copy(update={"strict": strict}))
    took_s = timed(sys.executable, "-m", "harness", "run", "--resume", out)
    entries = list(RunDir(out).entries())
    statuses = [entry.status for entry in entries if isinstance(entry, CellRecord)]
    walls = " ".join(f"{entry.wall_s:.2f}" for entry in entries if isinstance(entry, EndRecord))
    counted = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))
    print(f"  null run, strict={strict}: {took_s:.2f} s; cells: {counted}; launches took {walls} s", flush=True)
    return took_s, set(statuses) == {"ok"}


def main(turns: int) -> None:
    took: dict[str, list[float]] = {}
    partial = set()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        scripts = {f"{LAUNCHES} × torchrun, empty script": "", f"{LAUNCHES} × torchrun, gloo joined and left": JOIN}
        for turn in range(turns):
            print(f"turn {turn}, load average {os.getloadavg()[0]:.2f}", flush=True)
            for number, (name, text) in enumerate(scripts.items()):
                script = home / f"bare{number}.py"
                script.write_text(text)
                took.setdefault(name, []).append(bare(script))
            for name, strict in (("null run, least --budget", True), (f"null run, {LAUNCHES} brief launches", False)):
                took_s, whole = null_run(home / f"run-{turn}-{strict}", strict=strict)
                took.setdefault(name, []).append(took_s)
                partial |= set() if whole else {name}
    base_s = statistics.median(took[list(scripts)[1]])
    print(f"\n{f'seconds, {turns} turns':<40}{'least':>8}{'median':>8}{'most':>8}   against gloo joined")
    for name, each in took.items():
        middle = statistics.median(each)
        ratio = "not comparable: launches skipped" if name in partial else f"{middle / base_s:.2f}×"
        print(f"{name:<40}{min(each):>8.2f}{middle:>8.2f}{max(each):>8.2f}   {ratio}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
