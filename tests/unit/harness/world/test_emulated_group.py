"""The emulated process group: right data, and ends on the emulated clock that closed forms tell, on two real ranks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from harness.device.emulated.device import EmulatedDevice, use
from harness.device.emulated.network import Network
from harness.device.timing import RankSample
from harness.gang import Gang
from harness.measure.collective_times import Watched, split
from harness.measure.message_watcher import watched
from harness.work.counting import count
from harness.work.planted_cost import planted_cost
from harness.world import emulated_group, process_groups
from reports.analysis.losses import waiting_s
from tests.emulated import BYTES_PER_S, LATENCY_S, emulation
from tests.ranks import Ranks

SLOW = 1.2
"""Rank 1 takes so many times as long."""
LAYERS, WIDTH, LAYER_S = 4, 64, 1e-3
MANY = 250_000
"""Numbers of a message of one megabyte."""


def joined(gang: Gang, **planted: Any) -> tuple[EmulatedDevice, dist.ProcessGroup]:
    """This rank's device, whose launches cost nothing, and its group with the others."""
    device = use(EmulatedDevice(gang.rank, emulation(gang.size, launch_s=0, slow_ranks={1: SLOW}, **planted)))
    emulated_group.register()
    return device, dist.new_group(range(gang.size), backend="emulated")


def left(group: dist.ProcessGroup) -> None:
    process_groups.destroy(group)
    use_none()


def use_none() -> None:
    from harness.device.emulated import device

    device._here.clear()


def filled(rank: int) -> torch.Tensor:
    return torch.full((MANY,), rank + 1.0)


