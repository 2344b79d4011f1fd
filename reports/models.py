"""Models of scaling: three families, and the band that all of them leave when launches are drawn anew.

With q devices a share of work takes, up to a factor:

Amdahl              a + b / q               a part that does not divide, and one that does (Amdahl 1967)
USL                 a + b / q + c (q - 1)   and coherence between each two devices (Gunther 1993)
Amdahl + log        a + b / q + c log₂ q    and messages through a tree

All coefficients are at least 0. Which family is right is not known from few counts, and matters more than the noise:
so a projection is what any of them says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FAMILIES: Mapping[str, Callable[[Array], Array]] = {
    "Amdahl": lambda q: np.stack([np.ones_like(q), 1 / q], axis=1),
    "USL": lambda q: np.stack([np.ones_like(q), 1 / q, q - 1], axis=1),
    "Amdahl + log": lambda q: np.stack([np.ones_like(q), 1 / q, np.log2(q)], axis=1),
}
"""The terms of each at counts q: shape [counts, terms]."""
DRAWS = 400
"""How often launches are drawn anew."""
TAIL = 0.5
"""Per cent of a family's draws that its band leaves out on each side: few, since few launches vary too little."""


def speedups(counts: Array, seconds: Array, at: Array, seed: int) -> dict[str, Array]:
    """Speed-ups over the smallest count, by family; shape [draws, at].

    ``seconds`` is what a share of work takes: shape [launches, counts], the smallest count first. A draw takes as many
    launches as there are, with replacement, all counts of each together, and fits their medians.
    """
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(seconds), (DRAWS, len(seconds)))
    medians = np.median(seconds[drawn], axis=1)
    own, others = counts / counts[0], at / counts[0]
    return {name: medians[:, :1] / (fitted(terms(own), medians) @ terms(others).T) for name, terms in FAMILIES.items()}


def fitted(terms: Array, seconds: Array) -> Array:
    """Coefficients, shape [draws, terms], of least squares of relative errors, none of them below 0.

    ``terms`` is [counts, terms] and ``seconds`` [draws, counts]. The best is best without a bound too, of those terms
    whose coefficients are above 0: all choices of terms are tried, seven of three, each for all draws at once.
    """
    relative = terms / seconds[:, :, None]
    best, least = np.zeros((len(seconds), terms.shape[1])), np.full(len(seconds), np.inf)
    places = range(terms.shape[1])
    for chosen in (list(each) for size in places for each in combinations(places, size + 1)):
        own = relative[:, :, chosen]
        turned = own.transpose(0, 2, 1)
        found = np.linalg.solve(turned @ own, turned.sum(axis=2)[:, :, None])
        off = ((own @ found)[:, :, 0] - 1) ** 2
        better = (found[:, :, 0] >= 0).all(axis=1) & (off.sum(axis=1) < least)
        best[better] = 0
        best[np.ix_(better, chosen)] = found[better, :, 0]
        least[better] = off.sum(axis=1)[better]
    return best


def band(draws: Array) -> tuple[float, float]:
    """What a family's draws leave of one number."""
    low, high = np.percentile(draws, [TAIL, 100 - TAIL])
    return float(low), float(high)


def envelope(bands: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The least and the most that any family says."""
    return min(low for low, _ in bands.values()), max(high for _, high in bands.values())
