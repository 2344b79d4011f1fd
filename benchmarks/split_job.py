"""What people write to time a split product: started once by torchrun with one rank and once with two."""

from __future__ import annotations

import sys
import time

import torch
import torch.distributed as dist

SIZE, PRODUCTS = 512, 2


def main(seconds: float, how: str) -> None:
    """Warm up, agree on a count that lasts so long, time it from barrier to barrier; rank 0 prints seconds a step."""
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, SIZE, SIZE, generator=generator) for _ in range(PRODUCTS)]
    if how == "whole":
        mine = [(a, b) for a, b in pairs[rank::ranks]]
    else:
        part = slice(rank * SIZE // ranks, (rank + 1) * SIZE // ranks)
        mine = [(a[:, part].contiguous(), b[part].contiguous()) for a, b in pairs]

    def timed(steps: int) -> float:
        dist.barrier()
        start_s = time.perf_counter()
        for _ in range(steps):
            for a, b in mine:
                product = a @ b
                if ranks > 1 and how == "inner":
                    dist.all_reduce(product)
        dist.barrier()
        return (time.perf_counter() - start_s) / steps

    timed(10)
    step_s = torch.tensor(timed(20))
    dist.broadcast(step_s, 0)
    told_s = timed(max(int(seconds / float(step_s)), 1))
    if rank == 0:
        print(told_s)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
