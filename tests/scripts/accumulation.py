"""Accumulate gradients over micro-batches; only the last one of each step communicates."""

from contextlib import nullcontext

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

MICRO_BATCHES = 4


def main() -> None:
    dist.init_process_group()
    model = DistributedDataParallel(nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters())
    loader = DataLoader(TensorDataset(torch.randn(96, 16), torch.randn(96, 4)), batch_size=8)
    steps = 0
    try:
        for _ in range(1000):
            for number, (features, targets) in enumerate(loader):
                last = (number + 1) % MICRO_BATCHES == 0
                with nullcontext() if last else model.no_sync():
                    (nn.functional.mse_loss(model(features), targets) / MICRO_BATCHES).backward()
                if last:
                    steps += 1
                    optimizer.step()
                    optimizer.zero_grad()
    finally:
        print("steps", steps)


if __name__ == "__main__":
    main()
