"""D2L 5.2.1: the chapter's nested blocks, and what there is to find in them."""

from collections.abc import Callable, Mapping
from operator import attrgetter

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.utils._pytree import tree_leaves

FOUND = {
    "0.net.0.weight": (64, 20), "0.net.0.bias": (64,),
    "0.net.2.weight": (32, 64), "0.net.2.bias": (32,),
    "0.linear.weight": (16, 32), "0.linear.bias": (16,),
    "1.weight": (20, 16), "1.bias": (20,),
    "2.linear.weight": (20, 20), "2.linear.bias": (20,),
}  # fmt: skip
"""The parameters of ``chimera``: where each is, and its shape."""
CONSTANT = "2.rand_weight"
REGISTERED = frozenset({"_parameters", "_buffers", "_modules"})
"""The attributes in which a module keeps what it has registered."""


class NestMLP(nn.Module):
    """A block with a block inside: 20 features to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.linear = nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[rows, 20]`` to ``[rows, 16]``."""
        out: torch.Tensor = self.linear(self.net(x))
        return out


class FixedHiddenMLP(nn.Module):
    """A block with constant weights, a layer that is used twice, and control flow (``halve``); without its last sum."""

    def __init__(self, halve: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.register_buffer("rand_weight", torch.empty(20, 20))  # a plain attribute is neither saved nor moved
        self.linear = nn.Linear(20, 20)
        self.halve = halve

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[rows, 20]`` to the same."""
        return self.halve(self.linear(F.relu(self.linear(x) @ self.rand_weight + 1)))


def chimera(halve: Callable[[torch.Tensor], torch.Tensor]) -> nn.Sequential:
    """The nested model: both blocks, with a layer in between."""
    return nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP(halve))


def access(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter of ``chimera`` by name. Raises AssertionError where one is missing, or found in one way only."""
    parameters = dict(model.named_parameters())
    assert {name: tuple(parameter.shape) for name, parameter in parameters.items()} == FOUND
    assert all(attrgetter(name)(model) is parameter for name, parameter in parameters.items())
    saved = model.state_dict()
    assert saved.keys() == {*FOUND, CONSTANT}, f"the state has {[*saved]}"
    assert all(saved[name].data_ptr() == parameter.data_ptr() for name, parameter in parameters.items())
    strays = [
        f"{place}.{name}"
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in REGISTERED and any(isinstance(leaf, torch.Tensor | nn.Module) for leaf in tree_leaves(value))
    ]
    assert not strays, f"neither parameters nor buffers, so neither saved nor moved: {strays}"
    return parameters


def restored(model: nn.Sequential, twin: nn.Sequential, x: torch.Tensor, *, registered: bool = True) -> int:
    """How many rows of ``x`` a twin with other values maps as ``model`` does, once it has loaded the state of that.

    Unless ``registered``, the constant weights of both are a plain attribute; both are changed then.
    """
    for net in (model, twin) if not registered else ():
        block = net[2]
        constant = block.rand_weight
        del block.rand_weight
        block.rand_weight = constant
    twin.load_state_dict(model.state_dict())  # strict: it would complain of a missing key
    return int((model(x) == twin(x)).all(dim=1).sum())


def activations(tensors: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What ``chimera`` computes before it halves, from its tensors by name."""

    def linear(place: str, x: torch.Tensor) -> torch.Tensor:
        return x @ tensors[f"{place}.weight"].T + tensors[f"{place}.bias"]

    x = linear("0.net.2", linear("0.net.0", x).clamp(min=0)).clamp(min=0)
    x = linear("2.linear", linear("1", linear("0.linear", x)))
    return linear("2.linear", (x @ tensors[CONSTANT] + 1).clamp(min=0))
