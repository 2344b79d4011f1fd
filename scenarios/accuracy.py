"""How far a product in fp32 may be from the exact one."""

from __future__ import annotations

import torch

TOLERANCE = 5e-6
"""Normwise relative error: fp32 has 1e-7 to 3e-7 for n from 32 to 2048, TF32 3e-4 and bf16 3e-3 at any n."""


def normwise_error(product: torch.Tensor, exact: torch.Tensor) -> float:
    """‖product - exact‖ / ‖exact‖, in Frobenius norms. Raises AssertionError above ``TOLERANCE``."""
    shapes = tuple(product.shape), tuple(exact.shape)
    assert shapes[0] == shapes[1], f"shape {shapes[0]} instead of {shapes[1]}"
    error = float(torch.linalg.norm(product.to(exact.device) - exact) / torch.linalg.norm(exact))
    assert error <= TOLERANCE, f"normwise error {error:.1e} (limit {TOLERANCE})"  # NaN is not below it
    return error
