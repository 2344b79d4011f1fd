"""How far this host's clock is from that of rank 0's host.

A rank asks rank 0 for its time, again and again. Of all the exchanges the quickest tells most: rank 0 read its clock
somewhere between question and answer, so half of the time between them bounds the error (Cristian, 1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist

from harness.device.timing import Now

EXCHANGES = 100


@dataclass(frozen=True)
class Offset:
    """What to add to this host's clock to have rank 0's, and by how much that may be wrong; in seconds."""

    seconds: float = 0.0
    error_s: float = 0.0


def estimate(group: dist.ProcessGroup, clock: Now, exchanges: int = EXCHANGES) -> Offset:
    """This rank's offset from rank 0 of ``group`` (gloo). Every rank calls it; rank 0 answers the others in turn."""
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if rank:
        return _ask(group, clock, exchanges)
    told = torch.zeros(1, dtype=torch.float64)
    for other in range(1, size):
        for _ in range(exchanges):
            dist.recv(told, group=group, group_src=other)
            told[0] = clock()
            dist.send(told, group=group, group_dst=other)
    return Offset()


def _ask(group: dist.ProcessGroup, clock: Now, exchanges: int) -> Offset:
    told = torch.zeros(1, dtype=torch.float64)
    best = Offset(error_s=float("inf"))
    for _ in range(exchanges):
        asked_s = clock()
        dist.send(told, group=group, group_dst=0)
        dist.recv(told, group=group, group_src=0)
        answered_s = clock()
        error_s = (answered_s - asked_s) / 2
        if error_s < best.error_s:
            best = Offset(told.item() - (asked_s + answered_s) / 2, error_s)
    return best
