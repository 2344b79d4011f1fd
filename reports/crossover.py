"""Where along a swept axis one side overtakes the other: between two measured values, or not at one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import units
from reports.rows import Verdict
from reports.sentences import WORDS


@dataclass(frozen=True)
class Bracket:
    """The two measured values between which a slower side becomes the faster one."""

    verdicts: tuple[tuple[float, Verdict], ...]
    """What was found at each value, in ascending order."""
    after: float | None
    """The last value at which it is slower; None where it is so nowhere."""
    before: float | None
    """The first value from which on it is faster everywhere; None where it is not, at the last one."""

    @property
    def single(self) -> bool:
        """Whether all values at which it is faster lie above the bracket's lower end, and the last one is such."""
        faster = self._at("faster")
        return not faster or (self.before is not None and (self.after is None or faster[0] > self.after))

    @property
    def doubtful(self) -> tuple[float, ...]:
        """The values inside the bracket, at which it is not surely slower and not everywhere faster from there on."""
        low = float("-inf") if self.after is None else self.after
        high = float("inf") if self.before is None else self.before
        return tuple(value for value, _ in self.verdicts if low < value < high)

    def __str__(self) -> str:
        """E.g. ``between 64 and 128``."""
        if not self.single:
            return f"at no single place ({self._everywhere()})"
        after, before = (None if end is None else units.number(end) for end in (self.after, self.before))
        if after is None and before is None:
            return f"nowhere from {self._end(0)} to {self._end(-1)} ({self._doubt()} there)"
        if before is None:
            return f"not up to {after} ({self._doubt()} above)" if self.doubtful else f"not up to {after}"
        if after is None:
            return f"from {before} on ({self._doubt()} below)" if self.doubtful else f"from {before} on"
        if self.doubtful:
            return f"somewhere between {after} and {before} ({self._doubt()} there)"
        return f"between {after} and {before}"

    def _at(self, verdict: Verdict) -> list[float]:
        return [value for value, found in self.verdicts if found == verdict]

    def _doubt(self) -> str:
        found = {verdict for value, verdict in self.verdicts if value in self.doubtful}
        return "no different" if found <= {"equivalent"} else "undecided"

    def _end(self, place: int) -> str:
        return units.number(self.verdicts[place][0])

    def _everywhere(self) -> str:
        kinds = dict.fromkeys(verdict for _, verdict in self.verdicts)
        told = ((WORDS[kind], [units.number(value) for value in self._at(kind)]) for kind in kinds)
        return "; ".join(f"{word} at {units.listed(values)}" for word, values in told)


def bracket(verdicts: Sequence[tuple[float, Verdict]]) -> Bracket:
    """The bracket in verdicts on different values of an axis."""
    ordered = tuple(sorted(verdicts))
    slower = [value for value, found in ordered if found == "slower"]
    before = None
    for value, found in reversed(ordered):
        if found != "faster":
            break
        before = value
    return Bracket(ordered, slower[-1] if slower else None, before)
