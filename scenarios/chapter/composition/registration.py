"""Sequential blocks that register their children or do not, and what is reached through them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from harness.scenario import Gang


class InList(nn.Module):
    """A sequential block that keeps its children in a plain list, which registers none of them."""

    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        self.kept: Iterable[nn.Module] = list(children)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` through every child, in order."""
        for child in self.kept:
            x = child(x)
        return x


class InModuleList(InList):
    """The same with the list that registers what it keeps."""

    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        self.kept = nn.ModuleList(children)


class InListWithHead(InList):
    """The same list beside a head, the last child, which is registered: an optimizer accepts it without a word."""

    def __init__(self, *children: nn.Module) -> None:
        super().__init__(*children)
        self.head = children[-1]


@torch.no_grad()
def statistics_restored(block: Callable[[nn.Module], nn.Module], x: torch.Tensor) -> int:
    """How many buffers of a batch normalisation, of three, its twin has once it has loaded the state of the block.

    Each is the only child of a block. A container that registers parameters alone saves none.
    """
    child, twin = (nn.BatchNorm1d(x.shape[1], device=x.device) for _ in range(2))
    saved, loading = block(child), block(twin)
    saved(torch.cat([x, 2 * x + 1]))  # more rows than one, and other statistics than a new layer's
    loading.load_state_dict(saved.state_dict())
    return sum(map(torch.equal, child.buffers(), twin.buffers()))


@dataclass(frozen=True)
class Family:
    """A block, and the children that it was given, whether it registers them or not."""

    block: nn.Module
    children: tuple[nn.Module, ...]

    @property
    def tensors(self) -> list[nn.Parameter]:
        """The children's parameters, as the children themselves know them."""
        return [parameter for child in self.children for parameter in child.parameters()]

    def reach(self) -> dict[str, int]:
        """What is reached of the children through the block, which is put in eval mode and made double."""
        self.block.eval().double()
        return {
            "parameters": sum(parameter.numel() for parameter in self.block.parameters()),
            "state_dict_keys": len(self.block.state_dict()),
            "children_in_eval": sum(not child.training for child in self.children),
            "tensors_in_double": sum(tensor.dtype == torch.float64 for tensor in self.tensors),
        }

    @torch.no_grad()
    def restores(self, twin: Self, x: torch.Tensor) -> int:
        """How many samples of ``x`` a twin with other weights maps alike, once it has loaded the block's state."""
        twin.block.load_state_dict(self.block.state_dict())  # strict: it would complain of a missing key
        return int((twin.block(x) == self.block(x)).all(dim=1).sum())

    def train(self, gang: Gang, x: torch.Tensor, rate: float = 0.1) -> tuple[int, float]:
        """One data-parallel SGD step on all that the block calls its parameters; every rank has samples of its own.

        Returns how many of the children's tensors it changed, and the largest difference between ranks afterwards.
        """
        for parameter in self.block.parameters():
            gang.broadcast(parameter.detach())
        before = [tensor.detach().clone() for tensor in self.tensors]
        self.block(x).square().mean().backward()
        with torch.no_grad():
            for parameter in self.block.parameters():
                assert parameter.grad is not None
                parameter.sub_(gang.all_reduce(parameter.grad), alpha=rate / gang.size)
        changed = sum(not torch.equal(*pair) for pair in zip(before, self.tensors, strict=True))
        everywhere = gang.all_gather(parameters_to_vector(self.tensors).detach())
        return changed, (everywhere - everywhere[0]).abs().max().item()
