"""Files that scenarios keep are gone afterwards, however the run ended."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path

import psutil
import pytest

from tests.distributed.conftest import PLUGINS, RANKBENCH, TWO, offspring_of, rankbench, wait_until

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

SAVE = ("run", "scenarios.roundtrip.save:Save", "--launches", "1", "--budget", "60")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_run_that_ends_in_the_middle_of_a_save(tmp_path: Path, how: signal.Signals) -> None:
    root, mark = tmp_path / "run", uuid.uuid4().hex
    process = subprocess.Popen(
        [*RANKBENCH, *SAVE, *TWO, "--out", str(root)],
        env=os.environ | {"RANKBENCH_TEST": mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    scratch = root / "scratch"
    wait_until(lambda: any(scratch.glob("*/*.part")))  # half a file
    process.send_signal(how)
    process.wait(60)
    wait_until(lambda: not scratch.exists())
    _, alive = psutil.wait_procs(offspring_of(mark), timeout=20)
    assert not alive
    assert not scratch.exists()  # nor has one who lived on made it anew
    assert (root / "journal.jsonl").exists()


def test_nothing_is_left_of_a_run_that_ends_by_itself_or_of_a_case_that_fails(tmp_path: Path) -> None:
    root = tmp_path / "run"
    plugins = Path(__file__).with_name("full_disk.py")
    run = rankbench(
        "run", f"{plugins}:Fills", "--set", "fills.disk=device", "--set", "fills.how=small,torch", "--devices", "cpu:1",
        "--launcher", "inline", "--budget", "5", "--out", root,
        root=root,
    )  # fmt: skip
    assert {cell.case.partition(",")[0] for cell in run.cells if cell.status == "error"} == {"fills[disk=device"}
    assert any(cell.status == "ok" for cell in run.cells if cell.case.startswith("fills"))
    assert not (root / "scratch").exists()


@pytest.mark.parametrize("launcher", ["inline", "torchrun", "ray"])
def test_no_process_is_left_whatever_a_case_has_started(tmp_path: Path, launcher: str) -> None:
    line = ("run", f"{PLUGINS}:Leaves", "--devices", "cpu:1", "--launcher", launcher, "--launches", "1")
    done = subprocess.run(
        [*RANKBENCH, *line, "--budget", "4", "--out", str(tmp_path / "run")],
        env=os.environ | {"RANKBENCH_STEPS": str(tmp_path / "pids")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pids = list(map(int, (tmp_path / "pids").read_text().split()))
    assert len(pids) == 3 and not any(map(psutil.pid_exists, pids))
