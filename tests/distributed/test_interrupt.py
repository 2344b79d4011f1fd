"""Ctrl-C once: the sample at hand is finished, and all that is complete is kept and reported. Twice: now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.rundir import RunDir
from launch.interrupt import SAID
from tests.distributed.conftest import PLUGINS, RANKBENCH, Run, offspring_of, wait_until
from tests.distributed.namespaces import await_words

TWO = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")
LAUNCHERS = ["inline", pytest.param("torchrun", marks=TWO), pytest.param("ray", marks=TWO)]
ENOUGH = 25
"""Steps of a rank after which the fewest rounds of the one case are done; all of them take half a minute."""


@contextlib.contextmanager
def begun(folder: Path, launcher: str, ends: str, steps: int) -> Iterator[subprocess.Popen[str]]:
    """A run after so many steps of each rank; no process of it may be left."""
    mark, counter, journal = uuid.uuid4().hex, folder / "steps", folder / "run" / "journal.jsonl"
    line = [*RANKBENCH, "run", f"{PLUGINS}:Steps", "--set", f"steps.ends={ends}", "--launcher", launcher]
    ranks = 1 if launcher == "inline" else 2
    line += ["--devices", f"cpu:{ranks}", "--world-sizes", str(ranks)]
    line += ["--launches", "1", "--budget", "600", "--out", str(folder / "run")]
    with subprocess.Popen(
        line,
        env=os.environ | {"RANKBENCH_TEST": mark, "RANKBENCH_STEPS": str(counter)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            wait_until(lambda: counter.exists() and counter.stat().st_size >= steps * ranks, process)
            wait_until(lambda: b'"type":"launch"' in journal.read_bytes(), process)  # the parent knows of them
            yield process
        finally:
            process.kill()
    _, alive = psutil.wait_procs(offspring_of(mark), timeout=20)
    assert not alive


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_once_everything_that_is_complete_is_kept(tmp_path: Path, launcher: str) -> None:
    with begun(tmp_path, launcher, "yes", ENOUGH) as process:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert SAID in said
    root = tmp_path / "run"
    cells = {cell.case: cell for cell in Run(root, 130, said).cells}
    assert {cell.status for cell in cells.values()} == {"ok"}
    assert cells.keys() == {case.key for _, _, case in RunDir(root).plan().cells()}
    (steps,) = [cell for key, cell in cells.items() if key.startswith("steps")]
    assert steps.samples is not None and max(steps.samples.round) >= 3  # the fewest rounds, and then no more
    assert (root / "report.html").exists()
    assert f"rankbench run --resume {root}" in said


def test_another_run_on_the_same_directory_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with begun(tmp_path, "inline", "yes", ENOUGH) as process:
        other = subprocess.run(
            [*RANKBENCH, "run", "--resume", str(root)], capture_output=True, text=True, check=False, timeout=120
        )
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[0]
    assert other.returncode == 2
    assert other.stderr.splitlines() == [
        f"rankbench: --out must belong to no running run, but is {root}; wait for it, or choose another"
    ]
    assert {cell.status for cell in Run(root, process.returncode, said).cells} == {"ok"}


@pytest.mark.parametrize("launcher", LAUNCHERS[:2])  # what the second one does is no launcher's business
def test_twice_the_run_ends_now(tmp_path: Path, launcher: str) -> None:
    with begun(tmp_path, launcher, "no", 1) as process:
        process.send_signal(signal.SIGINT)
        await_words(process, SAID)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert not Run(tmp_path / "run", 130, said).cells
    assert (tmp_path / "run" / "report.html").exists()
