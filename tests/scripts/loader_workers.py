"""Feed a model from a DataLoader with worker processes, whose batches take their time."""

import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

DELAY_S = 0.02


class Slow(Dataset[torch.Tensor]):
    """Samples that take long to read."""

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(DELAY_S)
        return torch.full((16,), float(index))


def main() -> None:
    dist.init_process_group("gloo")
    model = DistributedDataParallel(nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    loader = DataLoader(Slow(), batch_size=4, num_workers=1, persistent_workers=True)
    steps = 0
    try:
        for batch in loader:
            steps += 1
            model(batch).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    finally:
        print("steps", steps)


if __name__ == "__main__":
    main()
