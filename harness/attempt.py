"""An attempt: what the ranks of a case do together and agree on, and what becomes of them where it fails."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.agreement import Failure
from harness.errors import CollectiveError
from harness.journal import Status
from harness.trial import Trial


class SpoiledError(Exception):
    """After an error on a GPU a process proves nothing any more: every rank ends, and a new gang does the rest."""


def attempt(trial: Trial, action: Callable[[], object], *, rejected: Status = "error") -> Failure | None:
    """Do ``action`` on the ranks of the case; its first failure, or None: the same answer on every rank.

    ``rejected`` is the status that an AssertionError means. Every rank calls this.
    """
    world, failure = trial.world, None
    world.sentry.beat()
    if trial.gang is not None:
        try:
            action()
        except CollectiveError as error:
            failure = Failure.of("error", str(error), world.rank, math.inf)  # another failed first
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is data, not only an Exception
            failure = trial.failure(error, rejected)
            if failure.status != "wrong":
                trial.fail(error)
    return world.agreement.settle(failure)


def recover(trial: Trial, failure: Failure) -> None:
    """Have groups that work again after a failure. Raises SpoiledError where that takes new processes."""
    if failure.sticky or trial.world.device.torch.type == "cuda":
        raise SpoiledError
    if trial.case.gang_size > 1:
        trial.world.renew()
