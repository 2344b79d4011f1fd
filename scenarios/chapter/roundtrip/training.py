"""A training run that can be saved and resumed, and all that it depends on."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from scenarios.chapter.roundtrip.state import State

INPUTS, BATCH = 20, 64


@dataclass
class Training:
    """A training run: dropout draws from PyTorch's own generator, Adam keeps moments, a batch comes at each step."""

    width: int
    batches: torch.Tensor
    """The inputs and the label of every sample: shape ``[steps, BATCH, INPUTS + 1]``."""
    done: int = 0

    def __post_init__(self) -> None:
        body = nn.Linear(INPUTS, self.width), nn.BatchNorm1d(self.width), nn.ReLU(), nn.Dropout()
        self.net = nn.Sequential(*body, nn.Linear(self.width, 1)).to(self.batches.device)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-2)

    def go_on(self, until: int) -> State:
        """Train up to a step; the network's state there."""
        for batch in self.batches[self.done : until]:
            self.adam.zero_grad()
            nn.functional.mse_loss(self.net(batch[:, :-1]), batch[:, -1:]).backward()
            self.adam.step()
        self.done = until
        return self.net.state_dict()

    def checkpoint(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        random = torch.get_rng_state()
        if self.batches.is_cuda:
            random = torch.cuda.get_rng_state(self.batches.device)
        return {"net": self.net.state_dict(), "adam": self.adam.state_dict(), "random": random, "done": self.done}

    def resume(self, saved: dict[str, Any]) -> Self:
        """This run as it was; a part of the checkpoint that is missing is left as a new run has it."""
        self.net.load_state_dict(saved["net"])
        self.done = saved["done"]
        if "adam" in saved:
            self.adam.load_state_dict(saved["adam"])
        if "random" in saved and self.batches.is_cuda:
            torch.cuda.set_rng_state(saved["random"], self.batches.device)
        elif "random" in saved:
            torch.set_rng_state(saved["random"])
        return self
