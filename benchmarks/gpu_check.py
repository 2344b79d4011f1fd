"""Everything that a GPU has to confirm: `make gpu-check`. It needs no network.

python benchmarks/gpu_check.py [FOLDER [PART…]]       runs/gpu-check-DATE-TIME and all parts, unless it is told

tests      tests/gpu, on one GPU and on as many as there are
products   the large products against do_bench and torch.utils.benchmark (benchmarks/gpu_products.py)
others     the scenarios of a subject at --preset full on every GPU, with profiles; their page is looked through

A part takes ten minutes at most. One that is ok in FOLDER already is not done again: so a machine that is lent for ten
minutes at a time confirms all of it. What takes two GPUs is left out where there is one.

Exits with 0 where all that was asked for is well, 1 where something is not, 2 where there is no GPU or no such part.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ERRORS = ("above-ceiling", "unjoined-stream")
"""Warnings that on a GPU mean an error of measurement."""
SUBJECTS: dict[str, tuple[str, ...]] = {
    "composition": ("composition",),
    "sharing": ("sharing", "initialization"),
    "lazy": ("lazy",),
    "roundtrip": ("roundtrip",),
    "products": ("quadratic", "fourier", "frobenius", "split"),
    "crossover": ("crossover",),
    "messages": ("collectives", "links"),
    "training": ("data_parallel", "shard", "loader"),
    "optimizing": ("compile", "optimizer", "checkpoint_async"),
    "parallelism": ("tensor_parallel", "overlap", "pipeline", "context", "experts"),
}
"""The scenarios of each part, by subject or name: all that there are."""
TAKE_TWO = ("links",)
"""Scenarios that one GPU alone cannot measure."""
LAUNCHES, BUDGET_S = 3, 240
"""Of each of these runs: every figure is known then, and there is time for preparing, checking and profiling."""
PART_S, GRACE_S = 560.0, 30.0
"""A part that takes longer is told to end, and has so long for its report."""


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


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def commands(folder: Path) -> dict[str, list[str]]:
    """The parts, each a command line."""
    pytest = ["-m", "pytest", "tests/gpu", "-rs", f"--junit-xml={folder / 'tests.xml'}"]
    parts = {"tests": pytest, "products": ["benchmarks/gpu_products.py"]}
    one = _gpus() < 2
    for subject, every in SUBJECTS.items():
        names = [name for name in every if not (one and name in TAKE_TWO)]
        limits = ("--launches", str(LAUNCHES), "--budget", str(BUDGET_S))
        where = ("--preset", "full", "--devices", "cuda", "--profile", "--out", str(folder / f"run-{subject}"))
        parts[f"run-{subject}"] = ["-m", "harness", "run", *names, *where, *limits]
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
        if not row["answered"] and not _takes_two(row):
            yield f"exercise {row['exercise']} is not answered in full"
    for row in summary["profiles"]:
        if row["message"]:
            yield f"{row['key']} has no profile: {row['message']}"


def _takes_two(row: Mapping[str, Any]) -> bool:
    """Whether an answer lacks no figure but such as compare one device with more."""
    from reports.wording.lookup import ONE_DEVICE

    unknown = [quote["text"] for quote in row["quotes"] if not quote["known"]]
    return bool(unknown) and all(ONE_DEVICE in text for text in unknown)


def run_part(name: str, line: Sequence[str], folder: Path, limit_s: float = PART_S) -> list[str]:
    """Run a part, and say what is not well, a line each."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    output = (folder / f"{name}.md").open("w") if name == "products" else None
    with subprocess.Popen(line, cwd=ROOT, env=env, stdout=output) as process:
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return [f"{name} took longer than {limit_s:g} s"]
        finally:
            if output:
                output.close()
                print((folder / f"{name}.md").read_text())
    complaints = [] if code == 0 else [f"{name} has exit code {code}"]
    path = folder / name / "summary.json"
    if name.startswith("run-"):
        complaints += doubtful(json.loads(path.read_text())) if path.exists() else [f"{name} has no summary"]
    return complaints


def main(folder: Path, names: Sequence[str] = ()) -> int:
    parts = commands(folder)
    if unknown := [name for name in names if name not in parts]:
        print(f"gpu-check: PART must be one of {', '.join(parts)}, but is {unknown[0]}", file=sys.stderr)
        return 2
    if lack := missing():
        print(f"gpu-check: {lack}", file=sys.stderr)
        return 2
    return check({name: parts[name] for name in names or parts}, folder)


def check(parts: Mapping[str, Sequence[str]], folder: Path) -> int:
    """Do those of the parts that are not ok in the folder already; 0 where all of them are then."""
    folder.mkdir(parents=True, exist_ok=True)
    complaints: dict[str, list[str]] = {}
    for name, line in parts.items():
        done = folder / f"{name}.ok"
        if done.exists():
            complaints[name] = []
            continue
        _set_aside(folder / name)
        print(f"\n== {name}: {' '.join(line)}", flush=True)
        complaints[name] = run_part(name, line, folder)
        if not complaints[name]:
            done.touch()
    for name, lines in complaints.items():
        print(f"{name:16} {'FAILED' if lines else 'ok'}", *lines, sep="\n  ")
    print(f"folder: {folder}; what all this confirms: docs/measured/README.md")
    return int(any(complaints.values()))


def _set_aside(run: Path) -> None:
    """A run that was not ok is kept under another name: one of the same name would go on with it."""
    if run.exists():
        number = next(number for number in range(1, 1000) if not run.with_name(f"{run.name}.{number}").exists())
        run.rename(run.with_name(f"{run.name}.{number}"))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    stamp = dt.datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    where, *asked = sys.argv[1:] or [str(ROOT / f"runs/gpu-check-{stamp}")]
    sys.exit(main(Path(where).resolve(), asked))
