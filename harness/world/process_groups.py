"""Process groups that carry tensors, and what it takes until they do: set-up, first operation, steady state."""

import datetime as dt
import statistics
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist

from harness.device.device import Device
from harness.device.timing import Now, now
from harness.journal.records import GroupSetup
from harness.world import emulated_group
from harness.world.control import ControlPlane

STEADY = 20
"""Operations whose median stands for all later ones."""


def over_host(backend: str, gangs: Sequence[range], timeout: dt.timedelta, rank: int) -> dist.ProcessGroup:
    """Groups of the ranks of each gang, whose tensors go through the host. Every rank calls this.

    Returns the one that this rank is in, or one that stands for none. ``backend`` is gloo, or that of emulated devices.
    """
    if backend == emulated_group.BACKEND:
        emulated_group.register()
    return _own([dist.new_group(gang, timeout, backend) for gang in gangs], gangs, rank)


def over_nccl(
    gangs: Sequence[range], device: Device, control: ControlPlane, timeout: dt.timedelta, clock: Now = now
) -> tuple[dist.ProcessGroup, GroupSetup]:
    """Groups of the ranks of each gang, each of which holds a GPU of its own. Every rank calls this.

    Returns the one that this rank is in, or one that stands for none. It is bound to the device, so that its
    communicator is made here and not in the first sample that needs it.
    """
    control.settle(None)  # nobody waits here for those who are still busy with the last group
    start_s = clock()
    every = [dist.new_group(gang, timeout, "nccl", device_id=device.torch) for gang in gangs]
    group = _own(every, gangs, control.rank)
    took = [clock() - start_s, 0.0, 0.0]
    if any(control.rank in gang for gang in gangs):
        number = torch.zeros(1, device=device.torch)
        first_s, *later_s = (_all_reduce(number, group, device, clock) for _ in range(1 + STEADY))
        took[1:] = first_s, statistics.median(later_s)
    setup_s, first_s, steady_s = (round(seconds, 9) for seconds in control.greatest(took))
    return group, GroupSetup(size=len(gangs[0]), setup_s=setup_s, first_s=first_s, steady_s=steady_s)


def destroy(group: dist.ProcessGroup) -> None:
    """Destroy a group, so that none of DTensor's caches goes on naming it.

    DTensor caches how an operation is sharded by the mesh, and meshes of the same ranks are equal whatever their group:
    an operation on the mesh of a later group would be told to use the one that is gone.
    """
    dist.destroy_process_group(group)
    if "torch.distributed.tensor" in sys.modules:  # it takes a second to import
        from torch.distributed.tensor import debug

        debug._clear_sharding_prop_cache()  # noqa: SLF001


def _own(groups: Sequence[dist.ProcessGroup], gangs: Sequence[range], rank: int) -> dist.ProcessGroup:
    """The group of the gang that a rank is in, else the first."""
    return next((group for group, gang in zip(groups, gangs, strict=True) if rank in gang), groups[0])


def _all_reduce(number: torch.Tensor, group: dist.ProcessGroup, device: Device, clock: Now) -> float:
    start_s = clock()
    dist.all_reduce(number, group=group)
    device.synchronize()
    return clock() - start_s
