"""The emulated network: how long messages take over planted links. Pure functions of ranks and bytes.

Collectives go round a ring of their ranks, in order. In each step every rank sends one part to the next; a step takes
as long as its slowest link. Formulas: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
Operations in MPICH, 2005, §4 (rings, pairwise exchange).
"""

import itertools
from collections.abc import Sequence

from harness.journal.emulation import Emulation


class Network:
    """The links between all devices. Sizes are in bytes, times in seconds."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation
        pairs = ((*map(int, name.split("-")), factor) for name, factor in emulation.slow_links.items())
        self._slow = {frozenset((one, other)): factor for one, other, factor in pairs}

    def transfer_s(self, source: int, target: int, size: float) -> float:
        """Seconds of one message between two ranks."""
        emulation = self._emulation
        near = emulation.host_of(source) == emulation.host_of(target)
        link = emulation.link if near else emulation.host_link
        return link.latency_s + size * self._slow.get(frozenset((source, target)), 1.0) / link.bytes_per_s

    def all_reduce_s(self, ranks: Sequence[int], size: float) -> float:
        """2 (n - 1) steps of an n-th of the message."""
        return 2 * self.all_gather_s(ranks, size)

    def all_gather_s(self, ranks: Sequence[int], size: float) -> float:
        """N - 1 steps of an n-th of the gathered message; a reduce-scatter of the whole takes the same."""
        n = len(ranks)
        return (n - 1) * self._step_s(ranks, 1, size / n) if n > 1 else 0.0

    def broadcast_s(self, ranks: Sequence[int], size: float) -> float:
        """A message that goes along the ring in many small pieces: all latencies, and the slowest link's bytes.

        A reduction to one rank takes the same.
        """
        links = list(itertools.pairwise(ranks))
        latency_s = sum(self.transfer_s(*link, 0) for link in links)
        return latency_s + max((self.transfer_s(*link, size) - self.transfer_s(*link, 0) for link in links), default=0)

    def all_to_all_s(self, ranks: Sequence[int], size: float) -> float:
        """N - 1 exchanges of an n-th of a rank's message, with one further neighbour each."""
        n = len(ranks)
        return sum(self._step_s(ranks, distance, size / n) for distance in range(1, n))

    def star_s(self, ranks: Sequence[int], root: int, size: float) -> float:
        """One message of ``size`` between ``root``, a place in ``ranks``, and each of the others, in turn."""
        others = (rank for place, rank in enumerate(ranks) if place != root)
        return sum(self.transfer_s(ranks[root], other, size) for other in others)

    def _step_s(self, ranks: Sequence[int], distance: int, size: float) -> float:
        n = len(ranks)
        return max(self.transfer_s(rank, ranks[(place + distance) % n], size) for place, rank in enumerate(ranks))
