"""The CUDA path on a real GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.device.cuda import CudaDevice
from harness.device.timing import StartLine, Timer
from harness.measure.timing_loop import sample
from tests.distributed.conftest import rankbench
from tests.stand_ins import workload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_events_see_work_that_the_launch_does_not_wait_for() -> None:
    device = CudaDevice(0)
    line = StartLine(lambda value: value, 1e-4)
    cycles = 50_000_000
    lap, _ = sample(workload(lambda: torch.cuda._sleep(cycles)), 4, device, line, Timer(device))
    one, _ = sample(workload(lambda: torch.cuda._sleep(cycles)), 1, device, line, Timer(device))
    assert lap.device_s is not None
    assert lap.seconds == pytest.approx(4 * one.seconds, rel=0.1)
    assert lap.end_s - lap.start_s >= lap.device_s * 0.99


def test_one_gpu_is_measured_end_to_end(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run = rankbench("run", "frobenius", "split", "--devices", "cuda:0", "--launches", 2, "--out", root, root=root)
    assert run.code == 0, run.out
    assert all(cell.samples.device_s is not None for cell in run.cells)
    rates = {row["scenario"]: row["rate"] for row in run.summary["cells"]}
    assert 1e12 < rates["split"] < 1e15  # fp32 on a data-centre GPU: tens of TFLOP/s


def test_two_ranks_on_one_gpu_are_marked_and_make_no_scaling_figure(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run = rankbench(
        "run", "split", "--devices", "cuda:0,0", "--share-device", "--launches", 2, "--out", root, root=root
    )
    assert run.code == 0, run.out
    assert run.summary["run"]["shared_device"] is True
    assert all(row["speedup"] is None for row in run.summary["cells"])
