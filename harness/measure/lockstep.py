"""The trials of one comparison in one launch, on one rank: all ranks go on with one together, or end it together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from harness.common.errors import CollectiveError
from harness.journal.plan import Case
from harness.journal.protocol import Emit, Order, VisitNote
from harness.journal.records import CellRecord, RankFate, Status, last
from harness.measure.case_runner import Trial
from harness.world.control import Failure, HaltedError
from harness.world.world import World


class SpoiledError(Exception):
    """Nothing more can be measured by these processes: every rank ends, and a new gang does the rest.

    So it is after any error on a GPU, and where other cases hold the process group that a failure has broken.
    """


def attempt(trial: Trial, action: Callable[[], object], *, rejected: Status = "error") -> Failure | None:
    """Do ``action`` on the ranks of the case; its first failure, or None: the same answer on every rank.

    ``rejected`` is the status that an AssertionError means. Every rank calls this.
    """
    world, failure = trial.world, None
    if trial.gang is None:
        world.sentry.beat()
    else:
        try:
            with trial.settings.in_force(), world.sentry.minding():
                action()
        except CollectiveError as error:
            failure = Failure.of("error", str(error), world.rank, math.inf)  # another failed first
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is data, not only an Exception
            failure = trial.failure(error, rejected)
            if failure.status == "wrong":
                trial.report(error, failure)
            else:
                trial.fail(error)
                failure = replace(failure, released=True)
    return world.agreement.settle(failure)


def recover(trial: Trial, failure: Failure, others: Iterable[Trial] = ()) -> list[Trial]:
    """Have groups that work again after a failure. Every rank calls this.

    Returns those of ``others`` that hold the group which was replaced, and so cannot go on. Raises SpoiledError where
    it takes new processes, and where these can measure them.
    """
    world, holders = trial.world, list[Trial]()
    if failure.status != "wrong" or failure.released:
        if failure.sticky or world.device.torch.type == "cuda":
            raise SpoiledError
        if trial.case.gang_size > 1:
            alike = [other for other in others if other.case.gang_size == trial.case.gang_size]
            held = world.agreement.greatest([*(float(other.holds_group) for other in alike), 0.0])
            holders = [other for other, holds in zip(alike, held, strict=False) if holds]
            if holders and world.replaced:
                raise SpoiledError
            world.renew(trial.case.gang_size)
    world.sentry.settled()
    return holders


HELD = "{} failed, and broke the process group that this case holds: start the ranks again, or use --resume"
"""What a case is told that cannot go on in the same processes, where no others take over."""


class Trials:
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
        self._trials = {
            case: Trial(case, world.gang(case, *seed), world, code="" if case.probe else code, cold=cold)
            for case in cases
        }

    def __iter__(self) -> Iterator[Trial]:
        return iter(list(self._trials.values()))

    def get(self, case: Case) -> Trial | None:
        """The trial of a case, unless that has failed."""
        return self._trials.get(case)

    def together(self, trial: Trial, action: Callable[[], object], *, rejected: Status = "error") -> bool:
        """Do ``action`` on the ranks of the case and agree on how it went; where it failed, end the trial.

        ``rejected`` is the status that an AssertionError means. The trial's ranks all skip it together.
        """
        self._note(trial)
        failure = trial.lost or attempt(trial, action, rejected=rejected)
        if failure is not None:
            self.end(trial, failure, harmless=trial.lost is not None)
        return failure is None

    def end(self, trial: Trial, failure: Failure, *, harmless: bool = False) -> None:
        """Write the cell of a trial that failed, and let go of it. Every rank calls this alike.

        ``harmless``: nothing was tried, so the process and its groups are as good as before.
        """
        del self._trials[trial.case]
        fate = RankFate(rank=failure.rank, fate=f"rank {failure.rank} failed", words=last(failure.stack))
        fates = (fate,) if failure.stack else ()
        self.tell(trial, failure.status, rank=failure.rank, message=failure.message, fates=fates)
        close_quietly(trial)
        if not harmless:
            for holder in recover(trial, failure, self):
                holder.lost = Failure.of("skipped", HELD.format(trial.case.key), failure.rank)

    def refuse(self, trials: Sequence[Trial], mine: Sequence[str | None]) -> None:
        """Skip the trials for which any rank has a reason, one for each of ``trials``; nothing was tried with them."""
        told = self._world.agreement.gather(list(mine), list[str | None])
        for trial, *reasons in zip(trials, *told, strict=True):
            for rank, reason in enumerate(reasons):
                if reason:
                    self.end(trial, Failure.of("skipped", reason, rank), harmless=True)
                    break

    def tell(self, trial: Trial, status: Status, **told: object) -> None:
        """Write a trial's cell."""
        own = {"launch": self._order.launch, "comparison": self._index, "case": trial.case.key, "status": status}
        self._emit(CellRecord.model_validate(own | told))

    def close(self) -> None:
        """Let go of all that are left."""
        for trial in self:
            close_quietly(trial)

    def _note(self, trial: Trial) -> None:
        if self._world.agreement.halted and not self.enough:
            raise HaltedError
        number, count = self.round
        self._emit(
            VisitNote(
                comparison=self._index,
                case=trial.case.key,
                round=number,
                rounds=count,
                step_s=trial.step_s or None,
                over_s=round(self.over_s, 3),
            )
        )


def close_quietly(trial: Trial) -> None:
    """Let go of a trial that has been judged, whatever that raises, and of its files."""
    try:
        with trial.settings.in_force(), trial.world.sentry.minding():
            trial.close()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the case has been judged; what it leaves behind is not its result
        pass
    finally:
        trial.remove_files()
