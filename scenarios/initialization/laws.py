"""What distributions promise, and whether numbers keep it."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from harness.scenario import Facts

SIGMAS = 5.0
"""A sound initialiser is this far from its moments once in a million checks."""
STRAY = 1e-4
"""Numbers of 24 bits are exactly zero now and then, whatever their law."""


class Law(NamedTuple):
    """What a distribution promises."""

    variance: float
    kurtosis: float
    """Its fourth moment over its variance squared, which says how well a sample tells the variance."""
    bound: float = math.inf
    """No magnitude is above it."""
    mean: float = 0.0
    zeros: float = 0.0
    """The share of exact zeros."""


def law(name: str, fan_in: int, fan_out: int) -> Law:
    """The textbook's formulas: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming)."""
    uniform = math.sqrt(6 / (fan_in + fan_out))
    return {
        "normal": Law(0.01**2, 3.0),
        "constant": Law(0.0, 3.0, mean=1.0, bound=1.0),
        "xavier": Law(uniform**2 / 3, 1.8, bound=uniform),
        "kaiming": Law(2 / fan_in, 3.0),
        "truncated": Law(0.7737413, 2.3655367, bound=2.0),  # of N(0, 1) between -2 and 2
        "custom": Law(175 / 6, 558 / 245, bound=10.0, zeros=0.5),  # U(-10, 10), its inner half set to 0
    }[name]


def judge(x: Tensor, due: Law) -> Facts:
    """Hold numbers against a law: mean, variance, support, zeros. Raises AssertionError."""
    root, largest = math.sqrt(len(x)), x.abs().max().item()
    variance, zeros = (x - due.mean).square().mean().item(), (x == 0).double().mean().item()
    limits = {
        "mean": (x.mean().item(), due.mean, math.sqrt(due.variance)),
        "variance": (variance, due.variance, due.variance * math.sqrt(due.kurtosis - 1)),
        "share of zeros": (zeros, due.zeros, math.sqrt(due.zeros * (1 - due.zeros))),
    }
    for name, (told, wanted, spread) in limits.items():
        slack = SIGMAS * spread / root + (STRAY if name == "share of zeros" else 0)
        assert abs(told - wanted) <= slack, f"{name} {told:.6g}, where {wanted:.6g} ± {slack:.2g} is due"
    assert largest <= due.bound * (1 + 1e-6), f"magnitude {largest:.6g} above the bound {due.bound:.6g}"
    if math.isfinite(due.bound):
        least = due.bound * (1 - 250 / len(x))
        assert largest >= least, f"magnitude {largest:.6g} at most, where the bound {due.bound:.6g} is nearly reached"
    return {"std": round(math.sqrt(variance), 6), "largest": round(largest, 6), "zeros": round(zeros, 3)}
