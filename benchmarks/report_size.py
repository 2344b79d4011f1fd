"""What a report of very many samples costs: seconds, memory, and the size of its page.

python benchmarks/report_size.py [SAMPLES] [COMPARISONS] [DEVICES]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.journal.log import sealed
from harness.journal.plan import Case, Comparison, Plan, Side
from harness.journal.run_directory import RunDir
from harness.plugins.floor_and_ceiling import cases as probes

LAUNCHES = 6
VARIANTS = ("whole", "columns", "inner")
PER_VISIT = 8
FLOPS = 4.3e9


def plan(comparisons: int, devices: int) -> Plan:
    """Comparisons of three variants on 1, 2, 4, … devices, with packed copies and probes."""
    sizes = tuple(2**power for power in range(devices.bit_length()))
    return Plan(
        version="0.1.0",
        command="rankbench run split",
        sides=(Side(name="torchrun"),),
        devices=tuple(f"cpu:{rank}" for rank in range(devices)),
        world_sizes=sizes,
        launches=LAUNCHES,
        budget_s=3600.0,
        regime={"alignment": "delay window"},
        comparisons=tuple(comparison(256 << place, sizes) for place in range(comparisons)),
    )


def comparison(size: int, world_sizes: tuple[int, ...]) -> Comparison:
    made = [
        Case(
            scenario="split",
            reference="scenarios.chapter.products.split:Split",
            params={"how": variant, "size": size},
            variant=variant,
            world_size=devices,
            packed=packed,
        )
        for devices in world_sizes
        for variant in VARIANTS
        for packed in ((False, True) if devices > 1 else (False,))
    ]
    return Comparison(
        scenario="split",
        title="Matrix products on one device in sequence, or on several at once.",
        scaling="strong",
        variant_field="how",
        baseline="whole",
        params={"size": size},
        cases=(*made, *probes(world_sizes)),
    )


def write(run: RunDir, samples: int, told: Plan) -> int:
    """A journal of about so many samples, written cell by cell; how many there are, the ranks' own counted apart."""
    run.create(told)
    cells = list(told.cells())
    each = max(8 * PER_VISIT, -(-samples // len(cells)))
    noise = np.random.default_rng(0)
    readings = 0
    with run.journal_path.open("wb") as journal:
        for launch in range(told.launches):
            line(journal, launched(told, launch))
            for own, index, case in cells:
                if own == launch:
                    line(journal, cell(launch, index, case, each, noise))
                    readings += each * case.world_size
            line(journal, {"type": "end", "launch": launch, "wall_s": 600.0})
    print(f"{each * len(cells):,} samples, {readings:,} readings by ranks, in {len(cells):,} cells")
    print(f"journal: {run.journal_path.stat().st_size / 1e6:,.0f} MB")
    return each * len(cells)


def launched(told: Plan, launch: int) -> dict[str, Any]:
    ranks = [
        {"rank": r, "host": "node", "pid": r, "device": d, "device_name": "none", "cpus": [r], "threads": 1}
        for r, d in enumerate(told.devices)
    ]
    head = {"type": "launch", "schema": 1, "launch": launch, "launcher": "torchrun", "lead_s": 5e-5, "ranks": ranks}
    return head | {"started": f"2026-01-02T03:{launch:02d}:00Z", "fingerprint": "f00d"}


def cell(launch: int, index: int, case: Case, samples: int, noise: np.random.Generator) -> dict[str, Any]:
    """Samples of 10 ms that are spread over an hour."""
    visit, true_s = np.arange(samples) // PER_VISIT, step_s(case)
    inner = max(1, round(0.010 / true_s))
    start_s = np.linspace(0, 3600, samples) + noise.random((case.world_size, samples)) * 1e-6
    took_s = inner * true_s * (1 + 0.002 * launch) * (1 + 0.01 * noise.standard_normal((case.world_size, samples)))
    fact = {"flops": FLOPS, "bytes": 1e8, "items": 1.0, "counted_flops": FLOPS, "host_reads": 0, "first_s": 0.1}
    facts = [fact | {"cpu_s": 9.0, "wall_s": 9.0}] * case.world_size
    return {
        "type": "cell",
        "launch": launch,
        "comparison": index,
        "case": case.key,
        "status": "ok",
        "inner": inner,
        "samples": {
            "round": visit.tolist(),
            "position": (15 * visit + place(case)).tolist(),
            "start_s": start_s.round(9).tolist(),
            "end_s": (start_s + took_s).round(9).tolist(),
        },
        "facts": facts,
    }


def place(case: Case) -> int:
    """Within a round."""
    return VARIANTS.index(case.variant) if case.variant else len(VARIANTS)


def step_s(case: Case) -> float:
    """True seconds of one step."""
    if case.probe:
        return 2e-7 if case.scenario == "null" else 0.025
    return 0.030 / (1 if case.packed else case.world_size) * (1.0 if case.variant == "whole" else 1.1)


def line(journal: BinaryIO, record: dict[str, Any]) -> None:
    journal.write(sealed(json.dumps(record).encode()))


def main(samples: int, comparisons: int, devices: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / "run")
        write(run, samples, plan(comparisons, devices))
        start_s = time.monotonic()
        subprocess.run([sys.executable, "-m", "harness", "report", run.root], check=True)
        took_s = time.monotonic() - start_s
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        for name, path in (("page", run.page_path), ("summary.json", run.summary_path)):
            print(f"{name}: {path.stat().st_size / 1e6:.2f} MB")
        print(f"{took_s:.1f} s, {peak / 1e9:.2f} GB at its peak")


if __name__ == "__main__":
    asked = [int(float(each)) for each in sys.argv[1:]]
    main(*(asked + [10_000_000, 1, 2][len(asked) :]))
