"""Diagnosis: which effects within launches are worth a doubt beside a case's number.

It takes both: an effect that is material, beyond the noise of the comparison and never below 5 %; and a test that
chance does not explain, with the false-discovery rate held over all tests of the run (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from harness.doubts import Kind
from reports import clockwork, rank_tests, units
from reports.clockwork import Clocks
from reports.series import Series

MATERIAL = 0.05
"""A relative effect that counts, unless the A/A noise is larger."""
FALSE_DISCOVERIES = 0.05
"""Of the effects that chance does not seem to explain, it explains at most this share."""
FEWEST_SAMPLES = 8
"""In a launch, below which its median says little, and nothing is said of its samples' order."""
STEADY_SHARE = 5 / 6
"""An effect has the same sign, and counts, in at least this share of the launches."""

Fact = tuple[Kind, str]
Effects = Callable[[Series], float | None]

EFFECTS: dict[str, Effects] = {
    "drift": lambda series: series.drift,
    "warm_up": lambda series: rank_tests.effect(series.beginning),
    "echo": lambda series: series.looseness,
    "first_of_visit": lambda series: float(np.expm1(np.median(series.firsts))) if len(series.firsts) else None,
    "first_in_round": lambda series: rank_tests.effect(series.opened),
}
"""Relative, each of one launch."""


@dataclass(frozen=True)
class Patient:
    """One case, over the launches that have samples enough."""

    launches: tuple[Series, ...]
    clocks: tuple[Clocks, ...]
    limit: float
    """Relative effects up to this do not matter."""

    @cached_property
    def tests(self) -> dict[str, float]:
        """Of each effect, how likely chance alone makes the samples look so: its p."""
        if not self.launches:
            return {}
        return {
            "drift": rank_tests.trend_p(self.launches),
            "warm_up": rank_tests.ranks_p([series.beginning for series in self.launches], slower=True),
            "echo": rank_tests.echo_p(self.launches),
            "first_of_visit": rank_tests.signs_p(np.concatenate([series.firsts for series in self.launches])),
            "first_in_round": rank_tests.ranks_p([series.opened for series in self.launches]),
        }

    @property
    def drifts_on(self) -> bool:
        """Whether what drifts over a launch does so after its beginning too, at half its pace or more."""
        early, late = (
            np.median([getattr(series, name) for series in self.launches]) for name in ("drift", "late_drift")
        )
        return bool(early * late > 0 and abs(late) >= abs(early) / 2)

    def agreeing(self, effects: Effects) -> list[float]:
        """The material effects of one sign, of the launches that have it; empty where too few agree on one."""
        told = [found for series in self.launches if (found := effects(series)) is not None]
        for sign in (1, -1):
            material = [found for found in told if found * sign > self.limit]
            if material and len(material) >= STEADY_SHARE * len(told):
                return material
        return []


def diagnose(patients: Sequence[Patient]) -> list[list[Fact]]:
    """The facts worth a doubt, a list for each patient."""
    tests = [(place, name, p) for place, patient in enumerate(patients) for name, p in patient.tests.items()]
    adjusted = stats.false_discovery_control(np.array([p for _, _, p in tests])).tolist() if tests else []
    sure: list[set[str]] = [set() for _ in patients]
    for (place, name, _), p in zip(tests, adjusted, strict=True):
        if p <= FALSE_DISCOVERIES:
            sure[place].add(name)
    return [
        [*_course(patient, names), *_slots(patient, names), *clockwork.doubts(patient.clocks, patient.limit).items()]
        for patient, names in zip(patients, sure, strict=True)
    ]


def _course(patient: Patient, sure: set[str]) -> Iterator[Fact]:
    """At most one, by what explains the others: a drift that goes on, a warm-up that ends, or neighbours that echo."""
    found = {name: patient.agreeing(EFFECTS[name]) for name in ("drift", "warm_up", "echo")}
    drift, echo = (found[name] if name in sure else [] for name in ("drift", "echo"))
    warm_up = [effect for effect in found["warm_up"] if effect > 0]
    if not (drift or echo or (warm_up and "warm_up" in sure)):
        return
    if drift and (patient.drifts_on or not warm_up):
        yield Kind.DRIFT, _told(patient, drift, "from first to last")
    elif warm_up:
        yield Kind.WARMING_UP, _told(patient, warm_up, "in the first rounds than in the rest")
    else:
        samples, alike = (round(float(np.median(each))) for each in zip(*map(_counts, patient.launches), strict=True))
        loose = units.percent(max(echo))
        told = f"{samples} samples of a launch count as {alike}, so that its value is only sure to {loose}"
        yield Kind.ECHO, f"{told} (limit {units.percent(patient.limit)})"


def _counts(series: Series) -> tuple[int, float]:
    return len(series.seconds), series.independent


def _slots(patient: Patient, sure: set[str]) -> Iterator[Fact]:
    places = {"first_of_visit": "in the first sample of a visit", "first_in_round": "when it is the first of a round"}
    for name, where in places.items():
        if name in sure and (found := patient.agreeing(EFFECTS[name])):
            yield Kind.FIRST_SLOT, _told(patient, found, where)


def _told(patient: Patient, effects: Sequence[float], where: str) -> str:
    most = max(effects, key=abs)
    word = "slower" if most > 0 else "faster"
    among = f"in {len(effects)} of {units.count(len(patient.launches), 'launch', 'launches')}"
    return f"{among}: up to {units.percent(abs(most))} {word} {where} (limit {units.percent(patient.limit)})"


def effects(series: Series) -> Mapping[str, float | None]:
    """All effects of one launch, by name."""
    return {name: effect(series) for name, effect in EFFECTS.items()}
