"""The gang: ranks that work together on one copy of a case, and what they can do together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Gang:
    """A set of ranks, seen from one of them. With one rank and no group, collectives are the identity."""

    rank: int
    """This rank's place in the gang, from 0."""
    size: int
    """How many ranks it has."""
    device: torch.device
    """Where this rank's tensors belong."""
    generator: torch.Generator
    """Seeded alike for every arm of a comparison, differently on each rank."""
    shared_generator: torch.Generator
    """Seeded alike for every arm of a comparison, on every rank and at every world size."""
    folder: Path = Path("scratch")
    """Where ``scratch`` is made."""
    groups: Mapping[int, dist.ProcessGroup] = field(default_factory=dict, repr=False)
    """The world's process groups by size, looked up at each use: one that failed is replaced there."""

    @property
    def group(self) -> dist.ProcessGroup | None:
        """The process group that carries collectives of tensors; None where one rank is alone."""
        return None if self.size == 1 else self.groups[self.size]

    @property
    def scratch(self) -> Path:
        """A folder for this gang's files, one for all its ranks. It is removed afterwards, however the run ends."""
        self.folder.mkdir(exist_ok=True)  # without its parents: what has been swept at the end is not made anew
        return self.folder

    def share(self, total: int) -> int:
        """How many of ``total`` pieces are this rank's; the first ranks have one more where it does not divide."""
        return total // self.size + (self.rank < total % self.size)

    def part(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """This rank's part of ``tensor``: ``share(tensor.shape[dim])`` long in ``dim``, in rank order; a view."""
        return tensor.tensor_split(self.size, dim)[self.rank]

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` summed over the ranks, in place; the same shape."""
        if self.group is not None:
            dist.all_reduce(tensor, group=self.group)
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Every rank's ``tensor``, of one shape, stacked in rank order: shape ``[size, *tensor.shape]``."""
        if self.group is None:
            return tensor[None]
        out = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(out, tensor.contiguous(), group=self.group)
        return torch.stack(out)

    def reduce_scatter(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum ``tensor`` over the ranks and keep this rank's of ``size`` equal parts of its first dimension."""
        if self.group is None:
            return tensor
        out = torch.empty_like(tensor[: tensor.shape[0] // self.size])
        dist.reduce_scatter_tensor(out, tensor.contiguous(), group=self.group)
        return out

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        """``tensor`` as rank ``source`` has it, in place."""
        if self.group is not None:
            dist.broadcast(tensor, group_src=source, group=self.group)
        return tensor

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.group is not None:
            dist.barrier(group=self.group)


def seeded(device: torch.device, *parts: object) -> torch.Generator:
    """A generator on ``device`` whose seed is a hash of ``parts``: the same in every process."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
