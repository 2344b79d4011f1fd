"""The ratio of two independent sets of launches: an estimate, its interval and a test, all exact and by ranks.

Launches of two runs are not pairs, so their quotients are taken all with all. The estimate is the median of these
(Hodges and Lehmann 1963, of logarithms), the interval is bounded by two of them (Moses; see Hollander, Wolfe and
Chicken 2014, section 4.3), and the test counts those above a limit (Mann and Whitney 1947): with n and m launches all
C(n + m, n) orders of the two sets are equally likely where nothing but a factor tells them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from reports.schema.compare import TAIL

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """Times of one set over those of another, with the exact 95 % interval where there are launches enough."""

    ratio: float
    low: float | None
    high: float | None


@cache
def orders(n: int, m: int) -> tuple[int, ...]:
    """Orders of n and m values in which u of the n m pairs have the second value above the first, for u from 0 to n m.

    They are the coefficients of the Gaussian binomial: the product of (1 - q^(m+i)) / (1 - q^i) over i from 1 to n.
    """
    counts = np.zeros(n * m + 1, dtype=object)  # whole numbers of any size
    counts[0] = 1
    for i in range(1, n + 1):
        if m + i <= n * m:
            counts[m + i :] = counts[m + i :] - counts[: -(m + i)]
        for start in range(min(i, n * m + 1)):
            counts[start::i] = np.add.accumulate(counts[start::i])
    return tuple(int(count) for count in counts)


def smallest_p(n: int, m: int) -> float:
    """The smallest p that the test can reach: every launch of one set above every one of the other."""
    return 1 / math.comb(n + m, n)


@cache
def interval_rank(n: int, m: int) -> int | None:
    """The k for which the k-th smallest and k-th largest quotients bound the ratio with at least 95 %, or None."""
    below, outside, limit = 0, 0, TAIL * math.comb(n + m, n)
    for count in orders(n, m):
        outside += count
        if outside > limit * (1 + 1e-12):
            break
        below += 1
    return below or None


def quotients(base: Sequence[float], new: Sequence[float]) -> Floats:
    """Every launch of ``new`` over every launch of ``base``, ascending."""
    return np.sort(np.divide.outer(np.asarray(new, dtype=float), np.asarray(base, dtype=float)).ravel())


def shift(base: Sequence[float], new: Sequence[float]) -> Shift | None:
    """The ratio of ``new`` to ``base``, which hold a positive time a launch; None where one of them is empty."""
    ratios = quotients(base, new)
    if not ratios.size:
        return None
    ratio = math.exp(float(np.median(np.log(ratios))))
    k = interval_rank(len(base), len(new))
    return Shift(ratio, float(ratios[k - 1]), float(ratios[-k])) if k else Shift(ratio, None, None)


def p_slower(base: Sequence[float], new: Sequence[float], margin: float) -> float:
    """How likely so many quotients above 1 + ``margin`` are where the true ratio is no more than that; one-sided.

    It is at most 2.5 % exactly where the interval's lower end is above 1 + ``margin``: equal values count against it.
    """
    above = int(np.count_nonzero(quotients(base, new) > 1 + margin))
    return float(sum(orders(len(base), len(new))[above:]) / math.comb(len(base) + len(new), len(base)))
