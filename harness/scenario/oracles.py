"""Oracles: results that a scenario's check compares with and that owe nothing to what is measured."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

_CHUNK = 1 << 22
"""Numbers of a pattern that are made at a time: places are counted in 64 bits, which take more memory than they."""
_MULTIPLIER = 2_654_435_761
"""A multiplier that spreads places over all bits, so that neighbouring places get very different numbers."""
_EXACT = {torch.bfloat16: 2**8, torch.float16: 2**11, torch.float32: 2**24, torch.float64: 2**53}
"""Integers up to here have no rounding."""
_LARGEST = 2**12
"""No part of a number is greater than that, whatever its type would hold."""


@dataclass(frozen=True)
class ExactPattern:
    """Integers by rank and place, ``base(place) + weight(place) * (rank mod wrap)``: all sums of them are exact."""

    ranks: int
    numbers: int
    dtype: torch.dtype
    device: torch.device
    most_base: int
    most_weight: int
    wrap: int
    """Ranks this far apart have the same numbers."""

    def of(self, rank: int, first: int = 0, numbers: int | None = None) -> torch.Tensor:
        """The numbers of rank ``rank``, shape ``[numbers]``; or a part of them that begins at ``first``."""
        return self._made(1, rank % self.wrap, first, numbers)

    def total(self, first: int = 0, numbers: int | None = None) -> torch.Tensor:
        """The sum over all ranks, exactly."""
        return self._made(self.ranks, sum(rank % self.wrap for rank in range(self.ranks)), first, numbers)

    def _made(self, bases: int, weights: int, first: int, numbers: int | None) -> torch.Tensor:
        out = torch.empty(self.numbers - first if numbers is None else numbers, dtype=self.dtype, device=self.device)
        for start in range(0, len(out), _CHUNK):
            part = out[start : start + _CHUNK]
            place = torch.arange(first + start, first + start + len(part), device=self.device)
            mixed = (place + 1) * _MULTIPLIER
            base = 1 + (mixed >> 16) % self.most_base
            weight = 1 + (mixed >> 8) % self.most_weight
            part.copy_(bases * base + weights * weight)
        return out


def exact_pattern(
    ranks: int, numbers: int, dtype: torch.dtype, device: torch.device, *, summed: bool = True
) -> ExactPattern:
    """Make operands of collectives whose results are known in closed form on every rank, bit for bit.

    ``summed``: sums over all ranks are exact too, in any order. Raises ValueError where the type has no room for that.
    """
    limit = _EXACT[dtype] if dtype.is_floating_point else min(torch.iinfo(dtype).max, 2**24)
    adding = ranks if summed else 1
    wrap = next((wrap for wrap in range(ranks, 0, -1) if _most(wrap, ranks, summed=summed) <= limit // 2), 0)
    top = _most(max(1, wrap), ranks, summed=summed)
    weight = max(1, min(_LARGEST, limit // 2 // max(1, top)))
    base = min(_LARGEST, (limit - weight * top) // adding)
    if base < 1 or wrap < min(2, ranks):
        raise ValueError(f"no sum over {ranks} ranks is exact in {dtype}")
    return ExactPattern(ranks, numbers, dtype, device, base, weight, wrap)


def _most(wrap: int, ranks: int, *, summed: bool) -> int:
    """The largest factor of a weight."""
    return sum(rank % wrap for rank in range(ranks)) if summed else wrap - 1


def exact_gradients(model: nn.Module, loss: Callable[[nn.Module], torch.Tensor]) -> list[torch.Tensor]:
    """The gradients of ``loss(model)`` by each parameter, in float64, by plain autograd on a copy of one process.

    The model must be a plain one: neither sharded nor wrapped. A parameter that the loss ignores has zeros.
    """
    exact = copy.deepcopy(model).double()
    parameters = list(exact.parameters())
    gradients = torch.autograd.grad(loss(exact), parameters, allow_unused=True, materialize_grads=True)
    return list(gradients)


@torch.no_grad()
def freivalds(
    a: torch.Tensor, b: torch.Tensor, product: torch.Tensor, *, generator: torch.Generator | None = None
) -> float:
    """‖(product - a b) x‖ / ‖a b x‖ for one random vector ``x`` of signs, in float64.

    It costs O(n²) where the product costs O(n³). ``a`` is ``[m, k]``, ``b`` ``[k, n]``, ``product`` ``[m, n]``. A wrong
    entry is missed by one vector with a chance of at most one half, and then by the next with the same.
    """
    bits = torch.randint(0, 2, (b.shape[1], 1), device=b.device, generator=generator)
    x = (2 * bits - 1).double()
    due = a.double() @ (b.double() @ x)
    off = torch.linalg.norm(product.double() @ x - due)
    size = torch.linalg.norm(due)
    return float(off / size) if size else float(off)
