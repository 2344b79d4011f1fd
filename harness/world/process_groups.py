"""Process groups that carry tensors, and what it takes until they do: set-up, first operation, steady state."""

from __future__ import annotations

import datetime as dt
import statistics

import torch
import torch.distributed as dist

from harness.device.device import Device
from harness.device.timing import Now, now
from harness.journal.records import GroupSetup
from harness.world import emulated_group
from harness.world.control import ControlPlane

STEADY = 20
"""Operations whose median stands for all later ones."""


def over_host(backend: str, size: int, timeout: dt.timedelta) -> dist.ProcessGroup:
    """A group of the first ``size`` ranks whose tensors go through the host. Every rank calls this.

    ``backend`` is gloo, or that of emulated devices.
    """
    if backend == emulated_group.BACKEND:
        emulated_group.register()
    return dist.new_group(range(size), timeout, backend)  # type: ignore[no-any-return]


def over_nccl(
    size: int, device: Device, control: ControlPlane, timeout: dt.timedelta, clock: Now = now
) -> tuple[dist.ProcessGroup, GroupSetup]:
    """A group of the first ``size`` ranks, each of which holds a GPU of its own. Every rank calls this.

    It is bound to the device, so that its communicator is made here and not in the first sample that needs it.
    """
    control.settle(None)  # nobody waits here for those who are still busy with the last group
    start_s = clock()
    group = dist.new_group(range(size), timeout, "nccl", device_id=device.torch)
    took = [clock() - start_s, 0.0, 0.0]
    if control.rank < size:
        number = torch.zeros(1, device=device.torch)
        first_s, *later_s = (_all_reduce(number, group, device, clock) for _ in range(1 + STEADY))
        took[1:] = first_s, statistics.median(later_s)
    setup_s, first_s, steady_s = (round(seconds, 9) for seconds in control.greatest(took))
    return group, GroupSetup(size=size, setup_s=setup_s, first_s=first_s, steady_s=steady_s)


def _all_reduce(number: torch.Tensor, group: dist.ProcessGroup, device: Device, clock: Now) -> float:
    start_s = clock()
    dist.all_reduce(number, group=group)
    device.synchronize()
    return clock() - start_s
