"""The gang: ranks that work together on one copy of a case, and what they can do together."""

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh

from harness.common.errors import RefusedError, Skip

MEETING = dt.timedelta(minutes=5)
"""For the ranks of a subgroup to meet, and in its collectives; a rank that is lost ends the launch long before."""


@dataclass(frozen=True)
class Gang:
    """A set of ranks, seen from one of them. With one rank, its collectives are the identity."""

    rank: int
    """This rank's place in the gang, from 0."""
    size: int
    """Number of ranks in the gang."""
    device: torch.device
    """The device of this rank's tensors."""
    generator: torch.Generator
    """Seeded alike for every variant of a comparison, differently on each rank."""
    shared_generator: torch.Generator
    """Seeded alike for every variant of a comparison, on every rank and at every world size."""
    folder: Path = Path("scratch")
    """The folder of ``scratch``."""
    groups: dict[int, dist.ProcessGroup] = field(default_factory=dict, repr=False)
    """The world's process groups by size, looked up at each use: one that failed is replaced there."""
    lent: set[int] = field(default_factory=set, repr=False)
    """Sizes of the groups that the scenario itself has asked for: it may hold them, as DDP and device meshes do."""
    apart: bool = False
    """Whether its ranks are on hosts that do not share the run directory's disk."""

    @property
    def group(self) -> dist.ProcessGroup:
        """The process group of these ranks, at every size: of one rank too, so that DDP is the same program there."""
        if self.size > 1:
            self.lent.add(self.size)
        elif 1 not in self.groups:
            self.groups[1] = _of_one(self.device)
        return self.groups[self.size]

    @property
    def mesh(self) -> DeviceMesh:
        """These ranks as a device mesh of one dimension, at every size: for FSDP2, DTensor and tensor parallelism."""
        return DeviceMesh.from_group(self.group, self.device.type)

    def split(self, n: int) -> DeviceMesh:
        """These ranks in rows of ``n`` neighbours: a mesh ``[size / n, n]`` with dimensions ``across`` and ``within``.

        Every rank calls it, in the same order as other collectives. Raises Skip where ``n`` does not divide the size.
        """
        if n < 1 or self.size % n:
            raise Skip(f"{self.size} {'rank' if self.size == 1 else 'ranks'} cannot be split into groups of {n}")
        return _rows(self.group, n, self.device)

    @property
    def _group(self) -> dist.ProcessGroup | None:
        return None if self.size == 1 else self.groups[self.size]

    @property
    def scratch(self) -> Path:
        """A folder for this gang's files, one for all its ranks. It is removed afterwards, however the run ends.

        Raises RefusedError, by which the case is skipped, where the ranks' hosts share no disk for it.
        """
        if self.apart:
            raise RefusedError("the hosts do not share the run directory's disk; name --out on one that they do")
        self.folder.mkdir(exist_ok=True)  # without its parents: what has been swept at the end is not made anew
        return self.folder

    def share(self, total: int) -> int:
        """Number of this rank's pieces out of ``total``; the first ranks have one more if they do not divide evenly."""
        return self._shares(total)[self.rank]

    def span(self, total: int) -> slice:
        """Which of ``total`` pieces are this rank's: ``pieces[gang.span(len(pieces))]``, in rank order."""
        before = sum(self._shares(total)[: self.rank])
        return slice(before, before + self.share(total))

    def owners(self, total: int) -> list[int]:
        """The rank that has each of ``total`` pieces."""
        return [rank for rank, share in enumerate(self._shares(total)) for _ in range(share)]

    def part(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """This rank's part of ``tensor``: ``share(tensor.shape[dim])`` long in ``dim``, in rank order; a view."""
        return tensor.tensor_split(self.size, dim)[self.rank]

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` summed over the ranks, in place; the same shape."""
        if self._group is not None:
            dist.all_reduce(tensor, group=self._group)
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Every rank's ``tensor``, of one shape, stacked in rank order: shape ``[size, *tensor.shape]``."""
        return tensor[None] if self._group is None else torch.stack(self._gather(tensor))

    def join(self, part: torch.Tensor, total: int, dim: int = 0) -> torch.Tensor:
        """The tensor, ``total`` long in ``dim``, of which each rank has its ``part``: the way back from :meth:`part`.

        Messages are of one length: a shorter part is padded on its way.
        """
        if self._group is None:
            return part
        shares = self._shares(total)
        missing = list(part.shape)
        missing[dim] = max(shares) - part.shape[dim]
        gathered = self._gather(torch.cat([part, part.new_zeros(missing)], dim) if missing[dim] else part)
        return torch.cat([rows.narrow(dim, 0, share) for rows, share in zip(gathered, shares, strict=True)], dim)

    def reduce_scatter(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum ``tensor`` over the ranks and keep this rank's of ``size`` equal parts of its first dimension."""
        if self._group is None:
            return tensor
        out = torch.empty_like(tensor[: tensor.shape[0] // self.size])
        dist.reduce_scatter_tensor(out, tensor.contiguous(), group=self._group)
        return out

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        """``tensor`` as rank ``source`` has it, in place."""
        if self._group is not None:
            dist.broadcast(tensor, group_src=source, group=self._group)
        return tensor

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self._group is not None:
            dist.barrier(group=self._group)

    def _shares(self, total: int) -> list[int]:
        return [total // self.size + (rank < total % self.size) for rank in range(self.size)]

    def _gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        tensor = tensor.contiguous()
        out = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(out, tensor, group=self._group)
        return out


def seeded(device: torch.device, *parts: object) -> torch.Generator:
    """A generator on ``device`` whose seed is a hash of ``parts``: the same in every process."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def _of_one(device: torch.device) -> dist.ProcessGroup:
    """The process group of this rank alone. A process that has no default group yet gets one of its own."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    return _new(device)([dist.get_rank()])


def _rows(group: dist.ProcessGroup, n: int, device: torch.device) -> DeviceMesh:
    """The ranks of ``group`` in rows of ``n``, as a mesh; every rank of it calls this, and nobody else."""
    ranks = torch.tensor(dist.get_process_group_ranks(group)).view(-1, n)
    row, column = divmod(dist.get_rank(group), n)
    across, within = (_new(device)(line.tolist()) for line in (ranks[:, column], ranks[row]))
    return DeviceMesh.from_group([across, within], device.type, mesh=ranks, mesh_dim_names=("across", "within"))


def _new(device: torch.device) -> partial[dist.ProcessGroup]:
    backend = "nccl" if device.type == "cuda" else "gloo"
    return partial(dist.new_group, timeout=MEETING, backend=backend, use_local_synchronization=True)
