"""What the command line asks for, before anybody has judged it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.journal.plan import DEADLINE_S, Cache, Execution, GlooLoop, Placement, Side


@dataclass(frozen=True)
class RunRequest:
    """What the command line of ``run`` says; None where it says nothing."""

    names: Sequence[str] = ()
    devices: str | None = None
    emulate: Sequence[str] = ()
    """What is planted in emulated devices."""
    world_sizes: str | None = None
    launcher: str | None = None
    sides: tuple[Side, ...] = ()
    """Of a duel; none: those of the launcher."""
    placement: Placement = "pack"
    ray_address: str | None = None
    nodes: Sequence[Mapping[str, int]] | None = None
    """What each node of a Ray cluster has, by kind of device; None where this machine is all there is."""
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
