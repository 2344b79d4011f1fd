"""The bench: one comparison in one launch, on one rank; from preparing its cases to a cell for each.

prepare every case → audit the declared work → capture → pilot → watch the collectives
→ rounds of visits in random order → check → one cell a case
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from harness import gathered, headstart, ledger, load
from harness.agreement import Failure
from harness.attempt import attempt, recover
from harness.beside import beside
from harness.clocks import Lap, now
from harness.doubts import Doubt
from harness.halt import HaltedError
from harness.journal import BeginRecord, CellRecord, RankFacts, Status
from harness.messages import Emit, Order, VisitNote
from harness.order import rounds
from harness.plan import Case, Comparison
from harness.sampling import Sampling
from harness.trial import Trial
from harness.world import World


class Bench:
    """One comparison in one launch, on this rank."""

    def __init__(self, order: Order, world: World, emit: Emit, index: int, cases: Sequence[Case]) -> None:
        self.index = index
        self.comparison: Comparison = order.plan.comparisons[index]
        self.order = order
        self.world = world
        self.sampling = Sampling()
        self.emit = emit
        seed = (self.order.plan.seed, self.comparison.label)
        cold = order.plan.cache == "cold"
        self.trials = {case: Trial(case, self.world.gang(case, *seed), self.world, cold=cold) for case in cases}
        self.doubted: dict[Case, list[Doubt]] = {}
        self.step_s: dict[Case, float] = {}
        self.captures = order.plan.execution == "graph"
        self._round = 0, 0
        self._enough = False

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
            self._close()

    @property
    def _live(self) -> list[Trial]:
        """The trials that have not failed, in planned order: the same on every rank."""
        return list(self.trials.values())

    def _together(self, trial: Trial, action: Callable[[], object], *, rejected: Status = "error") -> bool:
        """Do ``action`` on the ranks of the case and agree on how it went; where it failed, end the trial.

        ``rejected`` is the status that an AssertionError means. The trial's ranks all skip it together.
        """
        self._note(trial)
        failure = attempt(trial, action, rejected=rejected)
        if failure is not None:
            self._end(trial, failure)
        return failure is None

    def _end(self, trial: Trial, failure: Failure, *, harmless: bool = False) -> None:
        """Write the cell of a trial that failed, and let go of it. Every rank calls this alike.

        ``harmless``: nothing was tried, so the process and its groups are as good as before.
        """
        del self.trials[trial.case]
        told = failure.status, failure.rank, failure.message
        self.emit(self._cell(trial.case, status=told[0], rank=told[1], message=told[2]))
        _close(trial)
        if not harmless and failure.status != "wrong":
            recover(trial, failure)

    def _prepare(self) -> None:
        for trial in self._live:
            self.emit(BeginRecord(launch=self.order.launch, comparison=self.index, case=trial.case.key))
            if self.world.device.memory_bytes is not None:
                self._refuse([trial], [trial.shortage()])
            if trial.case in self.trials:
                self._together(trial, trial.prepare)

    def _audit(self) -> None:
        """Refuse the cases whose work is not what they declare."""
        told = self.world.agreement.gather([self._facts(trial) for trial in self._live])
        facts = {
            trial.case: [mine for mine in each if mine is not None]
            for trial, *each in zip(self._live, *told, strict=True)
        }
        refused, self.doubted = ledger.audit(self.comparison, facts)
        for case, reason in refused.items():
            self._end(self.trials[case], Failure.of("wrong", reason, 0))

    def _capture(self) -> None:
        """Where steps are to be replayed, capture those of all cases but the harness's own, and skip what cannot be."""
        if not self.captures:
            return
        trials = [trial for trial in self._live if not trial.case.probe]
        self._refuse(trials, [trial.refusal() for trial in trials])
        for trial in self._live:
            if not trial.case.probe:
                self._together(trial, trial.capture)

    def _refuse(self, trials: Sequence[Trial], mine: Sequence[str | None]) -> None:
        """Skip the trials for which any rank has a reason, one for each of ``trials``; nothing was tried with them."""
        told = self.world.agreement.gather(list(mine))
        for trial, *reasons in zip(trials, *told, strict=True):
            for rank, reason in enumerate(reasons):
                if reason:
                    self._end(trial, Failure.of("skipped", reason, rank), harmless=True)
                    break

    def _pilot(self) -> None:
        """Estimate each case's step, first by single steps, then by whole samples: the slowest rank's time counts."""
        for samples in (2, 1):
            quickest = {}
            for trial in self._live:
                if samples == 1 and trial.inner == 1:  # one step is a sample: known already
                    quickest[trial.case] = self.step_s[trial.case]
                    continue
                laps: list[Lap] = []
                if self._together(trial, lambda trial=trial, laps=laps: laps.extend(trial.visit(samples))):  # type: ignore[misc] # noqa: B023
                    quickest[trial.case] = min((lap.end_s - lap.start_s for lap in laps), default=0.0) / trial.inner
            self.step_s = dict(zip(quickest, self.world.agreement.greatest([*quickest.values(), 0.0]), strict=False))
            if samples > 1 and self.world.device.queues:
                self._look_ahead()
            for trial in self._live:
                trial.inner = self._policy(trial).inner(self.step_s[trial.case])
                trial.warm = self.sampling.warm(self.step_s[trial.case])

    def _watch(self) -> None:
        """Let each gang do a few samples that do not count, to see where it waits. From here on load is counted."""
        for trial in self._live:
            if trial.case.gang_size > 1 and not trial.case.probe and not self.captures:  # a replay calls nothing
                samples = self.sampling.watched(self.step_s[trial.case])
                self._together(trial, lambda trial=trial, samples=samples: trial.watch(samples))  # type: ignore[misc]
            trial.load, trial.retries = load.Load(), 0

    def _look_ahead(self) -> None:
        """See how far ahead of its device each case can be launched: all cases get a head start, or none does."""
        for trial in self._live:
            steps = min(headstart.MOST, self._policy(trial).inner(self.step_s[trial.case]))
            self._together(trial, lambda trial=trial, steps=steps: trial.look_ahead(steps))  # type: ignore[misc]
        told = self.world.agreement.gather([trial.room for trial in self._live])
        for trial, *rooms in zip(self._live, *told, strict=True):
            trial.room = headstart.tightest(rooms)
        ahead = headstart.queueable([trial.room for trial in self._live])
        for trial in self._live:
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
        planned = list(self.trials)
        seed = (self.order.plan.seed, self.order.launch, self.order.attempt, self.comparison.label)
        position = 0
        for number, turn in enumerate(islice(rounds(len(planned), *seed), count)):
            for case in (planned[place] for place in turn):
                if case.probe and number % self.sampling.probed:
                    continue
                self._enough = number >= self.sampling.rounds_[0]
                if self._enough and self.world.agreement.halted:
                    return
                if trial := self.trials.get(case):
                    self._round = number, count
                    self._visit(trial, number, position)
                    position += 1

    def _round_s(self) -> float:
        """What a round takes in the mean."""
        return sum(
            self._policy(trial).visit_cost_s(self.step_s[trial.case], 2 * self.world.lead_s + trial.head_start_s)
            / (self.sampling.probed if trial.case.probe else 1)
            for trial in self._live
        )

    def _visit(self, trial: Trial, number: int, position: int) -> None:
        samples = self._policy(trial).samples(self.step_s[trial.case])
        trial.visits.append((number, position, samples))
        self._together(trial, lambda: trial.laps.extend(trial.visit(samples)))

    def _check(self) -> None:
        self._enough = True
        for trial in self._live:
            self._together(trial, trial.check, rejected="wrong")

    def _finish(self) -> None:
        """Collect every rank's samples, close each case that is left, and emit its cell."""
        self._read()
        own = [(trial.laps, self._facts(trial), trial.watched, trial.beside) for trial in self._live]
        for trial, *ranks in zip(self._live, *self.world.agreement.gather(own), strict=True):
            doubts = self.doubted.get(trial.case, [])
            told = {} if self.world.rank else gathered.told(trial, ranks, self.world.origin_s, doubts)
            if self._together(trial, trial.close) and told:
                self.emit(self._cell(trial.case, **told))

    def _close(self) -> None:
        for trial in self._live:
            _close(trial)

    def _read(self) -> None:
        """See what was read of this rank's device meanwhile."""
        if self.world.gauge is not None:
            told = beside(self.world.gauge(), [trial.laps for trial in self._live], self.world.offset.seconds)
            for trial, its in zip(self._live, told, strict=True):
                trial.beside = its

    def _facts(self, trial: Trial) -> RankFacts | None:
        return None if trial.gang is None else trial.facts()

    def _note(self, trial: Trial) -> None:
        if self.world.agreement.halted and not self._enough:
            raise HaltedError
        number, count = self._round
        self.emit(
            VisitNote(
                comparison=self.index,
                case=trial.case.key,
                round=number,
                rounds=count,
                step_s=self.step_s.get(trial.case),
            )
        )

    def _cell(self, case: Case, *, status: Status = "ok", **told: object) -> CellRecord:
        return CellRecord.model_validate(
            {"launch": self.order.launch, "comparison": self.index, "case": case.key, "status": status, **told}
        )


def _close(trial: Trial) -> None:
    try:
        trial.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the case has been judged; what it leaves behind is not its result
        pass
