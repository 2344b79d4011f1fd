"""Products on a real GPU: on which device they are, and that one device is one device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.device.cuda import CudaDevice
from harness.device.timing import StartLine, Timer
from harness.gang import Gang, seeded
from harness.measure.timing_loop import sample
from scenarios.chapter.products.crossover import Crossover
from scenarios.chapter.products.split import Split
from tests.distributed.conftest import rankbench
from tests.stand_ins import workload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def gpu_gang() -> Gang:
    device = CudaDevice(0).torch
    return Gang(0, 1, device, seeded(device, 0), seeded(device, "shared"))


@pytest.mark.parametrize(("where", "due"), [("host", "cpu"), ("resident", "cuda:0"), ("copied", "cpu")])
def test_the_product_is_where_its_variant_says(where: str, due: str) -> None:
    ready = Crossover(where=where, size=256).prepare(gpu_gang())
    ready.reset()
    product = ready.step()
    ready.check(product)
    assert str(product.device) == due
    with pytest.raises(AssertionError, match="due on"):
        ready.check(product.to("cpu" if due != "cpu" else "cuda:0"))
    ready.reset()
    with pytest.raises(AssertionError, match="normwise"):
        ready.check(product)


def test_every_product_is_right_on_a_gpu(tmp_path: Path) -> None:
    root = tmp_path / "run"
    names = ("crossover", "frobenius", "split", "--preset", "smoke", "--set", "crossover.size=64,512")
    run = rankbench("run", *names, "--devices", "cuda:0", "--launches", 1, "--out", root, root=root)
    assert run.code == 0, run.out


def test_two_streams_on_one_device_are_no_second_device() -> None:
    device, pairs = CudaDevice(0), Split(size=4096).operands(gpu_gang())
    line, streams = StartLine(lambda value: value, 1e-4), [torch.cuda.Stream(0) for _ in pairs]

    def in_turn() -> None:
        for a, b in pairs:
            a @ b

    def at_once() -> None:
        main = torch.cuda.current_stream(0)
        for stream, (a, b) in zip(streams, pairs, strict=True):
            stream.wait_stream(main)
            with torch.cuda.stream(stream):
                a @ b
        for stream in streams:
            main.wait_stream(stream)

    def seconds(step: Callable[[], Any]) -> float:
        laps = [sample(workload(step), 4, device, line, Timer(device))[0] for _ in range(6)]
        return min(lap.seconds for lap in laps[1:])

    assert seconds(in_turn) / seconds(at_once) == pytest.approx(1, abs=0.2)
