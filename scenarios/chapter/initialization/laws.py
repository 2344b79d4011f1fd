"""The laws that weights are drawn from, all of mean 0, and tests that tell a sample of another law.

A test refuses a sample of its law about once in a million.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

LARGEST_Z = 5.0
"""Of a normal variable: exceeded with a probability of 6e-7."""
MOST_BEYOND, LEAST_BEYOND = 15.0, 3e-7
"""How many of a sample are due beyond its largest: more with a probability of exp(-15), fewer with one of 3e-7."""
ROUNDING = 1e-6
"""Relative error of a magnitude in fp32."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """A symmetric distribution with mean 0."""

    std: float
    """Standard deviation."""
    kurtosis: float
    """Fourth moment over the square of the second."""
    tail: Callable[[float], float]
    """Probability of a magnitude above this."""
    bound: float = math.inf
    """Largest magnitude that is possible."""


def uniform(std: float) -> Law:
    """Evenly between ±√3 std."""
    bound = math.sqrt(3) * std
    return Law(std=std, kurtosis=9 / 5, tail=lambda x: max(0.0, 1 - x / bound), bound=bound)


def normal(std: float) -> Law:
    """The normal distribution."""
    return Law(std=std, kurtosis=3.0, tail=lambda x: math.erfc(x / std / math.sqrt(2)))


def truncated(sigma: float, cut: float = 2.0) -> Law:
    """A normal distribution of deviation ``sigma``, cut off at ±``cut`` · sigma: its own deviation is smaller.

    Moments by m_k = (k - 1) m_(k-2) - c^(k-1) · d, with d = 2 φ(c) / P(|z| < c).
    """
    inside = math.erf(cut / math.sqrt(2))
    density = math.sqrt(2 / math.pi) * math.exp(-(cut**2) / 2) / inside
    second = 1 - cut * density
    fourth = 3 * second - cut**3 * density
    return Law(
        std=sigma * math.sqrt(second),
        kurtosis=fourth / second**2,
        tail=lambda x: max(0.0, 1 - math.erf(x / sigma / math.sqrt(2)) / inside),
        bound=cut * sigma,
    )


def refuse_another(law: Law, count: float, total: float, squares: float, largest: float) -> None:
    """Judge a sample by how many it has, their sum, the sum of their squares, and the largest magnitude.

    Raises AssertionError where they are of another law. The largest magnitude tells laws apart that moments cannot:
    of N numbers none is expected where the tail is well below 1/N, and some where it is well above.
    """
    mean, variance = total / count, squares / count
    z = abs(mean) * math.sqrt(count) / law.std
    assert z < LARGEST_Z, f"mean {mean:.3g}, {z:.1f} standard errors from 0"
    z = abs(variance / law.std**2 - 1) * math.sqrt(count / (law.kurtosis - 1))
    assert z < LARGEST_Z, f"std {math.sqrt(variance):.6g}, where {law.std:.6g} is due: {z:.1f} standard errors"
    beyond = count * law.tail(largest)
    assert beyond < MOST_BEYOND, f"no magnitude above {largest:.6g}, where {beyond:.1f} are due"
    beyond = count * law.tail(largest * (1 - ROUNDING))
    assert beyond > LEAST_BEYOND, f"a magnitude of {largest:.6g}, where {beyond:.1g} are due so far out"
