"""The bench: one comparison in one launch, on one rank; from preparing its cases to a cell for each.

prepare every case → audit the declared work → capture → pilot → watch the collectives
→ rounds of visits in random order → check → one cell a case
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from harness.device.timing import Lap, now
from harness.journal.measurement_warnings import Doubt
from harness.journal.plan import Case, Comparison, rounds
from harness.journal.protocol import Emit, Order
from harness.journal.records import BeginRecord, RankFacts
from harness.measure import cell, launch_ahead
from harness.measure.case_runner import Trial
from harness.measure.lockstep import Trials
from harness.measure.sampling import Sampling
from harness.telemetry import cpu_load
from harness.telemetry.case_telemetry import beside
from harness.work import counting
from harness.world.control import Failure
from harness.world.world import World


class Bench:
    """One comparison in one launch, on this rank."""

    def __init__(self, order: Order, world: World, emit: Emit, index: int, cases: Sequence[Case]) -> None:
        self.comparison: Comparison = order.plan.comparisons[index]
        self.order = order
        self.index = index
        self.world = world
        self.emit = emit
        self.sampling = Sampling()
        self.trials = Trials(order, world, emit, index, cases)
        self.doubted: dict[Case, list[Doubt]] = {}
        self.captures = order.plan.execution == "graph"

    def measure(self, share_s: float) -> None:
        """Measure the cases in about ``share_s`` seconds, and emit a cell for each."""
        end_s = now() + share_s
        gc.collect()
        gc.disable()
        try:
            self._prepare()
            self._audit()
            self._capture()
            self._pilot()
            self._watch()
            self._rounds(end_s)
            self._check()
            self._finish()
        finally:
            gc.enable()
            self.trials.close()

    def _prepare(self) -> None:
        for trial in self.trials:
            self.emit(BeginRecord(launch=self.order.launch, comparison=self.index, case=trial.case.key))
            if self._fits(trial):
                self.trials.together(trial, trial.prepare)

    def _fits(self, trial: Trial) -> bool:
        """Whether a case is to be tried: where devices have memory of their own, its scenario is asked for its need."""
        if self.world.device.memory_bytes is None:
            return True
        reasons: list[str | None] = []
        if not self.trials.together(trial, lambda: reasons.append(trial.shortage())):
            return False
        self.trials.refuse([trial], reasons or [None])
        return self.trials.get(trial.case) is not None

    def _audit(self) -> None:
        """Refuse the cases whose work is not what they declare."""
        told = self.world.agreement.gather([self._facts(trial) for trial in self.trials], list[RankFacts | None])
        facts = {
            trial.case: [mine for mine in each if mine is not None]
            for trial, *each in zip(self.trials, *told, strict=True)
        }
        refused, self.doubted = counting.audit(self.comparison, facts)
        for trial in self.trials:
            if reason := refused.get(trial.case):
                self.trials.end(trial, Failure.of("wrong", reason, 0))

    def _capture(self) -> None:
        """Where steps are to be replayed, capture those of all cases but the harness's own, and skip what cannot be."""
        if not self.captures:
            return
        trials = [trial for trial in self.trials if not trial.case.probe]
        self.trials.refuse(trials, [trial.refusal() for trial in trials])
        for trial in self.trials:
            if not trial.case.probe:
                self.trials.together(trial, trial.capture)

    def _pilot(self) -> None:
        """Estimate each case's step, first by single steps, then by whole samples: the slowest rank's time counts."""
        for samples in (2, 1):
            quickest = {}
            for trial in self.trials:
                if samples == 1 and trial.inner == 1:  # one step is a sample: known already
                    quickest[trial.case] = trial.step_s
                    continue
                laps: list[Lap] = []
                if self.trials.together(trial, lambda trial=trial, laps=laps: laps.extend(trial.visit(samples))):  # type: ignore[misc] # noqa: B023
                    quickest[trial.case] = min((lap.end_s - lap.start_s for lap in laps), default=0.0) / trial.inner
            slowest = self.world.agreement.greatest([*quickest.values(), 0.0])
            for trial, step_s in zip(self.trials, slowest, strict=False):
                trial.step_s = step_s
            if samples > 1 and self.world.device.queues:
                self._look_ahead()
            for trial in self.trials:
                trial.inner = self._policy(trial).inner(trial.step_s)
                trial.warm = self.sampling.warm(trial.step_s)

    def _watch(self) -> None:
        """Let each gang do a few samples that do not count, to see where it waits. From here on load is counted."""
        for trial in self.trials:
            if trial.case.gang_size > 1 and not trial.case.probe and not self.captures:  # a replay calls nothing
                samples = self.sampling.watched(trial.step_s)
                self.trials.together(trial, lambda trial=trial, samples=samples: trial.watch(samples))  # type: ignore[misc]
            trial.load, trial.retries = cpu_load.Load(), 0

    def _look_ahead(self) -> None:
        """See how far ahead of its device each case can be launched: all cases get a head start, or none does."""
        for trial in self.trials:
            steps = min(launch_ahead.MOST, self._policy(trial).inner(trial.step_s))
            self.trials.together(trial, lambda trial=trial, steps=steps: trial.look_ahead(steps))  # type: ignore[misc]
        told = self.world.agreement.gather([trial.room for trial in self.trials], list[launch_ahead.Room])
        for trial, *rooms in zip(self.trials, *told, strict=True):
            trial.room = launch_ahead.tightest(rooms)
        ahead = launch_ahead.queueable([trial.room for trial in self.trials])
        for trial in self.trials:
            trial.ahead = ahead

    def _policy(self, trial: Trial) -> Sampling:
        """The policy, with the limits of one case."""
        if trial.cold:
            return replace(self.sampling, most=1)
        return replace(self.sampling, most=int(trial.room.steps)) if trial.ahead else self.sampling

    def _rounds(self, end_s: float) -> None:
        """Visit every case once a round, the probes in some, in a new random order each, until the time is spent."""
        (left_s,) = self.world.agreement.greatest([end_s - now()])
        if self.sampling.tight(self._round_s(), left_s):
            self.sampling = self.sampling.brief()
        count = self.sampling.rounds(self._round_s(), left_s)
        self.trials.over_s = max(0.0, count * self._round_s() - left_s)
        planned = [trial.case for trial in self.trials]
        seed = (self.order.plan.seed, self.order.launch, self.order.attempt, self.comparison.label)
        position = 0
        for number, turn in enumerate(islice(rounds(len(planned), *seed), count)):
            gc.collect()  # it is off: what visits have left behind in cycles goes here, outside of all of them
            for case in (planned[place] for place in turn):
                if case.probe and number % self.sampling.probed:
                    continue
                self.trials.enough = number >= self.sampling.rounds_[0]
                if self.trials.enough and self.world.agreement.halted:
                    return
                if trial := self.trials.get(case):
                    self.trials.round = number, count
                    self._visit(trial, number, position)
                    position += 1

    def _round_s(self) -> float:
        """What a round takes in the mean."""
        return sum(
            self._policy(trial).visit_cost_s(trial.step_s, 2 * self.world.lead_s + trial.head_start_s)
            / (self.sampling.probed if trial.case.probe else 1)
            for trial in self.trials
        )

    def _visit(self, trial: Trial, number: int, position: int) -> None:
        samples = self._policy(trial).samples(trial.step_s)
        trial.visits.append((number, position, samples))
        self.trials.together(trial, lambda: trial.laps.extend(trial.visit(samples)))

    def _check(self) -> None:
        self.trials.enough = True
        for trial in self.trials:
            self.trials.together(trial, trial.check, rejected="wrong")

    def _finish(self) -> None:
        """Collect every rank's samples, close each case that is left, and emit its cell."""
        self._read()
        own = [(trial.laps, self._facts(trial), trial.watched, trial.beside) for trial in self.trials]
        for trial, *ranks in zip(self.trials, *self.world.agreement.gather(own, list[cell.Gathered]), strict=True):
            doubts = self.doubted.get(trial.case, [])
            told = {} if self.world.rank else cell.told(trial, ranks, self.world.origin_s, doubts)
            if self.trials.together(trial, trial.close):
                trial.remove_files()
                if told:
                    self.trials.tell(trial, "ok", **told)

    def _read(self) -> None:
        """See what was read of this rank's device meanwhile."""
        if self.world.gauge is not None:
            told = beside(self.world.gauge(), [trial.laps for trial in self.trials], self.world.offset.seconds)
            for trial, its in zip(self.trials, told, strict=True):
                trial.beside = its

    def _facts(self, trial: Trial) -> RankFacts | None:
        return None if trial.gang is None else trial.facts()
