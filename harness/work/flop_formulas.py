"""FLOP formulas that PyTorch's counter lacks."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, shape_wrapper

Shape = Sequence[int]


def trilinear(  # noqa: PLR0913, PLR0917 - the operator's own signature
    i1: Shape,
    i2: Shape,
    i3: Shape,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
    *_: object,
    **__: object,
) -> int:
    """FLOPs of ``aten::_trilinear``, of which ``F.bilinear`` and its gradients are made.

    It contracts the first two operands over what the third lacks, and the result with the third over the rest.
    Along ``unroll_dim`` it loops, so that a sum over it is no part of a product.
    Shapes are of the operands before they get dimensions of one at ``expand…``.
    """
    one, other, third = (_unsqueezed(*operand) for operand in ((i1, expand1), (i2, expand2), (i3, expand3)))
    sums = set(sumdim) - {unroll_dim}
    early = sums & set(expand3)
    pair = _broadcast(one, other)
    left = [1 if dim in early else size for dim, size in enumerate(pair)]
    last = _broadcast(left, third)
    return 2 * math.prod(pair) * bool(early) + 2 * math.prod(last) * bool(sums - early)


def _unsqueezed(shape: Shape, expand: Sequence[int]) -> list[int]:
    sizes = iter(shape)
    return [1 if dim in expand else next(sizes) for dim in range(len(shape) + len(expand))]


def _broadcast(one: Shape, other: Shape) -> list[int]:
    return [b if a == 1 else a for a, b in zip(one, other, strict=True)]


def grouped(a: Shape, b: Shape, *_: object, **__: object) -> int:
    """FLOPs of ``aten::_grouped_mm`` and of its scaled form: many products at once, each of part of what is shared.

    Of ``[rows, k] @ [groups, k, n]`` each row meets one group, of ``[groups, m, k] @ [k, columns]`` each column, and of
    ``[m, k] @ [k, n]`` each group sums a part of ``k``; of three dimensions and three it is a batch of products.
    """
    groups = a[0] if len(a) == len(b) == 3 else 1
    return 2 * groups * a[-2] * a[-1] * b[-1]


_aten = torch.ops.aten
FORMULAS: dict[Any, Callable[..., int]] = {
    _aten._trilinear: shape_wrapper(trilinear),  # noqa: SLF001 - it has no other name
    _aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[_aten._scaled_dot_product_flash_attention],  # noqa: SLF001
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[  # noqa: SLF001
        _aten._scaled_dot_product_flash_attention_backward  # noqa: SLF001
    ],
    _aten._scaled_dot_product_fused_attention_overrideable: flop_registry[_aten._scaled_dot_product_flash_attention],  # noqa: SLF001
    _aten._scaled_dot_product_fused_attention_overrideable_backward: flop_registry[  # noqa: SLF001
        _aten._scaled_dot_product_flash_attention_backward  # noqa: SLF001
    ],
    _aten._grouped_mm: shape_wrapper(grouped),  # noqa: SLF001
    _aten._scaled_grouped_mm: shape_wrapper(grouped),  # noqa: SLF001
}
"""By operator: takes what the operator takes, and its output as ``out_val``; as in PyTorch's registry."""
