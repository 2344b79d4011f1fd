"""What the author of a scenario writes against. These names stay put.

A scenario is a frozen dataclass whose fields are the axes of its sweep. ``prepare(gang)`` returns a
:class:`Workload`; the harness does everything else: ranks, clocks, order, checks on the declared work.
"""

from harness.common.errors import Skip
from harness.gang import Gang
from harness.journal.plan import Exercise, Scaling
from harness.scenario.oracles import exact_gradients, exact_pattern, freivalds
from harness.scenario.scenario import Facts, Scenario, Work, Workload, axis, variant
from harness.scenario.snapshot import snapshot

__all__ = [
    "Exercise",
    "Facts",
    "Gang",
    "Scaling",
    "Scenario",
    "Skip",
    "Work",
    "Workload",
    "axis",
    "exact_gradients",
    "exact_pattern",
    "freivalds",
    "snapshot",
    "variant",
]
