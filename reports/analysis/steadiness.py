"""Steadiness: how steady each case of a run was in each of its launches, and the warnings that follow."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy import stats

from harness.device.telemetry.cpu_load import CpuTime
from harness.journal.measurement_warnings import Kind
from harness.journal.records import CellRecord
from reports.reading.run import CaseId
from reports.reading.samples import CaseSamples
from reports.schema.diagnostics import HealthRow
from reports.statistics.measured import Measured
from reports.statistics.series import Series, echo_p, effect, ranks_p, signs_p, trend_p
from reports.text import units

THROTTLING = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""NVML's reasons that mean heat or power: power cap, slowdown, thermal by software and by hardware, power brake."""
SELDOM = 0.05
"""A clock that was held back in no more than this share of a launch's samples is not worth a word."""


@dataclass(frozen=True)
class Clocks:
    """One case's clocks in one launch. Of a sample the slowest device's clock counts, as its time does."""

    mhz: float | None = None
    """Median over samples."""
    low_mhz: float | None = None
    high_mhz: float | None = None
    """The twentieth and the nineteen twentieths of the samples lie below these."""
    peak_mhz: float | None = None
    """The same of the fastest device's clock."""
    throttled: float | None = None
    """Share of the samples in which a device was held back against heat or power."""

    @classmethod
    def of(cls, samples: CaseSamples | None) -> Self:
        """What the journal tells; nothing where nobody asked the devices."""
        clocks = cls()
        if samples and samples.clock_mhz is not None:
            mhz, low, high = np.quantile(np.min(samples.clock_mhz, axis=0), (0.5, 0.05, 0.95))
            peak = np.quantile(np.max(samples.clock_mhz, axis=0), 0.95)
            clocks = replace(clocks, mhz=float(mhz), low_mhz=float(low), high_mhz=float(high), peak_mhz=float(peak))
        if samples and samples.held_back is not None:
            bits = np.bitwise_and(samples.held_back, THROTTLING)
            clocks = replace(clocks, throttled=float(np.mean(np.any(bits, axis=0))))
        return clocks


def warnings_of(launches: Sequence[Clocks], limit: float) -> Mapping[Kind, str]:
    """At most one kind: that devices were held back, or else that their clock moved by more than ``limit``."""
    among = f"of {units.count(len(launches), 'launch')}"
    held = [clocks.throttled for clocks in launches if clocks.throttled is not None and clocks.throttled > SELDOM]
    known = [clocks for clocks in launches if clocks.mhz and clocks.low_mhz and clocks.high_mhz]
    top = max((clocks.high_mhz or 0.0 for clocks in known), default=0.0)
    low = min((clocks.low_mhz or 0.0 for clocks in known), default=0.0)
    peak = max((clocks.peak_mhz or 0.0 for clocks in known), default=0.0)
    if held and (not known or 1 - low / max(top, peak) > limit):  # it fell, or was always below its peers'
        ran = f"; clocks ran between {low:.0f} and {max(top, peak):.0f}{units.THIN}MHz" if known else ""
        text = f"a device held its clock back in up to {units.percent(max(held))} of the samples{ran}"
        return {Kind.THROTTLED: f"in {len(held)} {among}: {text}"}
    if known and 1 - low / top > limit:
        moved = f"between {low:.0f} and {top:.0f}{units.THIN}MHz"
        return {Kind.UNSTEADY_CLOCK: f"the slowest device's clock ran {moved} (limit {units.percent(limit)})"}
    return {}


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
    "warm_up": lambda series: effect(series.beginning),
    "echo": lambda series: series.looseness,
    "first_of_visit": lambda series: float(np.expm1(np.median(series.firsts))) if len(series.firsts) else None,
    "first_in_round": lambda series: effect(series.opened),
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
            "drift": trend_p(self.launches),
            "warm_up": ranks_p([series.beginning for series in self.launches], slower=True),
            "echo": echo_p(self.launches),
            "first_of_visit": signs_p(np.concatenate([series.firsts for series in self.launches])),
            "first_in_round": ranks_p([series.opened for series in self.launches]),
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
        values = [value for series in self.launches if (value := effects(series)) is not None]
        for sign in (1, -1):
            material = [value for value in values if value * sign > self.limit]
            if material and len(material) >= STEADY_SHARE * len(values):
                return material
        return []


def diagnose(patients: Sequence[Patient]) -> list[list[Fact]]:
    """The facts worth a warning, a list for each case."""
    tests = [(place, name, p) for place, patient in enumerate(patients) for name, p in patient.tests.items()]
    adjusted = stats.false_discovery_control(np.array([p for _, _, p in tests])).tolist() if tests else []
    sure: list[set[str]] = [set() for _ in patients]
    for (place, name, _), p in zip(tests, adjusted, strict=True):
        if p <= FALSE_DISCOVERIES:
            sure[place].add(name)
    return [
        [*_course(patient, names), *_slots(patient, names), *warnings_of(patient.clocks, patient.limit).items()]
        for patient, names in zip(patients, sure, strict=True)
    ]


