"""Symptoms of one case on several devices: what its journal shows of ranks, messages, clocks and processors.

Ranks are compared with their peers, and each with itself: in the case, in its independent copies, and in a loop that
touches no memory. By nature devices differ in their pace, and that cancels where a rank is compared with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.device.telemetry.cpu_load import CpuTime
from harness.journal.plan import Case
from harness.journal.records import MEASURED, RankFacts
from reports.analysis.communication import Watch, basis, watches
from reports.analysis.steadiness import THROTTLING
from reports.reading.run import CaseId
from reports.reading.samples import Array
from reports.schema.cases import CellRow
from reports.schema.diagnostics import LossRow
from reports.statistics.estimates import Estimate, estimate
from reports.statistics.measured import Measured

Paces = dict[int, Array]
"""Each rank's seconds of a step, [rank], by launch."""
FEWEST_IN_ORDER, STEADY = 4, 0.95
"""Of so many ranks it can be told that their work rises with their number, where these correlate so well."""


@dataclass(frozen=True)
class Symptoms:
    """A case's; what is not known is empty."""

    measured: Measured
    case: Case
    cell: CellRow
    loss: LossRow

    @property
    def key(self) -> CaseId:
        """The case."""
        return self.cell.comparison, self.cell.key

    @cached_property
    def watched(self) -> dict[int, Watch]:
        """Its messages, where all of them were watched."""
        watched = watches(self.measured, self.key)
        return watched if basis(self.measured, self.key, watched) == "collectives" else {}

    @cached_property
    def work(self) -> dict[int, Array]:
        """Each rank's own work [rank, sample], by launch; empty where it cannot be told from waiting."""
        known = basis(self.measured, self.key, watches(self.measured, self.key))
        if known == "times":
            return self.measured.readings(self.key)
        return {launch: watch.work_s for launch, watch in self.watched.items()}

    @cached_property
    def paces(self) -> Paces:
        """Each rank's work in the case."""
        return _medians(self.work)

    @cached_property
    def copies(self) -> Paces:
        """Each rank's time in the case's independent copies."""
        return self._of(self.measured.twin(self.case, self.cell.comparison, self.case.world_size, packed=True))

    @cached_property
    def loop(self) -> Paces:
        """Each rank's time in a loop that touches no memory, all ranks at once."""
        return self._of(self.measured.probe(self.cell.comparison, "spin", self.case.world_size))

    def _of(self, key: CaseId | None) -> Paces:
        return {} if key is None else _medians(self.measured.readings(key))

    @cached_property
    def facts(self) -> list[tuple[RankFacts, ...]]:
        """Of each launch."""
        cells = (cell for cell in self.measured.evidence.by_case[self.key] if cell.state in MEASURED)
        return [cell.record.facts for cell in cells if cell.record and cell.record.facts]

    @cached_property
    def declared(self) -> Array:
        """Each rank's declared work over the most that one declares; ones where nothing is declared."""
        facts = self.measured.facts(self.key)
        for work in (np.array([fact.flops for fact in facts]), np.array([fact.items for fact in facts])):
            if work.size and work.min() > 0:
                return np.asarray(work / work.max())
        return np.ones(self.case.world_size)

    @cached_property
    def shared(self) -> Paces:
        """Each rank's work in the case over what it declares of it."""
        return {launch: seconds / self.declared for launch, seconds in self.paces.items()}

    def shares(self, name: str) -> Array:
        """Of each rank: the fraction of its time that ``CpuTime`` calls so, median over launches; empty if unknown."""
        values = [[getattr(CpuTime.of(fact), name) for fact in facts] for facts in self.facts]
        return np.median(np.array(values, dtype=float), axis=0) if values else np.zeros(0)

    @cached_property
    def lateness_s(self) -> Array:
        """Seconds of a step by which each rank starts after the first, beyond the clocks' error; empty if unknown."""
        samples = self.measured.case_samples(self.key).values()
        late = [np.median(each.start_s - each.start_s.min(axis=0), axis=1) / inner for each, inner in samples]
        error_s = max(self.measured.evidence.clock_errors_s.values(), default=0.0)
        return np.maximum(np.median(late, axis=0) - error_s, 0.0) if late else np.zeros(0)

    @cached_property
    def mhz(self) -> Array:
        """Each rank's clock in the case; empty where nobody asked."""
        return self._clocks(self.key)

    @cached_property
    def mhz_alone(self) -> float | None:
        """The first rank's clock where it works alone."""
        base = self.measured.twin(self.case, self.cell.comparison, self.cell.base_world_size or 1)
        clocks = self._clocks(base) if base else np.zeros(0)
        return float(clocks[0]) if clocks.size else None

    def _clocks(self, key: CaseId) -> Array:
        values = [each.clock_mhz for each, _ in self.measured.case_samples(key).values()]
        known = [np.median(clocks, axis=1) for clocks in values if clocks is not None]
        return np.median(known, axis=0) if known else np.zeros(0)

    @cached_property
    def held_back(self) -> Array:
        """Share of the samples in which heat or power held each rank's clock back; empty where nobody asked."""
        values = [each.held_back for each, _ in self.measured.case_samples(self.key).values()]
        known = [np.mean((reasons & THROTTLING) != 0, axis=1) for reasons in values if reasons is not None]
        return np.median(known, axis=0) if known else np.zeros(0)

    def surely(self, by_launch: Paces) -> Array:
        """Of each rank the lower end of the interval of what launches say of it; -inf where there is no interval."""
        if not by_launch:
            return np.zeros(0)
        estimates = (estimate(pd.Series(values)) for values in np.array(list(by_launch.values())).T)
        return np.array([-np.inf if each is None or each.low is None else each.low for each in estimates])

    @cached_property
    def gang_excess(self) -> Array:
        """By how much each rank's work surely exceeds its peers', each over its own copy and its declared share."""
        return self.surely(_against_peers(self.shared, self.copies))

    @cached_property
    def memory_excess(self) -> Array:
        """By how much each rank's copy surely exceeds its peers', each over the loop that touches no memory."""
        return self.surely(_against_peers(self.copies, self.loop))

    @cached_property
    def together_excess(self) -> float:
        """By how much the work of all ranks surely exceeds that of their copies; -inf where it is not known."""
        share = self.cell.ideal_s / self.cell.base_median_s if self.cell.ideal_s and self.cell.base_median_s else 1.0
        both = {
            launch: np.array([np.median(own / (self.copies[launch] * share)) - 1])
            for launch, own in self.paces.items()
            if launch in self.copies
        }
        return float(self.surely(both)[0]) if both else -np.inf

    @cached_property
    def rises(self) -> bool:
        """Whether the ranks' work rises, or falls, steadily with their number, each over its own copy."""
        own = [seconds / self.copies[launch] for launch, seconds in self.shared.items() if launch in self.copies]
        if not own or self.case.world_size < FEWEST_IN_ORDER:
            return False
        ratios = np.median(own, axis=0)
        return bool(np.ptp(ratios) > 0 and abs(np.corrcoef(ratios, np.arange(len(ratios)))[0, 1]) > STEADY)

    @cached_property
    def turns(self) -> Estimate | None:
        """By how much the busiest rank of a step exceeds its peers beyond what one rank does in all steps."""
        if not self.work:
            return None
        every = np.concatenate([own / np.median(own) for own in self.work.values()], axis=1)
        always = _behind(every.mean(axis=1, keepdims=True))[0]
        return estimate(pd.Series([np.median(_behind(own / np.median(own))) - always for own in self.work.values()]))

    @cached_property
    def slow_transfers_s(self) -> Array:
        """Seconds of a step by which each rank's transfers surely exceed its peers'."""
        own = {launch: np.median(watch.transfer_s, axis=1) for launch, watch in self.watched.items()}
        return self.surely({launch: seconds - _peers(seconds) for launch, seconds in own.items()})

    @cached_property
    def idle_s(self) -> float:
        """Seconds of a step in which the median rank's thread neither runs, nor waits for its core or for a message."""
        values = [[_idle(fact) for fact in facts] for facts in self.facts]
        if not values or not self.watched or any(share is None for facts in values for share in facts):
            return 0.0
        waiting_s = np.array(self.loss.wait_s) + np.array(self.loss.transfer_s)
        return float(np.median(self.loss.time_s * np.median(np.array(values, dtype=float), axis=0) - waiting_s))

    @cached_property
    def tail(self) -> float:
        """By how much the mean of the samples exceeds their median; a launch's first sample is left out."""
        samples = self.measured.samples(self.key)
        if samples is None:
            return 0.0
        medians = samples.groupby("launch")["seconds"].transform("median")
        excess = (samples["seconds"] / medians)[samples["sample"] > 0] - 1
        return float(excess.mean()) if len(excess) else 0.0


def _idle(fact: RankFacts) -> float | None:
    """The fraction of a rank's visits in which its main thread neither ran nor waited for its core."""
    if fact.main_s is None or fact.wall_s <= 0:
        return None
    return 1 - (fact.main_s + (fact.delay_s or 0.0)) / fact.wall_s


def _medians(by_launch: dict[int, Array]) -> Paces:
    return {launch: np.median(seconds, axis=1) for launch, seconds in by_launch.items()}


def _peers(values: Array) -> Array:
    """Of each rank the median of the others."""
    return np.array([np.median(np.delete(values, rank)) for rank in range(len(values))])


def _against_peers(above: Paces, below: Paces) -> Paces:
    """Each rank's ratio of two times over that of its peers, less 1, in launches that have both."""
    ratios = {launch: own / below[launch] for launch, own in above.items() if launch in below}
    return {launch: ratio / _peers(ratio) - 1 for launch, ratio in ratios.items()}


def _behind(seconds: Array) -> Array:
    """Of [rank, sample] by how much the busiest rank of each sample exceeds the median of the others."""
    ordered = np.sort(seconds, axis=0)
    return np.asarray(ordered[-1] - np.median(ordered[:-1], axis=0))
