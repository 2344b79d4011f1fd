"""Everything that a GPU has to confirm, in one go: `make gpu-check`. It needs no network.

python benchmarks/gpu_check.py [FOLDER]       runs/gpu-check-DATE-TIME, unless it is told

tests      tests/gpu, on one GPU and on as many as there are
products   the large products against do_bench and torch.utils.benchmark (benchmarks/gpu_products.py)
chapter    every scenario at --preset full on every GPU, with profiles; then its page is looked through

Exits with 0 where all is well, 1 where something is not, 2 where there is no GPU to check on.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ERRORS = ("above-ceiling", "unjoined-stream")
"""Warnings that on a GPU mean an error of measurement."""


def missing() -> str | None:
    """What there is not, and what to do, in one line."""
    try:
        import torch

        from harness.device import no_gpu
    except ModuleNotFoundError as error:
        return f"{sys.executable} has no {error.name}: run `make env` where there is a network, once"
    if torch.cuda.is_available():
        return None
    why, remedy = no_gpu.diagnosis()
    return f"it needs a GPU, but {why}; {remedy}"


def commands(folder: Path) -> dict[str, list[str]]:
    """The parts, each a command line."""
    pytest = ["-m", "pytest", "tests/gpu", "-rs", f"--junit-xml={folder / 'tests.xml'}"]
    run = [
        "-m",
        "harness",
        "run",
        "--preset",
        "full",
        "--devices",
        "cuda",
        "--profile",
        "--out",
        str(folder / "chapter"),
    ]
    parts = {"tests": pytest, "products": ["benchmarks/gpu_products.py"], "chapter": run}
    return {name: [sys.executable, *line] for name, line in parts.items()}


def doubtful(summary: Mapping[str, Any]) -> Iterator[str]:
    """What the page of a run on GPUs should not show, a line each."""
    for row in summary["cells"]:
        if row["status"] not in ("ok", "skipped"):
            yield f"{row['key']} is {row['status']}: {row['message']}"
        for warning in row["warnings"]:
            if warning["kind"] in ERRORS:
                yield f"{row['key']}, {warning['kind']}: {warning['fact']}"
    for row in summary["chapter"]:
        if not row["answered"]:
            yield f"exercise {row['exercise']} is not answered in full"
    for row in summary["profiles"]:
        if row["message"]:
            yield f"{row['key']} has no profile: {row['message']}"


def main(folder: Path) -> int:
    if lack := missing():
        print(f"gpu-check: {lack}", file=sys.stderr)
        return 2
    folder.mkdir(parents=True)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    outcomes = {}
    for name, line in commands(folder).items():
        print(f"\n== {name}: {' '.join(line)}", flush=True)
        kept = (folder / f"{name}.md").open("w") if name == "products" else None
        outcomes[name] = subprocess.run(line, cwd=ROOT, env=env, check=False, stdout=kept).returncode
        if kept:
            kept.close()
            print((folder / f"{name}.md").read_text())
    path = folder / "chapter/summary.json"
    lines = list(doubtful(json.loads(path.read_text()))) if path.exists() else ["the chapter has no summary"]
    print("\n== looked through:", *(lines or ["nothing to complain of"]), sep="\n")
    for name, code in outcomes.items():
        print(f"{name:10} {'ok' if code == 0 else f'FAILED (exit code {code})'}")
    print(f"page: {folder / 'chapter/report.html'}; what all this confirms: docs/measured/README.md")
    return int(bool(lines) or any(outcomes.values()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    stamp = dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    sys.exit(main((Path(sys.argv[1]) if sys.argv[1:] else ROOT / f"runs/gpu-check-{stamp}").resolve()))
