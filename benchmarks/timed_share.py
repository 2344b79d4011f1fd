"""How much of the wall-clock of the rounds is inside timed samples, and where the rest goes.

python benchmarks/timed_share.py [RUN]      RUN: a run directory to read, in place of a new run of one_ms.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

from harness.journal import log
from harness.journal.records import CellRecord
from harness.measure.sampling import Sampling

ARGUMENTS = ["--devices", "cpu:2", "--launches", "3", "--budget", "20", "--out"]


def measure(out: Path) -> None:
    """A run of one_ms.py."""
    plugin = f"{Path(__file__).with_name('one_ms.py')}:OneMs"
    told = subprocess.run(
        [sys.executable, "-m", "harness", "run", plugin, *ARGUMENTS, out], check=False, capture_output=True, text=True
    )
    if told.returncode:
        print(f"the run ended with {told.returncode}: {told.stderr[-300:]}")


def samples(cell: CellRecord) -> list[tuple[float, float, int, str, float]]:
    """Each sample of a cell: earliest start, latest end, position of its visit, case, step."""
    told = cell.samples
    assert told is not None
    starts = [min(each) for each in zip(*told.start_s, strict=True)]
    ends = [max(each) for each in zip(*told.end_s, strict=True)]
    step_s = min(end - start for start, end in zip(starts, ends, strict=True)) / cell.inner
    return [
        (start, end, position, cell.case, step_s)
        for start, end, position in zip(starts, ends, told.position, strict=True)
    ]


def spent(cells: list[CellRecord]) -> Counter[str]:
    """Seconds between the first start and the last end of a comparison, by what they went to."""
    taken = sorted(sample for cell in cells for sample in samples(cell))
    made: Counter[str] = Counter(visits=taken[-1][2] + 1, samples=len(taken))
    made["all"] = max(end for _, end, *_ in taken) - taken[0][0]
    for start, end, _, case, _ in taken:
        made["timed"] += end - start
        made[f"  of that {case.split('[')[0]}"] += end - start
    for (_, end, before, *_), (start, _, after, _, step_s) in pairwise(taken):
        if before == after:
            made["alignment within a visit"] += start - end
        else:
            warm_s = Sampling().warm(step_s) * step_s
            made["warm-up steps"] += warm_s
            made["agreement, note and first alignment of a visit"] += start - end - warm_s
    return made


def main(out: Path) -> None:
    entries = log.read(out / "journal.jsonl")
    cells = [entry for entry in entries if isinstance(entry, CellRecord) and entry.samples]
    cells.sort(key=lambda cell: (cell.launch, cell.comparison))
    total: Counter[str] = Counter()
    for (launch, comparison), group in groupby(cells, lambda cell: (cell.launch, cell.comparison)):
        made = spent(list(group))
        total += made
        print(f"launch {launch}, comparison {comparison}: {made['timed'] / made['all']:.1%} of {made['all']:.2f} s")
    all_s, visits, count = total.pop("all"), total.pop("visits"), total.pop("samples")
    print(f"\n{count} samples in {visits} visits")
    for name, spent_s in total.items():
        each = f"{1000 * spent_s / visits:8.2f} ms a visit"
        print(f"{name:<48}{spent_s:8.2f} s {spent_s / all_s:8.1%}{each}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run = Path(sys.argv[1] if len(sys.argv) > 1 else folder)
        if not (run / "journal.jsonl").exists():
            measure(run)
        main(run)
