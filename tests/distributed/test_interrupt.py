"""A signal once: the sample at hand is finished, and all that is complete is kept and reported. Twice: now."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.common.signals import name_of
from harness.journal.run_directory import RunDir
from launch.supervision.stop_signals import SAID
from tests.distributed.conftest import PLUGINS, RANKBENCH, Run, command, offspring_of, wait_until
from tests.distributed.namespaces import await_words
from tests.limits import LIMIT_S

TWO = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")
ONCE = [
    ("inline", signal.SIGINT),
    pytest.param("torchrun", signal.SIGHUP, marks=TWO),
    pytest.param("ray", signal.SIGTERM, marks=TWO),  # Ray handles this one itself, unless it is handled once more
]
TWICE = [("inline", signal.SIGTERM, signal.SIGINT), pytest.param("torchrun", signal.SIGINT, signal.SIGTERM, marks=TWO)]
ENOUGH = 25
"""Steps of a rank after which the fewest rounds of the one case are done; all of them take three times as long."""


LAUNCH = b'"type":"launch"'
CORES = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
ELASTIC = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3")
TORCHRUN = ("taskset", "-c", CORES, sys.executable, *ELASTIC, *RANKBENCH[1:])


def journal_of(root: Path) -> bytes:
    return (root / "journal.jsonl").read_bytes() if root.exists() else b""


@contextlib.contextmanager
def begun(folder: Path, launcher: str, ends: str, steps: int) -> Iterator[subprocess.Popen[str]]:
    """A run, or what is missing of one, after so many more steps of each rank; no process of it may be left.

    ``somebody's`` is a torchrun of which it is the ranks, which are three that share two cores.
    """
    mark, counter, root = uuid.uuid4().hex, folder / "steps", folder / "run"
    ranks = {"inline": 1, "somebody's": 3}.get(launcher, 2)
    program = TORCHRUN if launcher == "somebody's" else RANKBENCH
    line = [f"{PLUGINS}:Steps", "--set", f"steps.ends={ends}", "--devices", f"cpu:{ranks}"]
    line += ["--launcher", launcher] if program is RANKBENCH else ["--share-device"]
    line += ["--world-sizes", str(ranks), "--launches", "1", "--budget", "600", "--out", str(root)]
    counter.touch()
    done, launches = counter.stat().st_size, journal_of(root).count(LAUNCH)
    with subprocess.Popen(
        [*program, "run", *(["--resume", str(root)] if root.exists() else line)],
        env=os.environ | {"RANKBENCH_TEST": mark, "RANKBENCH_STEPS": str(counter)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            wait_until(lambda: counter.stat().st_size >= done + steps * ranks, process)
            wait_until(lambda: journal_of(root).count(LAUNCH) > launches, process)  # the parent knows of them
            yield process
        finally:
            process.kill()
    _, alive = psutil.wait_procs(offspring_of(mark), timeout=60)
    assert not alive


@pytest.mark.parametrize(("launcher", "number"), ONCE)
def test_once_everything_that_is_complete_is_kept(tmp_path: Path, launcher: str, number: signal.Signals) -> None:
    """Another run on the same directory is refused meanwhile, and disturbs nothing."""
    root = tmp_path / "run"
    if launcher == "ray":  # and that another launcher's run may be killed: test_kill
        with begun(tmp_path, launcher, "yes", 1) as process:
            process.kill()
    with begun(tmp_path, launcher, "yes", ENOUGH) as process:
        other = command("run", "--resume", root)
        process.send_signal(number)
        await_words(process, SAID)
        if number is signal.SIGHUP:
            process.send_signal(number)  # the kernel's and the shell's are one
        said = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode == 130, said
    assert other.returncode == 2
    assert other.stderr == f"rankbench: run directory {root} belongs to a running run; wait for it, or choose another\n"
    cells = {cell.case: cell for cell in Run(root, 130, said).cells}
    assert {cell.status for cell in cells.values()} == {"ok"}
    assert cells.keys() == {case.key for _, _, case in RunDir(root).plan().cells()}
    (steps,) = [cell for key, cell in cells.items() if key.startswith("steps")]
    assert steps.samples is not None and max(steps.samples.round) >= 3  # the fewest rounds, and then no more
    assert (root / "report.html").exists()
    assert f"interrupted by {name_of(number)}; finish it with: rankbench run --resume {root}" in said


@pytest.mark.parametrize(("launcher", "first", "second"), TWICE)  # what the second one does is no launcher's business
def test_twice_the_run_ends_now(tmp_path: Path, launcher: str, first: signal.Signals, second: signal.Signals) -> None:
    """Also where nobody listens any more."""
    with begun(tmp_path, launcher, "no", 1) as process:
        process.send_signal(first)
        await_words(process, SAID)
        process.stdout.close()
        process.send_signal(second)
        process.wait(LIMIT_S)
        said = ""
    assert process.returncode == 130
    assert not Run(tmp_path / "run", 130, said).cells
    assert (tmp_path / "run" / "report.html").exists()


@TWO
def test_a_rank_of_somebodys_torchrun_that_is_to_end_has_all_keep_what_is_complete_and_report(tmp_path: Path) -> None:
    with begun(tmp_path, "somebody's", "yes", ENOUGH) as process:
        (launch,) = Run(tmp_path / "run", 0, "").launches
        os.kill(launch.ranks[1].pid, signal.SIGTERM)  # torchrun sends it to all, and gives them half a minute
        said = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode != 0
    run = Run(tmp_path / "run", process.returncode, said)
    assert {cell.status for cell in run.cells} == {"ok"}, said
    assert {cell.case for cell in run.cells} == {case.key for _, _, case in RunDir(run.root).plan().cells()}
    assert f"finish it with: torchrun --nproc-per-node=3 -m harness run --resume {run.root}" in said
    (steps,) = [row for row in run.summary["cells"] if row["key"].startswith("steps")]
    kinds = {warning["kind"] for warning in steps["warnings"]}
    assert run.summary["run"]["shared_device"] and "shared-device" in kinds and "foreign-load" not in kinds
    assert f"report: {run.root}" in said.replace("\n", "") and (run.root / "report.html").exists()
