"""A step whose compute, messages and imbalance are planted, so that what a report says of it can be held against it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.distributed as dist

from harness.common.errors import RefusedError
from harness.device.emulated.planted import compute, host_work, longer
from harness.scenario import Gang, Scaling, Work, Workload, axis

MIB = 2**20
FLOAT = 4
"""Bytes of a number of the message."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Planted compute, shared by the ranks, and an all-reduce of a planted size."""

    scaling: ClassVar[Scaling] = "strong"

    compute_ms: float = axis(20.0)
    """Of the whole step, on one device."""
    operations: int = axis(1)
    """In which a rank's compute is launched."""
    message_mib: float = axis(0.0)
    """All-reduced at the end of a step; 0: ranks do not communicate."""
    overlapped: bool = axis(False)
    """Whether the message is under way while the ranks compute."""
    uneven: float = axis(0.0)
    """By which fraction the first rank's share of the compute is greater than an equal one; it says so."""
    loader_ms: float = axis(0.0)
    """What the host works before each step launches anything."""
    slow_rank: int = axis(1)
    """Whose device takes ``slow`` times as long."""
    slow: float = axis(1.0)
    contended: float = axis(0.0)
    """By which fraction each other busy device of its host lengthens a device's compute."""

    def prepare(self, gang: Gang) -> Workload:
        """A message whose sum over the ranks is zero, and so stays it."""
        if gang.device.type == "cuda":
            raise RefusedError("planted compute is for emulated devices and CPU cores")
        share = self.share(gang.rank, gang.size)
        operation_s = self.compute_ms / 1e3 * share / self.operations
        message = torch.empty(round(self.message_mib * MIB / FLOAT))
        group = gang.group if self.overlapped else None

        places = 2 * torch.arange(gang.size) - gang.size + 1
        mine = float(gang.part(places))

        def reset() -> None:
            message.fill_(mine)

        def step() -> torch.Tensor:
            if self.loader_ms:
                host_work(self.loader_ms / 1e3)
            under_way: Any = dist.all_reduce(message, group=group, async_op=True) if group else None
            own_s = operation_s * longer(self.slow_rank, self.slow, self.contended)
            for _ in range(self.operations):
                compute(own_s)
            if under_way is not None:
                under_way.wait()
            elif len(message):
                gang.all_reduce(message)
            return message

        def check(output: torch.Tensor) -> None:
            assert not output.any(), "the ranks' messages do not sum to zero"

        return Workload(step, check=check, reset=reset, work=Work(items=share, unit="step"))

    def share(self, rank: int, size: int) -> float:
        """A rank's share of the compute: all add up to one."""
        if size == 1:
            return 1.0
        return (1 + self.uneven if rank == 0 else 1 - self.uneven / (size - 1)) / size
