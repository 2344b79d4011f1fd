"""Interleaving: in which order a comparison's cases are visited."""

from __future__ import annotations

import random
from collections.abc import Iterator


def rounds(count: int, *seed: object) -> Iterator[list[int]]:
    """Endless rounds over ``count`` cases: each visits each case once, in a new random order.

    ``seed`` (the run's seed, the launch, the comparison) fixes every order, so that all ranks
    of a launch agree on it without a word.
    """
    shuffler = random.Random("/".join(map(str, seed)))  # noqa: S311
    while True:
        order = list(range(count))
        shuffler.shuffle(order)
        yield order
