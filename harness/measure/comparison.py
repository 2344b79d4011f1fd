"""The runner of one comparison in one launch, on one rank: from preparing its cases to a cell for each.

prepare every case → audit the declared work → capture → pilot → watch the collectives
→ rounds of visits in random order → check → one cell a case
"""

import gc
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from harness.device.kinds import kind_of
from harness.device.telemetry import cpu_load
from harness.device.telemetry.case_telemetry import telemetry
from harness.device.timing import RankSample, now
from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Case, Comparison, rounds
from harness.journal.protocol import Emit, Order
from harness.journal.records import BeginRecord, RankFacts
from harness.measure import cell, launch_ahead
from harness.measure.case_runner import CaseRunner
from harness.measure.lockstep import Lockstep
from harness.measure.sampling import Sampling
from harness.work import counting
from harness.world.aligned_start import Offset
from harness.world.control import Failure
from harness.world.world import World


class ComparisonRunner:
    """One comparison in one launch, on this rank."""

    def __init__(self, order: Order, world: World, emit: Emit, index: int, cases: Sequence[Case]) -> None:
        self.comparison: Comparison = order.plan.comparisons[index]
        self.order = order
        self.index = index
        self.world = world
        self.emit = emit
        self.sampling = Sampling() if kind_of(world.name).clock_moves else Sampling.exact()
        self.lockstep = Lockstep(order, world, emit, index, cases)
        self.doubted: dict[Case, list[MeasurementWarning]] = {}
        self.captures = order.plan.execution == "graph"

    def measure(self, share_s: float) -> None:
        """Measure the cases in about ``share_s`` seconds, and emit a cell for each."""
        end_s = now() + share_s
        gc.collect()
        gc.disable()
        try:
            self.world.read_clocks()
            self._prepare()
            self._audit()
            self._capture()
            self._pilot()
            self._watch()
            self._rounds(end_s)
            self._check()
            self.world.read_clocks()
            self._finish()
        finally:
            gc.enable()
            self.lockstep.close()

    def _prepare(self) -> None:
        for runner in self.lockstep:
            self.emit(BeginRecord(launch=self.order.launch, comparison=self.index, case=runner.case.key))
            if self._fits(runner):
                self.lockstep.together(runner, runner.prepare)

    def _fits(self, runner: CaseRunner) -> bool:
        """Whether a case is to be tried: where devices have memory of their own, its scenario is asked for its need."""
        if self.world.device.memory_bytes is None:
            return True
        reasons: list[str | None] = []
        if not self.lockstep.together(runner, lambda: reasons.append(runner.shortage())):
            return False
        self.lockstep.refuse([runner], reasons or [None])
        return self.lockstep.get(runner.case) is not None

    def _audit(self) -> None:
        """Refuse the cases whose work is not what they declare."""
        by_rank = self.world.control.gather([self._facts(runner) for runner in self.lockstep], list[RankFacts | None])
        facts = {
            runner.case: [mine for mine in ranks if mine is not None]
            for runner, *ranks in zip(self.lockstep, *by_rank, strict=True)
        }
        refused, self.doubted = counting.audit(self.comparison, facts)
        for runner in self.lockstep:
            if reason := refused.get(runner.case):
                self.lockstep.end(runner, Failure.of("wrong", reason, 0))

    def _capture(self) -> None:
        """If steps are to be replayed, capture those of all cases but probes; skip cases that cannot be captured."""
        if not self.captures:
            return
        lockstep = [runner for runner in self.lockstep if not runner.case.probe]
        self.lockstep.refuse(lockstep, [runner.refusal() for runner in lockstep])
        for runner in self.lockstep:
            if not runner.case.probe:
                self.lockstep.together(runner, runner.capture)

    def _pilot(self) -> None:
        """Estimate each case's step, first by single steps, then by whole samples: the slowest rank's time counts."""
        for samples in (2, 1):
            quickest = {}
            for runner in self.lockstep:
                if samples == 1 and runner.inner == 1:  # one step is a sample: known already
                    quickest[runner.case] = runner.step_s
                    continue
                laps: list[RankSample] = []
                if self.lockstep.together(runner, lambda runner=runner, laps=laps: laps.extend(runner.visit(samples))):  # type: ignore[misc] # noqa: B023
                    quickest[runner.case] = min((lap.end_s - lap.start_s for lap in laps), default=0.0) / runner.inner
            slowest = self.world.control.greatest([*quickest.values(), 0.0])
            for runner, step_s in zip(self.lockstep, slowest, strict=False):
                runner.step_s = step_s
            if samples > 1 and self.world.device.queues:
                self._look_ahead()
            for runner in self.lockstep:
                runner.inner = self._policy(runner).inner(runner.step_s)
                runner.warm = self.sampling.warm(runner.step_s)

    def _watch(self) -> None:
        """Let each gang do a few samples that do not count, to see where it waits. From here on load is counted."""
        for runner in self.lockstep:
            case = runner.case
            if case.gang_size > 1 and not (case.packed or case.probe or self.captures):  # a replay calls nothing
                samples = self.sampling.watched(runner.step_s)
                self.lockstep.together(runner, lambda runner=runner, samples=samples: runner.watch(samples))  # type: ignore[misc]
            runner.load, runner.retries = cpu_load.CpuTime(), 0

    def _look_ahead(self) -> None:
        """Measure how many steps of each case can be launched ahead of its device, to time the device's own work."""
        for runner in self.lockstep:
            steps = min(launch_ahead.MOST, self._policy(runner).inner(runner.step_s))
            self.lockstep.together(runner, lambda runner=runner, steps=steps: runner.look_ahead(steps))  # type: ignore[misc]
        depths = self.world.control.gather([runner.room for runner in self.lockstep], list[launch_ahead.QueueDepth])
        for runner, *rooms in zip(self.lockstep, *depths, strict=True):
            runner.room = launch_ahead.tightest(rooms)
            runner.ahead = runner.room.steps >= 1 and not (runner.case.probe or runner.case.packed)

    def _policy(self, runner: CaseRunner) -> Sampling:
        """The policy, with the limits of one case."""
        return replace(self.sampling, most=1) if runner.cold else self.sampling

    def _rounds(self, end_s: float) -> None:
        """Visit every case once a round, the probes in some, in a new random order each, until the time is spent."""
        (left_s,) = self.world.control.greatest([end_s - now()])
        round_s = self._round_s()
        if kind_of(self.world.name).clock_moves:  # else a budget is of another clock than samples are
            if self.sampling.tight(round_s, left_s):
                self.sampling = self.sampling.brief()
            count = self.sampling.rounds(self._round_s(), left_s)
            self.lockstep.over_s = max(0.0, count * self._round_s() - left_s)
        else:
            count = self.sampling.rounds_[1]
        planned = [runner.case for runner in self.lockstep]
        seed = (self.order.plan.seed, self.order.launch, self.order.attempt, self.comparison.label)
        position = 0
        apart = self.sampling.rounds_between_clocks(round_s)
        for number, turn in enumerate(islice(rounds(len(planned), *seed), count)):
            if number % apart == 0:
                self.world.read_clocks()
            gc.collect()  # it is off: what visits have left behind in cycles goes here, outside of all of them
            for case in (planned[place] for place in turn):
                if case.probe and number % self.sampling.probed:
                    continue
                self.lockstep.enough = number >= self.sampling.rounds_[0]
                if self.lockstep.enough and self.world.control.stopped:
                    return
                if runner := self.lockstep.get(case):
                    self.lockstep.round = number, count
                    self._visit(runner, number, position)
                    position += 1

    def _round_s(self) -> float:
        """Mean time of a round."""
        return sum(
            (self._policy(runner).visit_cost_s(runner.step_s, 2 * self.world.lead_s) + self._queued_s(runner))
            / (self.sampling.probed if runner.case.probe else 1)
            for runner in self.lockstep
        )

    def _queued_s(self, runner: CaseRunner) -> float:
        """Time of a visit's samples of the device's own time."""
        each_s = 2 * self.world.lead_s + runner.head_start_s + runner.queued_inner * runner.step_s
        return launch_ahead.SAMPLES * each_s if runner.ahead else 0.0

    def _visit(self, runner: CaseRunner, number: int, position: int) -> None:
        samples = self._policy(runner).samples(runner.step_s)
        queued = launch_ahead.SAMPLES if runner.ahead else 0
        runner.visits.append((number, position, samples))
        self.lockstep.together(runner, lambda: runner.laps.extend(runner.visit(samples, queued)))

    def _check(self) -> None:
        self.lockstep.enough = True
        for runner in self.lockstep:
            good = self.lockstep.together(runner, runner.check, rejected="wrong")
            if good and self.order.plan.trial and runner.case.gang_size == 1:
                self.lockstep.together(runner, lambda runner=runner: self._alter(runner))  # type: ignore[misc]

    def _alter(self, runner: CaseRunner) -> None:
        """Warn of a check that takes an output in which every number is another."""
        if runner.accepts_altered_output():
            warning = MeasurementWarning(kind=Kind.BLIND_CHECK, fact="the check takes an output of other numbers")
            self.doubted.setdefault(runner.case, []).append(warning)

    def _finish(self) -> None:
        """Collect every rank's samples, close each case that is left, and emit its cell."""
        self._read()
        gathered = [self._own(runner) for runner in self.lockstep]
        for runner, *ranks in zip(
            self.lockstep, *self.world.control.gather(gathered, list[cell.Gathered]), strict=True
        ):
            warnings = self.doubted.get(runner.case, [])
            fields = {} if self.world.rank else cell.cell_fields(runner, ranks, self.world.origin_s, warnings)
            if self.lockstep.together(runner, runner.close):
                runner.remove_files()
                if fields:
                    self.lockstep.tell(runner, "ok", **fields)

    def _own(self, runner: CaseRunner) -> cell.Gathered:
        """This rank's data of a case; its instants are by the clock of rank 0's host."""
        clock, laps = self.world.clock, runner.laps
        offset = clock.offset((laps[0].start_s + laps[-1].end_s) / 2) if laps else Offset()
        seen = [sample.shifted(clock.shifted) for sample in runner.watched]
        samples = [clock.sample(lap) for lap in laps]
        return samples, self._facts(runner), seen, runner.telemetry, offset, runner.queued

    def _read(self) -> None:
        """See what was read of this rank's device meanwhile."""
        if self.world.gauge is not None:
            readings = telemetry(self.world.gauge(), [runner.laps for runner in self.lockstep])
            for runner, reading in zip(self.lockstep, readings, strict=True):
                runner.telemetry = reading

    def _facts(self, runner: CaseRunner) -> RankFacts | None:
        return None if runner.gang is None else runner.facts()
