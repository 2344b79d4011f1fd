"""Messages are seen whoever sends them, and what a rank waits for them tells who is slow: on two real ranks."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from harness.device.device import CpuDevice
from harness.device.timing import Now, RankSample, now
from harness.gang import Gang
from harness.measure.collective_times import Watched, split
from harness.measure.message_watcher import watched
from tests.ranks import Ranks

WIDTH = 16
WEIGHTS = WIDTH * WIDTH * 4
"""Bytes of one layer, which has no bias."""
LATE_S = 0.3
"""Longer than a busy machine keeps a process from a core."""
FORWARD_S, LONGER = 0.05, 0.2
SAMPLES = 5
Step = Callable[[], Any]


def layers(count: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(count)))


def batch() -> torch.Tensor:
    return torch.ones(4, WIDTH)


def sharded(mesh: DeviceMesh) -> nn.Module:
    net = layers()
    for layer in net:
        fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def tensor_parallel(mesh: DeviceMesh) -> nn.Module:
    return parallelize_module(layers(), mesh, {"0": ColwiseParallel(), "1": RowwiseParallel()})


def trains(net: Callable[[torch.Tensor], torch.Tensor]) -> Step:
    return lambda: net(batch()).sum().backward()


def one_to_one(gang: Gang) -> None:
    operations = [
        dist.P2POp(call, torch.ones(8), group=gang.group, group_peer=1 - gang.rank) for call in (dist.isend, dist.irecv)
    ]
    for work in dist.batch_isend_irecv(operations):
        work.wait()


def unwatched_by_name(gang: Gang) -> None:
    with torch.inference_mode():
        dist.all_to_all_single(torch.empty(8), torch.ones(8), group=gang.group)


def pipeline(gang: Gang) -> Step:
    stage = PipelineStage(layers(1), gang.rank, gang.size, gang.device, group=gang.group)
    schedule = ScheduleGPipe(stage, n_microbatches=2, loss_fn=lambda output, target: (output - target).square().sum())
    arguments = (batch(),) if gang.rank == 0 else ()
    return lambda: schedule.step(*arguments, target=batch() if gang.rank else None)


def callers(gang: Gang) -> dict[str, Step]:
    mesh = DeviceMesh.from_group(gang.group, "cpu")
    rows = distribute_tensor(torch.ones(4, WIDTH), mesh, [Shard(0)])
    return {
        "gang": lambda: gang.all_gather(torch.ones(8)),
        "blocking": lambda: dist.broadcast(torch.ones(8), group_src=1, group=gang.group),
        "asynchronous": lambda: dist.all_reduce(torch.ones(8), group=gang.group, async_op=True).wait(),
        "inference": lambda: unwatched_by_name(gang),
        "functional": lambda: functional.all_reduce(torch.ones(8), "sum", gang.group) + 0,
        "functional scatter": lambda: functional.reduce_scatter_single(torch.ones(8), "sum", 0, gang.group) + 0,
        "DDP": trains(DistributedDataParallel(layers(), process_group=gang.group)),
        "FSDP2": trains(sharded(mesh)),
        "DTensor": lambda: rows.redistribute(mesh, [Replicate()]).to_local() + 0,
        "tensor parallel": trains(tensor_parallel(mesh)),
        "one to one": lambda: one_to_one(gang),
        "pipeline": pipeline(gang),
    }


def taken(gang: Gang, step: Step, clock: Now = now) -> Watched:
    """One sample of a step, whose start the ranks are aligned to."""
    gang.barrier()
    with watched(CpuDevice(0), clock) as seen:
        start_s = clock()
        step()
        end_s = clock()
    return Watched.of(RankSample(start_s, end_s, None), seen)


def with_a_late_rank(gang: Gang) -> dict[str, Watched]:
    """One step of each caller, to which rank 1 comes late."""

    def late(step: Step) -> None:
        if gang.rank == 1:
            time.sleep(LATE_S)
        step()

    told = {}
    for name, step in callers(gang).items():
        for _ in range(2):  # DDP arranges its buckets anew in the second
            step()
        told[name] = taken(gang, lambda step=step: late(step))
    return told


def test_messages_are_seen_once_whoever_sends_them_and_so_is_who_waits(two_ranks: Ranks) -> None:
    gathers, activations = [("all_gather", 2, WEIGHTS)] * 2, 2 * WIDTH * 4
    by_hand = {
        "gang": [("all_gather", 2, 64)],
        "blocking": [("broadcast", 2, 32)],
        "asynchronous": [("all_reduce", 2, 32)],
        "inference": [("all_to_all", 2, 32)],
        "functional": [("all_reduce", 2, 32)],
        "functional scatter": [("reduce_scatter", 2, 32)],
        "DDP": [("all_reduce", 2, 2 * WEIGHTS)],
        "FSDP2": [*gathers, *gathers, *[("reduce_scatter", 2, WEIGHTS)] * 2],
        "DTensor": [("all_gather", 2, 4 * WIDTH * 4)],
        "tensor parallel": [("all_reduce", 2, 4 * WIDTH * 4)],
        "one to one": [("recv", 2, 32), ("send", 2, 32)],
        "pipeline": [("recv", 2, activations)] * 2 + [("send", 2, activations)] * 2,
    }
    ranks = two_ranks.do(with_a_late_rank)
    for told in ranks:
        messages = {name: [(call.kind, call.ranks, call.bytes) for call in each.calls] for name, each in told.items()}
        assert {
            name: sorted(each) if "recv" in {kind for kind, *_ in each} else each for name, each in messages.items()
        } == by_hand
    for name in by_hand:
        times = split([[told[name]] for told in ranks], 1)
        assert times is not None, name
        ((early,), (late,)) = times.wait_s
        assert early > 0.5 * LATE_S, name
        assert late < 0.5 * early, name
        assert times.work_s[1][0] > 0.9 * LATE_S, name


class Busy(nn.Module):
    """A forward pass that takes processor time."""

    def __init__(self, net: nn.Module, seconds: float) -> None:
        super().__init__()
        self.net = net
        self.seconds = seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        end_s = time.process_time() + self.seconds
        while time.process_time() < end_s:
            pass
        return self.net(x)


def parallel(how: str, gang: Gang, seconds: float) -> nn.Module:
    mesh = DeviceMesh.from_group(gang.group, "cpu")
    if how == "DDP":
        return DistributedDataParallel(Busy(layers(), seconds), process_group=gang.group)
    return Busy(sharded(mesh) if how == "FSDP2" else tensor_parallel(mesh), seconds)


def trained(gang: Gang, how: str, longer: float) -> list[Watched]:
    """Samples of a training step by the clock of the process, which neighbours leave alone and waiting too.

    Rank 1's forward pass is longer by a part.
    """
    step = trains(parallel(how, gang, FORWARD_S * (1 + longer * gang.rank)))
    step()
    return [taken(gang, step, time.process_time) for _ in range(SAMPLES)]


@pytest.mark.parametrize("how", ["DDP", "FSDP2", "tensor parallel"])
def test_a_longer_forward_pass_is_its_own_ranks_work(two_ranks: Ranks, how: str) -> None:
    for longer in (LONGER, 0.0):
        times = split(two_ranks.do(trained, how, longer), 1)
        assert times is not None
        early, late = map(statistics.median, times.work_s)
        assert (late - early) / FORWARD_S == pytest.approx(longer, abs=0.1)
