"""A scenario that does nothing; ``run_cost.py`` runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.scenario import Gang, Scaling, Work, Workload


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Nothing at all."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """No state."""
        del gang
        return Workload(lambda: None, check=_is_none, work=Work(unit="step"))


def _is_none(output: object) -> None:
    assert output is None
