"""Lockstep: all ranks go on with a case together, or end it together."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from harness.common.errors import CollectiveError, Skip
from harness.device.kinds import kind_of
from harness.journal.plan import Case
from harness.journal.protocol import Emit, Order, VisitNote
from harness.journal.records import CellRecord, RankOutcome, Status, last
from harness.measure.case_runner import CaseRunner
from harness.world.control import Failure, StopRequestedError
from harness.world.world import World


class SpoiledError(Exception):
    """Nothing more can be measured by these processes: every rank ends, and a new gang does the rest.

    So it is after any error on a GPU, unless all ranks have refused the case and so tried nothing, and where other
    cases hold the process group that a failure has broken.
    """


def attempt(runner: CaseRunner, action: Callable[[], object], *, rejected: Status = "error") -> Failure | None:
    """Do ``action`` on the ranks of the case; its first failure, or None: the same answer on every rank.

    ``rejected`` is the status that an AssertionError means. Every rank calls this.
    """
    world, failure = runner.world, None
    if runner.gang is None:
        world.watchdog.beat()
    else:
        try:
            with runner.settings.in_force(), world.watchdog.minding(), world.at_work(runner.case):
                action()
        except CollectiveError as error:
            failure = Failure.of("error", str(error), world.rank, math.inf)  # another failed first
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is data, not only an Exception
            failure = runner.failure(error, rejected)
            if failure.status == "wrong":
                runner.report(error, failure)
            elif not isinstance(error, Skip):  # else nobody waits for anybody: the group is as good as before
                runner.fail(error)
                failure = replace(failure, released=True)
    return world.control.settle(failure)


def recover(runner: CaseRunner, failure: Failure, others: Iterable[CaseRunner] = ()) -> list[CaseRunner]:
    """Have groups that work again after a failure. Every rank calls this.

    Returns those of ``others`` that hold the group which was replaced, and so cannot go on. Raises SpoiledError where
    it takes new processes, and where these can measure them.
    """
    world, holders = runner.world, list[CaseRunner]()
    if failure.status != "wrong" or failure.released:
        refused = failure.refusals == runner.case.world_size
        if failure.sticky or (kind_of(world.name).fresh_after_error and not refused):
            raise SpoiledError
        if refused and (world.backend == "nccl" or failure.by_design):  # nobody has given a group up
            world.watchdog.settled()
            return holders
        if runner.case.gang_size > 1:
            alike = [other for other in others if other.case.gang_size == runner.case.gang_size]
            held = world.control.greatest([*(float(other.holds_group) for other in alike), 0.0])
            holders = [other for other, holds in zip(alike, held, strict=False) if holds]
            if holders and world.replaced:
                raise SpoiledError
            world.renew(runner.case.gang_size)
    world.watchdog.settled()
    return holders


HELD = "{} failed, and broke the process group that this case holds: start the ranks again, or use --resume"
"""What a case is told that cannot go on in the same processes, where no others take over."""


class Lockstep:
    """Those that have not failed, in planned order: the same on every rank. Whatever ends one has its cell written."""

    def __init__(self, order: Order, world: World, emit: Emit, index: int, cases: Sequence[Case]) -> None:
        self.round = 0, 0
        """Which round it is, of how many."""
        self.enough = False
        """Whether the fewest rounds are done, so that a halt leaves something to keep."""
        self.over_s = 0.0
        """By how much the fewest rounds exceed the time that there is for them."""
        self._order, self._world, self._emit, self._index = order, world, emit, index
        seed, cold = (order.plan.seed, order.plan.comparisons[index].label), order.plan.cache == "cold"
        code = order.plan.comparisons[index].code
        self._lockstep = {
            case: CaseRunner(case, world.gang(case, *seed), world, code="" if case.probe else code, cold=cold)
            for case in cases
        }

    def __iter__(self) -> Iterator[CaseRunner]:
        return iter(list(self._lockstep.values()))

    def get(self, case: Case) -> CaseRunner | None:
        """The runner of a case, unless the case has failed."""
        return self._lockstep.get(case)

    def together(self, runner: CaseRunner, action: Callable[[], object], *, rejected: Status = "error") -> bool:
        """Do ``action`` on the ranks of the case and agree on how it went; if it failed, end the case.

        ``rejected`` is the status that an AssertionError means. The case's ranks all skip it together.
        """
        self._note(runner)
        failure = runner.lost or attempt(runner, action, rejected=rejected)
        if failure is not None:
            self.end(runner, failure, harmless=runner.lost is not None)
        return failure is None

    def end(self, runner: CaseRunner, failure: Failure, *, harmless: bool = False) -> None:
        """Write the cell of a case that failed, and release it. Every rank calls this alike.

        ``harmless``: nothing was tried, so the process and its groups are as good as before.
        """
        del self._lockstep[runner.case]
        outcome = RankOutcome(rank=failure.rank, outcome=f"rank {failure.rank} failed", words=last(failure.stack))
        outcomes = (outcome,) if failure.stack else ()
        why = {"rank": failure.rank, "message": failure.message, "by_design": failure.by_design}
        self.tell(runner, failure.status, outcomes=outcomes, **why)
        close_quietly(runner)
        if not harmless:
            for holder in recover(runner, failure, self):
                holder.lost = Failure.of("skipped", HELD.format(runner.case.key), failure.rank)

    def refuse(self, lockstep: Sequence[CaseRunner], mine: Sequence[str | None]) -> None:
        """Skip the cases for which any rank has a reason, one for each of ``lockstep``; nothing was tried with them."""
        by_rank = self._world.control.gather(list(mine), list[str | None])
        for runner, *reasons in zip(lockstep, *by_rank, strict=True):
            for rank, reason in enumerate(reasons):
                if reason:
                    self.end(runner, Failure.of("skipped", reason, rank), harmless=True)
                    break

    def tell(self, runner: CaseRunner, status: Status, **fields: object) -> None:
        """Write a case's cell."""
        identity = {"launch": self._order.launch, "comparison": self._index, "case": runner.case.key, "status": status}
        self._emit(CellRecord.model_validate(identity | fields))

    def close(self) -> None:
        """Let go of all that are left."""
        for runner in self:
            close_quietly(runner)

    def _note(self, runner: CaseRunner) -> None:
        if self._world.control.stopped and not self.enough:
            raise StopRequestedError
        number, count = self.round
        self._emit(
            VisitNote(
                comparison=self._index,
                case=runner.case.key,
                round=number,
                rounds=count,
                step_s=runner.step_s or None,
                over_s=round(self.over_s, 3),
            )
        )


def close_quietly(runner: CaseRunner) -> None:
    """Release a case that has its cell, whatever that raises, and its files."""
    try:
        with runner.settings.in_force(), runner.world.watchdog.minding():
            runner.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the case has been judged; what it leaves behind is not its result
        pass
    finally:
        runner.remove_files()
