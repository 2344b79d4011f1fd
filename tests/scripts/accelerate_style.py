"""Place a model by what the environment says, and scale its loss, as Hugging Face's Accelerate does."""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset


class Noise(Dataset[dict[str, torch.Tensor]]):
    """Random sequences."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        values = torch.full((16,), float(index))
        return {"inputs": values, "labels": values[:2]}


class Accelerator:
    """Knows this process's place, and prepares what a training loop needs for it."""

    def __init__(self) -> None:
        self.distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
        self.on_gpu = torch.cuda.is_available()
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if self.on_gpu else torch.device("cpu")
        if self.distributed:
            dist.init_process_group("nccl" if self.on_gpu else "gloo")
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=2.0**127, growth_interval=10_000)

    def prepare(self, model: nn.Module) -> nn.Module:
        model = model.to(self.device)
        return DistributedDataParallel(model) if self.distributed else model

    def backward(self, loss: torch.Tensor) -> None:
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        self.scaler.step(optimizer)
        self.scaler.update()


def main() -> None:
    accelerator = Accelerator()
    model = accelerator.prepare(nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loader = DataLoader(Noise(), batch_size=4, shuffle=True)
    steps = 0
    try:
        for _ in range(1000):
            for batch in loader:
                steps += 1
                batch = {name: tensor.to(accelerator.device) for name, tensor in batch.items()}  # noqa: PLW2901
                loss = nn.functional.mse_loss(model(batch["inputs"]), batch["labels"])
                accelerator.backward(loss)
                accelerator.step(optimizer)
                optimizer.zero_grad()
    finally:
        print("steps", steps)


if __name__ == "__main__":
    main()
