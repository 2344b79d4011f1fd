"""The request of a user, as the command line states it, before it is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.journal.plan import DEADLINE_S, Cache, Execution, GlooLoop, Placement, Side


@dataclass(frozen=True)
class RunRequest:
    """The options of ``run``; None for an option that was not given."""

    names: Sequence[str] = ()
    devices: str | None = None
    emulate: Sequence[str] = ()
    """The causes that are planted in emulated devices."""
    world_sizes: str | None = None
    launcher: str | None = None
    sides: tuple[Side, ...] = ()
    """The sides of a duel; empty for those of the launcher."""
    placement: Placement = "pack"
    ray_address: str | None = None
    nodes: Sequence[Mapping[str, int]] | None = None
    """The resources of each node of a Ray cluster, by kind of device; None on this machine alone."""
    launches: int | None = None
    budget_s: float | None = None
    deadline_s: float = DEADLINE_S
    settings: Sequence[str] = ()
    seed: int = 0
    threads: int = 1
    precision: str | None = None
    margin: str = "5%"
    preset: str | None = None
    cache: Cache = "hot"
    execution: Execution = "eager"
    gloo_loop: GlooLoop = "background"
    share_device: bool = False
    profile: bool = False
    command: str = "rankbench run"
