"""Snapshots: what steps of training changed is put back, in place."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import nn

from harness.scenario import snapshot

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adam": lambda model: torch.optim.AdamW(model.parameters(), lr=0.1),
}


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[torch.Tensor]:
    """The state after so many steps on the same data."""
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(2))
    for _ in range(steps):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    return [tensor.detach().clone() for tensor in (*model.parameters(), *model.buffers())]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("warm", [0, 1])
def test_steps_after_a_reset_give_what_they_gave_before(name: str, warm: int) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](model)
    train(model, optimizer, warm)
    places = [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())]
    reset = snapshot(model, optimizer)
    first = train(model, optimizer, 3)
    for _ in range(2):  # a snapshot serves more than once
        reset()
        assert all(parameter.grad is None for parameter in model.parameters())
        again = train(model, optimizer, 3)
        assert all(map(torch.equal, first, again))
    assert [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())] == places


def test_settings_of_an_optimizer_are_put_back() -> None:
    model = network()
    optimizer = OPTIMIZERS["momentum"](model)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    reset, before = snapshot(optimizer), deepcopy(optimizer.state_dict())
    train(model, optimizer, 2)
    schedule.step()
    reset()
    assert optimizer.state_dict() == before


def test_what_has_no_state_is_refused() -> None:
    with pytest.raises(TypeError, match="but got a Tensor"):
        snapshot(torch.ones(1))  # type: ignore[arg-type]
