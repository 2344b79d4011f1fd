"""Sampling: how many steps make a sample, how many samples a visit, how many rounds a launch."""

import math
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Sampling:
    """A policy of pure functions: the gang's slowest rank supplies the times, rank 0's answer is everybody's."""

    sample_s: float = 0.010
    """A sample takes at least this long, by repeating its step: alignment and marks cost well under a tenth of it."""
    visit_s: float = 0.080
    """A visit samples for about this long."""
    per_visit: tuple[int, int] = (2, 8)
    """Fewest and most samples in a visit."""
    rounds_: tuple[int, int] = (4, 40)
    """Fewest and most rounds in a launch."""
    probed: int = 3
    """The probes are visited in one of this many rounds: an odd number, so that even and odd rounds have them."""
    warm_s: float = 0.002
    """Untimed steps at the start of each visit take at least this long, and are at least one."""
    watch_s: float = 0.050
    """Watching the collectives of a gang takes about this long."""
    watched_: tuple[int, int] = (1, 5)
    """Fewest and most samples that are watched."""
    clocks_s: float = 2.0
    """Interval of clock comparisons if ranks are on several hosts."""
    most: int | None = None
    """The most steps in a sample; None for no limit."""
    setup_s: float = 2.0
    """Time that a launch may take besides its samples when a budget is judged."""

    @classmethod
    def exact(cls) -> Self:
        """Sampling for planted clocks: one step per sample, and as many samples as show planted noise."""
        return cls(sample_s=0, visit_s=0, per_visit=(2, 2), rounds_=(4, 4), warm_s=0, watch_s=0, watched_=(2, 2))

    def brief(self) -> Self:
        """The same policy with one sample a visit: where time is short, more rounds beat longer visits."""
        return replace(self, per_visit=(1, 1))

    def inner(self, step_s: float) -> int:
        """Steps in one sample, where one takes ``step_s`` seconds."""
        wanted = max(1, math.ceil(self.sample_s / max(step_s, 1e-8)))
        return wanted if self.most is None else min(wanted, self.most)

    def samples(self, step_s: float) -> int:
        """Samples in one visit."""
        least, most = self.per_visit
        return min(most, max(least, math.ceil(self.visit_s / (self.inner(step_s) * step_s + 1e-9))))

    def watched(self, step_s: float) -> int:
        """Samples, which do not count, whose collectives are watched."""
        least, most = self.watched_
        return min(most, max(least, math.ceil(self.watch_s / (self.inner(step_s) * step_s + 1e-9))))

    def warm(self, step_s: float) -> int:
        """Untimed steps at the start of a visit."""
        return max(1, math.ceil(self.warm_s / max(step_s, 1e-8)))

    def visit_cost_s(self, step_s: float, overhead_s: float) -> float:
        """Seconds that one visit takes, where aligning a sample costs ``overhead_s``."""
        timed = self.samples(step_s) * (self.inner(step_s) * step_s + overhead_s)
        return timed + self.warm(step_s) * step_s + overhead_s

    def rounds(self, round_s: float, left_s: float) -> int:
        """Rounds that fit into ``left_s`` seconds, where one takes ``round_s``; within the limits."""
        least, most = self.rounds_
        return min(most, max(least, int(left_s / max(round_s, 1e-6))))

    def tight(self, round_s: float, left_s: float) -> bool:
        """Whether not even the fewest rounds fit."""
        return self.rounds_[0] * round_s > left_s

    def rounds_between_clocks(self, round_s: float) -> int:
        """Rounds between two estimates of how the hosts' clocks differ."""
        return max(1, round(self.clocks_s / max(round_s, 1e-6)))

    def least_s(self, cases: int) -> float:
        """Seconds below which a launch of ``cases`` cases can hold no fair measurement."""
        return self.setup_s + cases * self.rounds_[0] * self.per_visit[0] * self.sample_s
