"""States, which are dicts of tensors by name: random ones, and what it takes to carry one."""

import torch
from torch import nn

from harness.scenario import Gang, Work

State = dict[str, torch.Tensor]


def layer(width: int) -> nn.Sequential:
    """One layer: parameters, and the buffers of its normalisation."""
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU())


def network(width: int, layers: int) -> nn.Sequential:
    """A network without memory for its parameters: it has names, shapes and dtypes."""
    with torch.device("meta"):
        return nn.Sequential(*(layer(width) for _ in range(layers)))


def numbers(width: int, layers: int) -> int:
    """How many numbers the weights of such a network have: it has no fewer."""
    return layers * width**2


def drawn(like: nn.Module, gang: Gang, *, buffers: bool = True) -> State:
    """Random parameters on the gang's device, the same on every rank, and buffers that differ from fresh ones."""
    wanted = like.state_dict() if buffers else dict(like.named_parameters())
    return {name: _random(tensor, gang) for name, tensor in wanted.items()}


def _random(like: torch.Tensor, gang: Gang) -> torch.Tensor:
    tensor = torch.empty_like(like, device=gang.device, requires_grad=False)
    if tensor.is_floating_point():
        return tensor.uniform_(0.5, 1.5, generator=gang.shared_generator)
    return tensor.random_(1, 1000, generator=gang.shared_generator)


def size(state: State) -> int:
    """Bytes of all tensors."""
    return sum(tensor.nbytes for tensor in state.values())


def carried(state: State) -> Work:
    """The work of copying a state once: a byte is an item; on its way it is read and written."""
    return Work(items=size(state), bytes=2 * size(state), unit="byte")
