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
from tests.limits import LIMIT_S

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two CPU cores stand in for two devices")

LIBRARIES = "fills.how=small,torch,path,dcp,program"  # safetensors does not write through a link
SAVE = ("run", "scenarios.chapter.roundtrip.save:Save", "--launches", "1", "--budget", "60")


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
    process.wait(LIMIT_S)
    wait_until(lambda: not scratch.exists())
    _, alive = psutil.wait_procs(offspring_of(mark), timeout=60)
    assert not alive
    assert not scratch.exists()  # nor has one who lived on made it anew
    assert (root / "journal.jsonl").exists()


def test_nothing_is_left_of_a_run_that_ends_by_itself_or_of_a_case_that_fails(tmp_path: Path) -> None:
    """Nor any process that a case has started; under the other launchers: tests/distributed/test_ray.py."""
    root, pids = tmp_path / "run", tmp_path / "pids"
    plugins = Path(__file__).with_name("full_disk.py")
    run = rankbench(
        "run", f"{plugins}:Fills", "--set", "fills.disk=device", "--set", LIBRARIES, f"{PLUGINS}:Leaves",
        "--devices", "cpu:1", "--launcher", "inline", "--budget", "5", "--out", root,
        root=root, RANKBENCH_STEPS=pids,
    )  # fmt: skip
    failed = [cell.message or "" for cell in run.cells if cell.status != "ok"]
    assert len(failed) == 4 and all(message.startswith("the disk is full") for message in failed), run.out
    assert any(cell.status == "ok" for cell in run.cells if cell.case.startswith("fills"))
    assert not (root / "scratch").exists()
    assert len(left := pids.read_text().split()) == 3 and not any(map(psutil.pid_exists, map(int, left)))
