"""make gpu-check: what it says without a GPU, what it runs with one, and what it complains of."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from harness.plugins import registry

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    assert spec and spec.loader
    made = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(made)
    return made


check, products = script("gpu_check"), script("gpu_products")


@pytest.mark.skipif(torch.cuda.is_available() or not shutil.which("make"), reason="has a GPU, or no make")
def test_without_a_gpu_it_says_so_in_one_line_and_writes_nothing() -> None:
    before = set((ROOT / "runs").glob("*"))
    told = subprocess.run(
        ["make", "--no-print-directory", "gpu-check", f"PYTHON={sys.executable}", "VENV=/nowhere"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    (line,) = [line for line in told.stderr.splitlines() if not line.startswith("make")]
    assert re.match(r"gpu-check: it needs a GPU, but .+; .+", line)
    assert not told.stdout and set((ROOT / "runs").glob("*")) == before


def test_what_it_runs_is_there(tmp_path: Path) -> None:
    lines = check.commands(tmp_path)
    assert list(lines)[:2] == ["tests", "products"] and len(lines) == 2 + len(check.SUBJECTS)
    paths = [part for line in lines.values() for part in line if part.startswith(("tests/", "benchmarks/"))]
    assert len(paths) == 2 and all((ROOT / path).exists() for path in paths)


def test_every_scenario_is_in_one_part() -> None:
    found = [entry.name for names in check.SUBJECTS.values() for name in names for entry in registry.find(name)]
    entries, faults = registry.installed()
    assert not faults and sorted(found) == sorted(
        entry.name for entry in entries if entry.reference.startswith("scenarios.")
    )


def test_a_part_that_is_ok_is_not_done_again_and_one_that_was_not_keeps_its_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = {name: [sys.executable, "-c", f"print('{name}'); raise SystemExit({code})"] for name, code in PARTS.items()}
    (tmp_path / "run-b").mkdir()
    assert check.check(parts, tmp_path) == 1
    assert (tmp_path / "run-b.1").is_dir()
    told = capfd.readouterr().out
    assert "tests has exit code" not in told and "run-b has exit code 3" in told and "run-b has no summary" in told
    again = {"tests": [sys.executable, "-c", "raise SystemExit(1)"]}
    assert check.check(again, tmp_path) == 0


PARTS = {"tests": 0, "run-b": 3}


def test_a_part_that_takes_too_long_is_told_to_end(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "import signal; signal.pause()"]
    assert check.run_part("tests", line, tmp_path, limit_s=0.2) == ["tests took longer than 0.2 s"]


def test_a_part_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main(tmp_path / "new", ["chapter"]) == 2
    assert "PART must be one of tests, products, run-composition" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def row(**changes: Any) -> dict[str, Any]:
    return {"key": "split@1", "status": "ok", "message": None, "warnings": []} | changes


ONE = "[not answered: only 1 device was measured]"


def quote(text: str, *, known: bool = False) -> dict[str, Any]:
    return {"text": text, "known": known}


def test_what_a_page_on_gpus_should_not_show_is_told() -> None:
    well = {
        "cells": [row(), row(status="skipped")],
        "chapter": [
            {"exercise": "5.6.4", "answered": True, "quotes": []},
            {"exercise": "5.4.1", "answered": False, "quotes": [quote("1 ms", known=True), quote(ONE)]},
        ],
        "profiles": [],
    }
    assert list(check.doubtful(well)) == []
    above = {"kind": "above-ceiling", "fact": "1 PFLOP/s"}
    ill = {
        "cells": [row(status="error", message="why"), row(warnings=[above, {"kind": "drift", "fact": "5 %"}])],
        "chapter": [{"exercise": "5.6.4", "answered": False, "quotes": [quote("is below resolution"), quote(ONE)]}],
        "profiles": [{"key": "split@1", "message": "too large"}],
    }
    assert list(check.doubtful(ill)) == [
        "split@1 is error: why",
        "split@1, above-ceiling: 1 PFLOP/s",
        "exercise 5.6.4 is not answered in full",
        "split@1 has no profile: too large",
    ]


def test_figures_are_held_against_those_of_neighbours_in_the_same_round() -> None:
    drifting = [1.0, 2.0, 3.0]  # of which both tools saw the same
    told = products.Told(
        "fp32",
        1e12,
        {"rankbench": drifting, "rankbench, cold": [1.02 * s for s in drifting], "do_bench": drifting[::1]},
    )
    assert told.ratio("do_bench") == pytest.approx(1.02)
    assert products.complaints([told], 1e-6) == []
    apart = products.Told("bf16", 1e12, {"rankbench": [1.5], "rankbench, cold": [1.04], "do_bench": [1.0]})
    assert products.complaints([told, apart], 6e-6) == [
        "bf16: rankbench's figure is 1.0400 times do_bench's (limit 3% from 1)",
        "a step that does nothing takes 6.00 µs (limit 5 µs)",
    ]
    assert [line.split("|")[2].strip() for line in told.rows()] == ["rankbench", "rankbench, cold", "do_bench"]


def test_tools_take_turns_and_each_has_one_a_round() -> None:
    calls: list[str] = []
    told = products.in_turn({name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}, rounds=6)
    assert [len(values) for values in told.values()] == [6, 6, 6]
    rounds = [tuple(calls[place : place + 3]) for place in range(0, 18, 3)]
    assert all(set(turn) == set("abc") for turn in rounds) and len(set(rounds)) > 1


def test_every_test_that_the_list_of_what_is_not_confirmed_names_is_there() -> None:
    text = (ROOT / "docs/measured/README.md").read_text()
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"(test_\w+\.py)(?:::(\w+))?", text)
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}" in sources[file] if test else file in sources, (file, test)
