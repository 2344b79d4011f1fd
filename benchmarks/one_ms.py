"""A scenario whose step keeps its core busy for one millisecond; ``timed_share.py`` measures it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from harness.scenario import Gang, Scaling, Work, Workload

STEP_S = 0.001


@dataclass(frozen=True, kw_only=True)
class OneMs:
    """One millisecond in a busy loop."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """No state."""
        del gang
        return Workload(_busy, check=_is_late_enough, work=Work(unit="step"))


def _busy() -> float:
    start_s = time.perf_counter()
    while (took_s := time.perf_counter() - start_s) < STEP_S:
        pass
    return took_s


def _is_late_enough(took_s: float) -> None:
    assert took_s >= STEP_S, f"a step took {took_s:g} s"
