"""A trainer class that owns the loop: two optimizers, closures, callbacks, and an orderly end."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Gan(nn.Module):
    """A generator and a discriminator of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(4, 8)
        self.discriminator = nn.Linear(8, 1)

    def forward(self, noise: torch.Tensor, which: int) -> torch.Tensor:
        fake = self.generator(noise)
        return self.discriminator(fake.detach() if which == 0 else fake).mean() * (1 if which == 0 else -1)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parts = self.discriminator, self.generator
        return [torch.optim.Adam(part.parameters(), lr=1e-3) for part in parts]


class Trainer:
    """Runs the loop."""

    def __init__(self, max_steps: int, callbacks: list[Callable[[int], None]]) -> None:
        self.max_steps = max_steps
        self.callbacks = callbacks
        self.global_step = 0

    def fit(self, model: Gan) -> None:
        dist.init_process_group("gloo")
        optimizers = model.configure_optimizers()
        wrapped = DistributedDataParallel(model, find_unused_parameters=True)
        try:
            while self.global_step < self.max_steps:
                self.global_step += 1
                for which, optimizer in enumerate(optimizers):
                    optimizer.step(lambda which=which, optimizer=optimizer: self._closure(wrapped, optimizer, which))
                for callback in self.callbacks:
                    callback(self.global_step)
        finally:
            self._teardown()

    def _closure(self, wrapped: nn.Module, optimizer: torch.optim.Optimizer, which: int) -> torch.Tensor:
        optimizer.zero_grad()
        loss = wrapped(torch.randn(8, 4), which)
        loss.backward()
        return loss

    def _teardown(self) -> None:
        print("steps", self.global_step)
        dist.destroy_process_group()


if __name__ == "__main__":
    Trainer(1000, [lambda step: None]).fit(Gan())
