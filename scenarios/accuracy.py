"""How far a result in fp32 may be from the exact one."""

import math

import torch

TOLERANCE = 5e-6
"""Normwise relative error: fp32 has 1e-7 to 3e-7 for n from 32 to 2048, TF32 3e-4 and bf16 3e-3 at any n."""
PER_ROOT = 4e-8
"""Normwise relative error over the root of the number of terms that are added up one after the other, twice over."""


ROUNDED = {torch.bfloat16: 8e-3}
"""The same of results in bf16, whose partial sums may be rounded too, by a split of a sum or by each rank."""


def tolerance(terms: int, dtype: torch.dtype = torch.float32) -> float:
    """The limit for sums of so many products, however they are added up: in fp32 from 16 thousand on more than usual.

    A CPU adds up in blocks, but a GPU's kernel may add up all terms in one chain.
    """
    return max(ROUNDED.get(dtype, TOLERANCE), PER_ROOT * math.sqrt(terms))


@torch.no_grad()
def normwise_error(
    result: torch.Tensor, exact: torch.Tensor, what: str = "it", *, limit: float = TOLERANCE, least: float = 0.0
) -> float:
    """‖result - exact‖ / ‖exact‖ in Frobenius norms; 0 where ``exact`` is empty or 0, and ``result`` too.

    Raises AssertionError above ``limit`` and where shapes differ; ``what`` names the result then. Of an ``exact`` that
    is smaller than ``least``, as a sum whose terms cancel may be, only so much as of that one is asked.
    """
    shapes = tuple(result.shape), tuple(exact.shape)
    assert shapes[0] == shapes[1], f"{what} has shape {shapes[0]}, where {shapes[1]} is due"
    off, size = (float(torch.linalg.norm(values)) for values in (result.to(exact.device) - exact, exact))
    # NaN is above every limit
    assert off <= limit * max(size, least), f"{what}: a normwise error of {off:.1e} in {size:.1e} (limit {limit})"
    return off / size if size else 0.0
