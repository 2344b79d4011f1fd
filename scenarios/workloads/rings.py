"""Collectives by hand: exchanges between neighbours in a ring, between pairs, and down a tree."""

import torch
import torch.distributed as dist

from harness.scenario import Gang


def exchange(gang: Gang, outgoing: torch.Tensor | None, to: int, incoming: torch.Tensor | None, source: int) -> None:
    """Send ``outgoing`` to rank ``to`` while ``incoming`` comes from rank ``source``; either may be None."""
    operations = []
    if outgoing is not None:
        operations.append(dist.P2POp(dist.isend, outgoing, group=gang.group, group_peer=to))
    if incoming is not None:
        operations.append(dist.P2POp(dist.irecv, incoming, group=gang.group, group_peer=source))
    for message in dist.batch_isend_irecv(operations) if operations else ():
        message.wait()


def reduce_scatter(gang: Gang, blocks: torch.Tensor) -> torch.Tensor:
    """This rank's block of the sum of all ranks' ``blocks``, shape ``[size, n]``, which it uses up; shape ``[n]``."""
    rank, size = gang.rank, gang.size
    incoming = torch.empty_like(blocks[0])
    for turn in range(size - 1):
        exchange(gang, blocks[(rank - 1 - turn) % size], (rank + 1) % size, incoming, (rank - 1) % size)
        blocks[(rank - 2 - turn) % size] += incoming
    return blocks[rank]


def all_gather(gang: Gang, blocks: torch.Tensor) -> torch.Tensor:
    """Fill ``blocks``, shape ``[size, n]``, of which each rank has its own."""
    rank, size = gang.rank, gang.size
    for turn in range(size - 1):
        sent, due = (rank - turn) % size, (rank - 1 - turn) % size
        exchange(gang, blocks[sent], (rank + 1) % size, blocks[due], (rank - 1) % size)
    return blocks


def all_reduce(gang: Gang, blocks: torch.Tensor) -> torch.Tensor:
    """Sum ``blocks``, shape ``[size, n]``, over the ranks, in place."""
    reduce_scatter(gang, blocks)
    return all_gather(gang, blocks)


def all_to_all(gang: Gang, blocks: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Send ``blocks[r]`` to each rank r; ``out[r]`` is what rank r sent. Both have shape ``[size, n]``."""
    rank, size = gang.rank, gang.size
    out[rank] = blocks[rank]
    for turn in range(1, size):
        to, source = (rank + turn) % size, (rank - turn) % size
        exchange(gang, blocks[to], to, out[source], source)
    return out


def broadcast(gang: Gang, tensor: torch.Tensor) -> torch.Tensor:
    """Give ``tensor`` to all as rank 0 has it: each turn doubles the ranks that have it."""
    having = 1
    while having < gang.size:
        if gang.rank < having:
            if gang.rank + having < gang.size:
                exchange(gang, tensor, gang.rank + having, None, 0)
        elif gang.rank < 2 * having:
            exchange(gang, None, 0, tensor, gang.rank - having)
        having *= 2
    return tensor
