"""An attempt: what the ranks of a case do together and agree on, and what becomes of them where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.agreement import Failure
from harness.errors import CollectiveError
from harness.journal import Status
from harness.trial import Trial


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
