"""Outputs in which every number is another: a check that looks at them refuses them."""

from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_unflatten


def altered(output: object) -> Any | None:
    """A copy of an output, in lists, tuples and dictionaries, with every number changed; None where it has none.

    Tensors of the output keep their values: what a check refuses is the copy, and no state has changed.
    """
    leaves, structure = tree_flatten(output)
    others = [_other(leaf) for leaf in leaves]
    if all(other is leaf for other, leaf in zip(others, leaves, strict=True)):
        return None
    return tree_unflatten(others, structure)


def _other(leaf: Any) -> Any:
    """Another number for a number, other elements for those of a tensor; what is neither stays."""
    if isinstance(leaf, torch.Tensor):
        if not leaf.numel():
            return leaf
        value = leaf.detach()
        if value.dtype == torch.bool:
            return ~value
        return torch.where(value.isfinite(), value * 2 + 1 + value.abs().to(value.dtype), 0)
    if isinstance(leaf, bool):
        return not leaf
    return leaf * 2 + 1 + abs(leaf) if isinstance(leaf, int | float | complex) else leaf
