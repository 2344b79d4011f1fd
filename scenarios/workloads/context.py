"""Causal attention over one long sequence: keys and values gathered, passed round a ring, or heads exchanged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.distributed as dist

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.accuracy import normwise_error, tolerance
from scenarios.workloads.rings import exchange

HEADS, WIDTH = 4, 64
"""Of attention, and the numbers of each head."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Causal attention whose sequence is spread over the ranks in chunks; those after a chunk are not computed."""

    scaling: ClassVar[Scaling] = "strong"

    length: int = axis(1024, full=(8192, 65536))
    chunks: int = 8
    how: Literal["gathered", "ring", "zigzag", "ulysses"] = variant(baseline="gathered")

    def prepare(self, gang: Gang) -> Workload:
        """Draw queries, keys and values ``[heads, chunks, tokens, width]``, which all ranks know; each takes chunks."""
        if self.chunks % (2 * gang.size) or HEADS % gang.size or self.length % self.chunks:
            raise Skip(f"{gang.size} ranks do not divide {self.chunks} chunks in pairs and {HEADS} heads evenly")
        size = 3, HEADS, self.chunks, self.length // self.chunks, WIDTH
        whole = torch.randn(size, device=gang.device, generator=gang.shared_generator)
        places = [self.places(rank, gang.size) for rank in range(gang.size)]
        own = places[gang.rank]
        mine = whole[:, :, own].contiguous()

        def step() -> torch.Tensor:
            if self.how == "ulysses":
                return ulysses(gang, mine)
            blocks = gathered(gang, mine[1:]) if self.how == "gathered" else ring(gang, mine[1:])
            return attend(mine[0], own, ((places[source], block) for source, block in blocks))

        def check(output: torch.Tensor) -> Facts:
            error = normwise_error(output, reference(whole, own), "attention", limit=4 * tolerance(self.length))
            return {"error": error, "chunk_pairs": self.pairs(own, gang)}

        flops = 4 * size[3] ** 2 * WIDTH * HEADS * self.pairs(own, gang)
        tensors = 4 / gang.size if self.how == "ulysses" else 2
        wire = tensors * (gang.size - 1) * mine[0].nbytes
        work = Work(flops=flops, items=self.length / gang.size, unit="token", wire=wire)
        return Workload(step, check=check, work=work)

    def places(self, rank: int, size: int) -> list[int]:
        """The chunks of the sequence that a rank has: neighbours, or pairs of an early and a late one."""
        share = self.chunks // size
        if self.how != "zigzag":
            return list(range(rank * share, (rank + 1) * share))
        early = range(rank * share // 2, (rank + 1) * share // 2)
        return [*early, *(self.chunks - 1 - chunk for chunk in reversed(early))]

    def pairs(self, own: list[int], gang: Gang) -> float:
        """Chunks of keys that a rank's chunks of queries attend to, of all heads or as many of a part of them."""
        if self.how == "ulysses":
            return self.chunks * (self.chunks + 1) / 2 / gang.size
        return sum(chunk + 1 for chunk in own)


Blocks = Iterator[tuple[int, torch.Tensor]]
"""Ranks, and keys and values that each has: ``[2, heads, chunks, tokens, width]``."""


def gathered(gang: Gang, block: torch.Tensor) -> Blocks:
    """All ranks' keys and values in one all-gather."""
    out = [torch.empty_like(block) for _ in range(gang.size)]
    dist.all_gather(out, block.contiguous(), group=gang.group)
    yield from enumerate(out)


def ring(gang: Gang, block: torch.Tensor) -> Blocks:
    """Each rank's keys and values in turn, passed on from neighbour to neighbour."""
    yield gang.rank, block
    for turn in range(1, gang.size):
        incoming = torch.empty_like(block)
        exchange(gang, block.contiguous(), (gang.rank + 1) % gang.size, incoming, (gang.rank - 1) % gang.size)
        block = incoming
        yield (gang.rank - turn) % gang.size, block


def ulysses(gang: Gang, mine: torch.Tensor) -> torch.Tensor:
    """Exchange the sequence's parts for heads, attend over all of it, and exchange them back."""
    chunks = mine.shape[2]
    blocks = mine.unflatten(1, (gang.size, -1)).transpose(0, 1).contiguous()
    taken = torch.empty_like(blocks)
    dist.all_to_all_single(taken, blocks, group=gang.group)
    q, k, v = taken.permute(1, 2, 0, 3, 4, 5).flatten(2, 3)
    order = list(range(chunks * gang.size))
    out = attend(q, order, iter([(order, torch.stack([k, v]))]))
    parts = out.unflatten(1, (gang.size, chunks)).transpose(0, 1).contiguous()
    back = torch.empty_like(parts)
    dist.all_to_all_single(back, parts, group=gang.group)
    return back.flatten(0, 1)


def attend(q: torch.Tensor, own: list[int], blocks: Iterator[tuple[list[int], torch.Tensor]]) -> torch.Tensor:
    """Attention of the chunks ``q`` at places ``own`` to blocks of keys and values that come one after the other.

    Sums are rescaled by the greatest score so far; chunks that lie after a query's are passed over.
    """
    total, weight = torch.zeros_like(q), q.new_zeros(q.shape[:-1])
    top = torch.full_like(weight, -math.inf)
    tokens = q.shape[2]
    later = torch.ones(tokens, tokens, dtype=torch.bool, device=q.device).triu(1)
    for places, (k, v) in blocks:
        for row, query in enumerate(own):
            for column in (column for column, key in enumerate(places) if key <= query):
                scores = q[:, row] @ k[:, column].transpose(-1, -2) / math.sqrt(q.shape[-1])
                if places[column] == query:
                    scores = scores.masked_fill(later, -math.inf)
                greatest = torch.maximum(top[:, row], scores.amax(-1))
                powers, scale = (scores - greatest[..., None]).exp(), (top[:, row] - greatest).exp()
                total[:, row] = total[:, row] * scale[..., None] + powers @ v[:, column]
                weight[:, row] = weight[:, row] * scale + powers.sum(-1)
                top[:, row] = greatest
    return total / weight[..., None]


def reference(whole: torch.Tensor, own: list[int]) -> torch.Tensor:
    """Attention of the chunks at places ``own`` to all of the sequence, in float64."""
    q, k, v = whole.double()
    keys, values = k.flatten(1, 2), v.flatten(1, 2)
    tokens = q.shape[2]
    place = torch.arange(keys.shape[1], device=q.device)
    rows = []
    for chunk in own:
        scores = q[:, chunk] @ keys.transpose(-1, -2) / math.sqrt(q.shape[-1])
        later = place > place[chunk * tokens : (chunk + 1) * tokens, None]
        rows.append(scores.masked_fill(later, -math.inf).softmax(-1) @ values)
    return torch.stack(rows, 1)
