"""The measured times of a run, ready to be asked about: one place that knows where a time may not be shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.journal.plan import Case
from harness.journal.records import MEASURED, RankFacts
from reports.reading.run import CaseId, Evidence
from reports.reading.samples import Array, CaseSamples
from reports.statistics import estimates
from reports.statistics.estimates import Estimate

NO_VALUES: pd.Series[float] = pd.Series(dtype=float, index=pd.Index([], name="launch", dtype=int))


@dataclass(frozen=True)
class Measured:
    """Samples and launch values by case. A case that is wrong in any launch has neither."""

    evidence: Evidence
    samples_by_case: dict[CaseId, pd.DataFrame]
    """A row a sample, see ``estimates.sample_times``."""
    values_by_case: dict[CaseId, pd.Series[float]]
    """Each launch's own value, indexed by launch."""
    aa_by_comparison: dict[int, float]
    """The 95th percentile of the contrasts that a comparison's cases, without its probes, have with themselves.

    As a fraction: a logarithm x is told as exp(x) - 1, as a margin is.
    """

    def values(self, case: CaseId) -> pd.Series[float]:
        """Launch values of a case; empty where it has no time."""
        return self.values_by_case.get(case, NO_VALUES)

    def own_clocks(self, case: CaseId) -> tuple[Estimate, Estimate] | None:
        """Seconds of a step by each clock alone: the host's for launching it, and the device's behind its launches.

        Of the slowest rank in each sample, the median over samples and then over launches. None where there are none.
        """
        if not self.evidence.has_times(case):
            return None
        ok = [cell for cell in self.evidence.by_case[case] if cell.record and cell.state in MEASURED]
        queued = [cell.record.queued for cell in ok if cell.record and cell.record.queued]
        host, device = (
            estimates.estimate(pd.Series([slowest(getattr(clocks, name)) for clocks in queued], dtype=float))
            for name in ("enqueue_s", "device_s")
        )
        return (host, device) if host and device else None

    def first_rank_values(self, case: CaseId) -> pd.Series[float]:
        """Each launch's median of the first rank's own seconds of a step."""
        medians = {launch: float(np.median(seconds[0])) for launch, seconds in self.readings(case).items()}
        return pd.Series(medians, dtype=float).rename_axis("launch") if medians else NO_VALUES

    def time(self, case: CaseId) -> Estimate | None:
        """Time of one step, in seconds."""
        return estimates.estimate(self.values(case))

    def samples(self, case: CaseId) -> pd.DataFrame | None:
        """The samples of a case, None where it has no time."""
        return self.samples_by_case.get(case)

    def case_samples(self, case: CaseId) -> dict[int, tuple[CaseSamples, int]]:
        """Samples of all ranks, and the steps in each, by launch; empty where it has no time."""
        return samples_by_launch(self.evidence, case)

    def readings(self, case: CaseId) -> dict[int, Array]:
        """Seconds of one step [rank, sample], by launch; empty where it has no time."""
        return {launch: samples.seconds(inner) for launch, (samples, inner) in self.case_samples(case).items()}

    def ratio(self, above: CaseId, below: CaseId) -> Estimate | None:
        """Time of one case over another's, from launches that have both."""
        return estimates.ratio(self.values(above), self.values(below))

    def facts(self, case: CaseId) -> tuple[RankFacts, ...]:
        """What each rank of a case declared, from the first launch in which it was ok."""
        launches = (cell.record.facts for cell in self.evidence.by_case[case] if cell.record and cell.state in MEASURED)
        return next((facts for facts in launches if facts), ())

    def twin(self, case: Case, comparison: int, world_size: int, *, packed: bool = False) -> CaseId | None:
        """The case with the same parameters at another world size, or its packed copies, if planned."""
        fields = case.model_dump() | {"world_size": world_size, "packed": packed}
        twin = (comparison, Case(**fields).key)  # not model_copy, which would copy the cached key as well
        return twin if twin in self.evidence.by_case else None

    def probe(self, comparison: int, name: str, world_size: int) -> CaseId | None:
        """A probe at a world size: its packed copies, or else its gang. None where not measured.

        It is the comparison's own, or that of the one before it which has probes: both are of the same launches.
        """
        plan = self.evidence.plan.comparisons
        while comparison and not any(case.probe for case in plan[comparison].cases):
            comparison -= 1
        cases = self.evidence.plan.comparisons[comparison].cases
        probes = [case for case in cases if case.probe and case.scenario == name and case.world_size == world_size]
        keys = [(comparison, case.key) for case in sorted(probes, key=lambda case: not case.packed)]
        return next((key for key in keys if len(self.values(key))), None)

    def gangs(self) -> Iterator[tuple[CaseId, Case]]:
        """The cases that the run is about: no packed copies and no probes."""
        for key, _, case in self.evidence.cases():
            if not (case.packed or case.probe):
                yield key, case


def slowest(ranks: Sequence[Sequence[float]]) -> float:
    """The median over samples of the greatest of the ranks' numbers, which are [rank][sample]."""
    return float(np.median(np.max(np.asarray(ranks, dtype=float), axis=0)))


def measure(evidence: Evidence) -> Measured:
    """Reduce a run's samples to launch values."""
    samples = ((key, samples_by_launch(evidence, key)) for key in sorted(evidence.by_case))
    by_case = {key: estimates.sample_times(launches) for key, launches in samples if launches}
    values = {key: table.groupby("launch")["seconds"].median() for key, table in by_case.items()}
    return Measured(evidence, by_case, values, _aa(evidence, by_case))


def samples_by_launch(evidence: Evidence, case: CaseId) -> dict[int, tuple[CaseSamples, int]]:
    """By launch what was taken of a case and the steps in a sample; empty where it may show no times."""
    if not evidence.has_times(case):
        return {}
    cells = ((cell.launch, cell.samples, cell.record) for cell in evidence.by_case[case] if cell.state in MEASURED)
    return {launch: (samples, record.inner) for launch, samples, record in cells if samples and record}


def _aa(evidence: Evidence, by_case: dict[CaseId, pd.DataFrame]) -> dict[int, float]:
    ratios: dict[int, list[float]] = {index: [] for index in range(len(evidence.plan.comparisons))}
    for key, _, case in evidence.cases():
        contrast = None if case.probe or key not in by_case else estimates.null_contrast(by_case[key])
        if contrast is not None:
            ratios[key[0]].append(contrast)
    return {index: math.expm1(float(np.quantile(values, 0.95))) if values else 0.0 for index, values in ratios.items()}
