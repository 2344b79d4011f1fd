"""Two runs side by side: the cases that both planned, and how far apart their times are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.plan import Case, Comparison
from reports.changes import alike
from reports.changes.shift import Shift, shift
from reports.evidence import CaseId
from reports.measured import Measured

PROBES = ("spin", "gemm")
"""The probes that are the same work in every run: a loop that touches no memory, and a large product."""


@dataclass(frozen=True)
class Pair:
    """A case's place in both runs."""

    base: CaseId
    new: CaseId
    case: Case
    comparison: Comparison
    """In BASE's plan."""


@dataclass(frozen=True)
class Both:
    """Two runs that may be compared."""

    base: Measured
    new: Measured
    margin: float
    """That was asked for: by the user now, or else the larger of the two plans'."""
    same_software: bool

    def pairs(self) -> Iterator[Pair]:
        """Every case that both runs planned."""
        places = alike.keys(self.base.evidence), alike.keys(self.new.evidence)
        cases = {place: (case, comparison) for place, comparison, case in self.base.evidence.cases()}
        for key in alike.shared(self.base.evidence, self.new.evidence):
            place = places[0][key]
            yield Pair(place, places[1][key], *cases[place])

    def shift(self, base: CaseId | None, new: CaseId | None) -> Shift | None:
        """How far apart the times of a case of BASE and one of NEW are."""
        return shift(values(self.base, base), values(self.new, new)) if base and new else None

    def probes(self, pair: Pair) -> Iterator[tuple[str, Shift]]:
        """The probes that were interleaved with a case in both runs."""
        for name in PROBES:
            places = (
                side.probe(own[0], name, pair.case.world_size)
                for side, own in ((self.base, pair.base), (self.new, pair.new))
            )
            found = self.shift(*places)
            if found:
                yield name, found


def values(side: Measured, case: CaseId) -> list[float]:
    """A case's time in each launch, in seconds."""
    return [float(value) for value in side.values(case)]
