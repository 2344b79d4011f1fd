"""Process groups of some of a gang's ranks: of one alone, and of rows and columns for meshes of two dimensions."""

import datetime as dt
from functools import partial

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh

MEETING = dt.timedelta(minutes=5)
"""For the ranks of a subgroup to meet, and in its collectives; a rank that is lost ends the launch long before."""


def of_one(device: torch.device) -> dist.ProcessGroup:
    """The process group of this rank alone. A process that has no default group yet gets one of its own."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    return _new(device)([dist.get_rank()])


def rows(group: dist.ProcessGroup, n: int, device: torch.device) -> DeviceMesh:
    """The ranks of ``group`` in rows of ``n``, as a mesh; every rank of it calls this, and nobody else."""
    ranks = torch.tensor(dist.get_process_group_ranks(group)).view(-1, n)
    row, column = divmod(dist.get_rank(group), n)
    across, within = (_new(device)(line.tolist()) for line in (ranks[:, column], ranks[row]))
    return DeviceMesh.from_group([across, within], device.type, mesh=ranks, mesh_dim_names=("across", "within"))


def _new(device: torch.device) -> partial[dist.ProcessGroup]:
    backend = "nccl" if device.type == "cuda" else "gloo"
    return partial(dist.new_group, timeout=MEETING, backend=backend, use_local_synchronization=True)