def gathered(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    out = [torch.empty(MANY) for _ in range(2)]
    dist.all_gather(out, filled(rank), group=group)
    return torch.stack(out)[:, 0]


def scattered(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    out = torch.empty(MANY // 2)
    dist.reduce_scatter_single(out, torch.arange(float(MANY)) * (rank + 1), group=group)
    return out[:1] / 3


def exchanged(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    out = torch.empty(MANY)
    dist.all_to_all_single(out, filled(rank), group=group)
    return out[[0, -1]]


def exchanged_list(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    out = [torch.empty(MANY // 2) for _ in range(2)]
    dist.all_to_all(out, list(filled(rank).chunk(2)), group=group)
    return torch.stack(out)[:, 0]


def reduced(rank: int, group: dist.ProcessGroup, **how: Any) -> torch.Tensor:
    message = filled(rank)
    dist.all_reduce(message, group=group, **how)
    return message[:1]


def broadcast(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    message = filled(rank)
    dist.broadcast(message, group_src=1, group=group)
    return message[:1]


def passed_on(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    out = torch.empty(MANY)
    operations = [
        dist.P2POp(dist.isend, filled(rank), group=group, group_peer=1 - rank),
        dist.P2POp(dist.irecv, out, group=group, group_peer=1 - rank),
    ]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    return out[:1] + rank


def waited(rank: int, group: dist.ProcessGroup) -> torch.Tensor:
    return functional.all_reduce(filled(rank), "sum", group)[:1] + 0


COLLECTIVES: dict[str, tuple[Callable[..., torch.Tensor], list[float], Callable[[Network], float]]] = {
    "all-reduce": (reduced, [3], lambda net: net.all_reduce_s((0, 1), 4 * MANY)),
    "functional all-reduce": (waited, [3], lambda net: net.all_reduce_s((0, 1), 4 * MANY)),
    "all-gather": (gathered, [1, 2], lambda net: net.all_gather_s((0, 1), 8 * MANY)),
    "reduce-scatter": (scattered, [0], lambda net: net.all_gather_s((0, 1), 4 * MANY)),
    "broadcast": (broadcast, [2], lambda net: net.broadcast_s((0, 1), 4 * MANY)),
    "all-to-all": (exchanged, [1, 2], lambda net: net.all_to_all_s((0, 1), 4 * MANY)),
    "all-to-all of lists": (exchanged_list, [1, 2], lambda net: net.all_to_all_s((0, 1), 4 * MANY)),
    "send and receive": (passed_on, [2], lambda net: net.transfer_s(0, 1, 4 * MANY)),
}


def times_of(gang: Gang) -> dict[str, tuple[list[float], float, int]]:
    """What each collective gave, how long after the slow rank had come it ended, and the bytes that were counted."""
    device, group = joined(gang)
    told = {}
    for name, (call, _, _) in COLLECTIVES.items():
        device.synchronize()
        dist.barrier(group=group)
        device.synchronize()  # both clocks are equal now
        start_s = device.host_s
        device.launch(LAYER_S)
        values = call(gang.rank, group).tolist()
        device.synchronize()
        counted = count(lambda call=call: call(gang.rank, group)).traffic_bytes
        told[name] = (values, device.host_s - start_s, counted)
    left(group)
    return told


def test_each_collective_has_right_data_and_ends_when_the_last_has_come_and_the_bytes_are_there(
    two_ranks: Ranks,
) -> None:
    net = Network(emulation(2))
    for rank, told in enumerate(two_ranks.do(times_of)):
        for name, (_, values, cost_s) in COLLECTIVES.items():
            output, seconds, counted = told[name]
            own = {"reduce-scatter": [rank * MANY / 2]}.get(name, values)
            assert output == pytest.approx(own), name
            assert seconds == pytest.approx(SLOW * LAYER_S + cost_s(net), rel=1e-9), name
            assert counted, name


class Takes(torch.autograd.Function):
    """Takes planted seconds forward, and twice that backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, device: EmulatedDevice) -> torch.Tensor:
        ctx.device = device
        device.launch(LAYER_S)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        ctx.device.launch(2 * LAYER_S)
        return grad, None


class Layer(nn.Module):
    def __init__(self, device: EmulatedDevice) -> None:
        super().__init__()
        self.device = device
        self.linear = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(Takes.apply(x, self.device))


def model(kind: str, device: EmulatedDevice, group: dist.ProcessGroup) -> nn.Module:
    """Layers that take planted time, in parallel by DDP, FSDP2 or tensor parallel."""
    torch.manual_seed(0)
    with planted_cost(device):  # in which a scenario makes its state, too
        net = nn.Sequential(*[Layer(device) for _ in range(LAYERS)])
        if kind == "ddp":
            bucket_mb = 2 * 4 * WIDTH**2 / 2**20
            return DistributedDataParallel(net, process_group=group, bucket_cap_mb=bucket_mb)
        mesh = DeviceMesh.from_group(group, "cpu")
        if kind == "tensor parallel":
            styles = [ColwiseParallel(), RowwiseParallel()]
            return parallelize_module(net, mesh, {f"{place}.linear": styles[place % 2] for place in range(LAYERS)})
        for layer in [*net, net]:
            fully_shard(layer, mesh=mesh)
        return net


def step_s(gang: Gang, kind: str) -> tuple[float, float]:
    """Seconds of the third training step, and what the gradients of all ranks differ by."""
    device, group = joined(gang)
    net = model(kind, device, group)
    x, seconds = torch.full((2, WIDTH), gang.rank + 1.0, requires_grad=True), 0.0
    for _ in range(3):
        device.synchronize()
        dist.barrier(group=group)
        device.synchronize()
        start_s = device.host_s
        with planted_cost(device), warnings.catch_warnings(action="ignore"):
            net.zero_grad()
            net(x).sum().backward()
        device.synchronize()
        seconds = device.host_s - start_s
    grad = next(net.parameters()).grad
    assert grad is not None
    total = getattr(grad, "full_tensor", lambda: grad)().double().sum().reshape(1)
    both = [torch.empty_like(total) for _ in range(2)]
    dist.all_gather(both, total, group=group)
    left(group)
    return seconds, float((both[0] - both[1]).abs())


def test_a_step_of_ddp_takes_its_compute_and_what_of_its_messages_is_not_hidden(two_ranks: Ranks) -> None:
    layer_s, message_s = SLOW * LAYER_S, 2 * (LATENCY_S + 4 * WIDTH**2 / BYTES_PER_S)  # of a bucket of two layers
    (fast_s, difference), (slow_s, _) = two_ranks.do(step_s, "ddp")
    before_s = (3 * LAYERS - 2) * layer_s  # the last bucket leaves before the first layer's last operation
    assert fast_s == pytest.approx(before_s + message_s, rel=1e-9)
    assert slow_s == pytest.approx(3 * LAYERS * layer_s, rel=1e-9)  # all messages are hidden
    assert difference == 0


def test_a_step_of_fsdp_hides_messages_too_and_ends_on_both_ranks_at_once(two_ranks: Ranks) -> None:
    (one_s, difference), (other_s, _) = two_ranks.do(step_s, "fsdp")
    compute_s = SLOW * LAYER_S * 3 * LAYERS
    messages_s = (3 * LAYERS + 3) * (LATENCY_S + 4 * WIDTH**2 / BYTES_PER_S)
    assert one_s == pytest.approx(other_s, rel=1e-9)
    assert compute_s < one_s < compute_s + messages_s
    assert difference == 0


def watched_steps(gang: Gang, kind: str) -> list[Watched]:
    """Training steps, watched, the first of which rank 1 takes ``SLOW`` times as long for."""
    device, group = joined(gang, mark_s=1e-12)
    net, x = model(kind, device, group), torch.full((2, WIDTH), gang.rank + 1.0, requires_grad=True)
    told = []
    for slow in (1.0, 1.0, SLOW, 1.0):
        device._factor = slow if gang.rank == 1 else 1.0
        device.synchronize()
        dist.barrier(group=group)
        device.synchronize()
        with watched(device, device.now) as seen, planted_cost(device), warnings.catch_warnings(action="ignore"):
            start_s = device.host_s
            net.zero_grad()
            net(x).sum().backward()
            device.synchronize()
            end_s = device.host_s
        told.append(Watched.of(RankSample(start_s, end_s, None), seen))
    left(group)
    return told[2:]


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "tensor parallel"])
def test_what_a_slow_rank_makes_the_other_wait_is_told_exactly_whatever_sends_the_messages(
    two_ranks: Ranks, kind: str
) -> None:
    times = split(two_ranks.do(watched_steps, kind), 1)
    assert times is not None
    work_s = 3 * LAYERS * LAYER_S
    assert times.work_s == ((pytest.approx(work_s),) * 2, (pytest.approx(SLOW * work_s), pytest.approx(work_s)))
    assert times.wait_s[0][1] == times.wait_s[1][1] == 0
    for sample, planted in enumerate((SLOW - 1, 0.0)):
        shares = (np.array(part)[:, [sample]] for part in (times.work_s, times.transfer_s))
        assert waiting_s(*shares, np.ones(2)) / work_s == pytest.approx(planted, abs=0.03)
