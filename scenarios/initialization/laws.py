"""The laws that weights are drawn from, all of mean 0, and tests that tell a sample of another law.

A test refuses a sample of its law about once in a million.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGEST_Z = 5.0
"""Of a normal variable: exceeded with a probability of 6e-7."""
LARGEST_GAP = 15.0
"""Of an exponential variable of mean 1: exceeded with a probability of 3e-7."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """A symmetric distribution with mean 0."""

    std: float
    """Standard deviation."""
    kurtosis: float
    """Fourth moment over the square of the second."""
    bound: float = math.inf
    """Largest magnitude that is possible."""
    edge: float = 0.0
    """Density of magnitude over bound at 1; 0 where there is no bound."""


def uniform(std: float) -> Law:
    """Evenly between ±√3 std."""
    return Law(std=std, kurtosis=9 / 5, bound=math.sqrt(3) * std, edge=1.0)


def normal(std: float) -> Law:
    """The normal distribution."""
    return Law(std=std, kurtosis=3.0)


def truncated(sigma: float, cut: float = 2.0) -> Law:
    """A normal distribution of deviation ``sigma``, cut off at ±``cut`` · sigma: its own deviation is smaller.

    Moments by m_k = (k - 1) m_(k-2) - c^(k-1) · d, with d = 2 φ(c) / P(|z| < c).
    """
    density = math.sqrt(2 / math.pi) * math.exp(-(cut**2) / 2) / math.erf(cut / math.sqrt(2))
    second = 1 - cut * density
    fourth = 3 * second - cut**3 * density
    return Law(std=sigma * math.sqrt(second), kurtosis=fourth / second**2, bound=cut * sigma, edge=cut * density)


def refuse_another(law: Law, count: float, total: float, squares: float, largest: float) -> None:
    """Judge a sample by how many it has, their sum, the sum of their squares, and the largest magnitude.

    Raises AssertionError where they are of another law. A largest magnitude far inside the bound tells laws apart
    that moments cannot: of N numbers, none in the outermost 1/N is as likely as exp(-1).
    """
    mean, variance = total / count, squares / count
    z = abs(mean) * math.sqrt(count) / law.std
    assert z < LARGEST_Z, f"mean {mean:.3g}, {z:.1f} standard errors from 0"
    z = abs(variance / law.std**2 - 1) * math.sqrt(count / (law.kurtosis - 1))
    assert z < LARGEST_Z, f"std {math.sqrt(variance):.6g}, where {law.std:.6g} is due: {z:.1f} standard errors"
    if law.edge:
        assert largest <= law.bound * (1 + 1e-6), f"magnitude {largest:.6g} beyond the bound {law.bound:.6g}"
        gap = count * law.edge * (1 - largest / law.bound)
        assert gap < LARGEST_GAP, f"no magnitude beyond {largest:.6g}, where the bound is {law.bound:.6g}"
