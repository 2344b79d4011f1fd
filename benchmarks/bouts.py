"""Two environments that are the same, or 5 % apart, judged by ``rankbench duel`` and by other tools in turn.

    pip install pyperf pytest-benchmark
    python benchmarks/bouts.py FILE [--same 40] [--planted 12] [--beside 6] [--tools NAME...]

Bouts of both kinds come in random order. The other tools are used as their documentation has it: one
environment is measured and then the other; they have their turn in the first ``--beside`` bouts of each kind. Each bout
is a line of FILE, which is told as a table at the end; a FILE that is there is gone on with.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

CODE = Path(__file__).with_name("products.py")
PRODUCTS = {"same": 200, "planted": 210}
"""Of the environment that is judged; the other has 200 always."""
LEAST = "2%"
"""Smaller differences count as none, for the tools that take such a number."""
BUDGET_S = "150"
"""Of a duel, which goes on until its ratios are known to half of that."""
SEED = 5
TIMER = """
import sys, torch
from torch.utils.benchmark import Timer
from benchmarks.products import products
told = Timer("step()", globals={"step": products()}).blocked_autorange(min_run_time=2)
print(told.median, told.significant_figures)
"""


def call(*command: str | Path, products: int, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command in the environment with so many products a step."""
    root = str(CODE.parent.parent)
    env = os.environ | {"PRODUCTS": str(products), "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, check=False, capture_output=True, text=True, env=env, cwd=cwd)


def duel(folder: Path, a: int, b: int) -> dict[str, object]:
    """What ``rankbench duel`` says of B, and after how many turns."""
    sides = ["--a", f"PRODUCTS={a}", "--b", f"PRODUCTS={b} SIDE=b"]
    line = ["-m", "harness", "duel", f"{CODE}:Products", "--devices", "cpu:1", *sides, "--margin", LEAST]
    done = call(*line, "--budget", BUDGET_S, "--out", folder / "run", products=a)
    if done.returncode not in {0, 1}:
        return {"says": "failed", "why": done.stderr[-300:]}
    rows = {row["side"]: row for row in json.loads((folder / "run/summary.json").read_text())["sides"]}
    row = rows["b"]
    says = row["verdict"] if row["verdict"] != "slower" or row["confirmed"] else "undecided"
    return {"says": says, "ratio": row["ratio"], "margin": row["margin"], "turns": row["blocks"]}


def torch_timer(folder: Path, a: int, b: int) -> dict[str, object]:
    """``torch.utils.benchmark`` has no test: what its table shows, by the figures that it calls significant."""
    del folder
    told = [call("-c", TIMER, products=each).stdout.split() for each in (a, b)]
    (first, figures), (second, also) = ((float(median), int(count)) for median, count in told)
    shown = [f"{each:.{min(figures, also) - 1}e}" for each in (first, second)]
    says = "equivalent" if shown[0] == shown[1] else ("slower" if second > first else "faster")
    return {"says": says, "ratio": second / first}


def pyperf(folder: Path, a: int, b: int) -> dict[str, object]:
    """Ten processes a side, and the t-test of ``pyperf compare_to``."""
    files = [folder / f"{side}.json" for side in "ab"]
    for each, file in zip((a, b), files, strict=True):
        call(CODE, "--fast", "--inherit-environ", "PRODUCTS,PYTHONPATH,OMP_NUM_THREADS", "-o", file, products=each)
    told = call("-m", "pyperf", "compare_to", *files, products=a).stdout
    if "ignificant" in told:
        return {"says": "equivalent"}
    ratio = re.search(r"([\d.]+)x (slower|faster)", told)
    return {"says": ratio[2], "ratio": float(ratio[1])} if ratio else {"says": "failed", "why": told[-300:]}


def pytest_benchmark(folder: Path, a: int, b: int) -> dict[str, object]:
    """``--benchmark-compare-fail``, on the median."""
    line = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", CODE, "--benchmark-storage", folder]
    call(*line, "--benchmark-save=a", products=a, cwd=folder)
    judged = call(*line, "--benchmark-compare", f"--benchmark-compare-fail=median:{LEAST}", products=b, cwd=folder)
    if judged.returncode and "Performance has regressed" not in judged.stdout + judged.stderr:
        return {"says": "failed", "why": (judged.stdout + judged.stderr)[-300:]}
    return {"says": "slower" if judged.returncode else "equivalent"}


TOOLS: dict[str, Callable[[Path, int, int], dict[str, object]]] = {
    "rankbench duel": duel,
    "torch.utils.benchmark": torch_timer,
    "pyperf": pyperf,
    "pytest-benchmark": pytest_benchmark,
}


def bout(kind: str, tools: list[str]) -> dict[str, object]:
    """Each tool's conclusion, in random order, each with the load average before it and the seconds that it took."""
    says: dict[str, object] = {}
    for name in random.sample(tools, len(tools)):
        start_s, load = time.monotonic(), os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            told = TOOLS[name](Path(folder), PRODUCTS["same"], PRODUCTS[kind])
        says[name] = told | {"load": round(load, 2), "took_s": round(time.monotonic() - start_s, 1)}
    return {"kind": kind, "tools": says}


def tell(bouts: list[dict[str, dict[str, dict[str, object]]]]) -> None:
    """How often each tool said what, by kind of bout."""
    for kind in PRODUCTS:
        of_kind = [each["tools"] for each in bouts if each["kind"] == kind]
        for name in TOOLS:
            told = [tools[name] for tools in of_kind if name in tools]
            counts = Counter(str(each["says"]) for each in told)
            ratios = sorted(float(str(each["ratio"])) for each in told if each.get("ratio"))
            spread = f"ratios {ratios[0]:.3f} to {ratios[-1]:.3f}" if ratios else ""
            took_s = sum(float(str(each["took_s"])) for each in told) / max(len(told), 1)
            print(f"{kind:<8} {name:<24} {len(told):>3} bouts of {took_s:3.0f} s: {dict(counts)} {spread}")


def main(options: argparse.Namespace) -> None:
    file: Path = options.file
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    kinds = ["same"] * options.same + ["planted"] * options.planted
    random.Random(SEED).shuffle(kinds)
    for place, kind in enumerate(kinds[len(done) :], len(done)):
        telemetry = kinds[:place].count(kind) < options.telemetry
        tools = options.tools or list(TOOLS)
        done.append(bout(kind, tools if telemetry else tools[:1]))
        with file.open("a") as lines:
            lines.write(json.dumps(done[-1]) + "\n")
        print(place + 1, "of", len(kinds), json.dumps(done[-1]), flush=True)
    tell(done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--same", type=int, default=40)
    parser.add_argument("--planted", type=int, default=12)
    parser.add_argument("--beside", type=int, default=6)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, help="the first is in every bout [all]")
    main(parser.parse_args())
