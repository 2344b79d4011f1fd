"""Composed networks on a real GPU, where streams are streams."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.device.cuda import CudaDevice
from harness.gang import Gang, seeded
from scenarios.chapter.composition.branches import Branches
from tests.distributed.conftest import rankbench

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_branches_on_streams_are_right_however_often_memory_is_used_again() -> None:
    device = CudaDevice(0).torch
    gang = Gang(0, 1, device, seeded(device, 0), seeded(device, "shared"))
    workload = Branches(how="streams").prepare(gang)
    for _ in range(200):
        output = workload.step()
    found = workload.check(output)
    assert found is not None
    assert found["streams"] == 2


def test_every_composition_is_right_on_a_gpu(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run = rankbench("run", "composition", "--devices", "cuda:0", "--launches", 1, "--out", root, root=root)
    assert run.code == 0, run.out