def _course(patient: Patient, sure: set[str]) -> Iterator[Fact]:
    """At most one, by what explains the others: a drift that goes on, a warm-up that ends, or neighbours that echo."""
    agreeing = {name: patient.agreeing(EFFECTS[name]) for name in ("drift", "warm_up", "echo")}
    drift, echo = (agreeing[name] if name in sure else [] for name in ("drift", "echo"))
    warm_up = [effect for effect in agreeing["warm_up"] if effect > 0]
    if not (drift or echo or (warm_up and "warm_up" in sure)):
        return
    if drift and (patient.drifts_on or not warm_up):
        yield Kind.DRIFT, _told(patient, drift, "from first to last")
    elif warm_up:
        yield Kind.WARMING_UP, _told(patient, warm_up, "in the first rounds than in the rest")
    else:
        samples, alike = (
            round(float(np.median(counts))) for counts in zip(*map(_counts, patient.launches), strict=True)
        )
        loose = units.percent_beyond(max(echo), patient.limit)
        text = f"{samples} samples of a launch count as {alike}, so that its value is only sure to {loose}"
        yield Kind.ECHO, f"{text} (limit {units.percent(patient.limit)})"


def _counts(series: Series) -> tuple[int, float]:
    return len(series.seconds), series.independent


def _slots(patient: Patient, sure: set[str]) -> Iterator[Fact]:
    places = {"first_of_visit": "in the first sample of a visit", "first_in_round": "when it is the first of a round"}
    for name, where in places.items():
        if name in sure and (values := patient.agreeing(EFFECTS[name])):
            yield Kind.FIRST_SLOT, _told(patient, values, where)


def _told(patient: Patient, effects: Sequence[float], where: str) -> str:
    most = max(effects, key=abs)
    word = "slower" if most > 0 else "faster"
    among = f"in {len(effects)} of {units.count(len(patient.launches), 'launch')}"
    shown = units.percent_beyond(abs(most), patient.limit)
    return f"{among}: up to {shown} {word} {where} (limit {units.percent(patient.limit)})"


def effects(series: Series) -> Mapping[str, float | None]:
    """All effects of one launch, by name."""
    return {name: effect(series) for name, effect in EFFECTS.items()}


Opening = Mapping[tuple[int, int], frozenset[int]]
"""Positions of the visits that opened a round, by comparison and launch."""


@dataclass(frozen=True)
class Health:
    """A run's rows, and the facts for its cases' cautions."""

    rows: tuple[HealthRow, ...]
    facts: Mapping[CaseId, list[Fact]]


def health(measured: Measured) -> Health:
    """Examine the cases that the run is about."""
    opening = openings(measured)
    rows: list[HealthRow] = []
    patients: dict[CaseId, Patient] = {}
    for key, _ in measured.gangs():
        facts = list(_launches(measured, key, opening))
        rows += [_row(key, record, series, clocks) for record, series, clocks in facts]
        long = tuple(series for _, series, _ in facts if len(series.seconds) >= FEWEST_SAMPLES)
        limit = max(MATERIAL, measured.aa_by_comparison[key[0]])
        patients[key] = Patient(long, tuple(clocks for _, _, clocks in facts), limit)
    return Health(tuple(rows), dict(zip(patients, diagnose(list(patients.values())), strict=True)))


def openings(measured: Measured) -> Opening:
    """Of all cases of a comparison one opened each round: probes, copies and wrong cases were visited too."""
    opened: dict[tuple[int, int], dict[int, int]] = {}
    for cell in measured.evidence.cells:
        samples = cell.samples
        if samples is not None:
            first = opened.setdefault((cell.comparison, cell.launch), {})
            for number, position in np.unique(np.stack([samples.round, samples.position]), axis=1).T.tolist():
                first[number] = min(position, first.get(number, position))
    return {key: frozenset(first.values()) for key, first in opened.items()}


def _launches(measured: Measured, key: CaseId, opening: Opening) -> Iterator[tuple[CellRecord, Series, Clocks]]:
    samples = measured.samples(key)
    by_launch: Mapping[int, pd.DataFrame] = {} if samples is None else dict(iter(samples.groupby("launch")))  # type: ignore[arg-type]
    for cell in measured.evidence.by_case[key]:
        if cell.record and cell.launch in by_launch:
            series = Series.of(by_launch[cell.launch], opening[key[0], cell.launch])
            yield cell.record, series, Clocks.of(cell.samples)


def _row(key: CaseId, record: CellRecord, series: Series, clocks: Clocks) -> HealthRow:
    values = effects(series)
    loads = [CpuTime.of(fact).foreign for fact in record.facts]
    return HealthRow(
        comparison=key[0],
        key=key[1],
        launch=record.launch,
        samples=len(series.seconds),
        drift=series.drift,
        trend=series.tau,
        lag1=series.lag1,
        looseness=series.looseness,
        warm_up=values["warm_up"],
        first_of_visit=values["first_of_visit"],
        first_in_round=values["first_in_round"],
        foreign_load=max(loads, default=None),
        clock_mhz=clocks.mhz,
        clock_low_mhz=clocks.low_mhz,
        throttled=clocks.throttled,
    )
