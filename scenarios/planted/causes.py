"""The causes that ``rankbench selftest`` plants, each a scenario of its own, measured beside the others."""

from dataclasses import dataclass

from harness.scenario import axis
from scenarios.planted.planted import Planted

SMALL_MIB = 1 / 64
"""Of a message that takes a hundredth of a step, so that ranks meet."""
LARGE_MIB = 8.0


@dataclass(frozen=True, kw_only=True)
class Healthy(Planted):
    """Nothing is wrong: compute is shared, and a small message ends each step."""

    compute_ms: float = axis(40.0)
    message_mib: float = axis(SMALL_MIB)


@dataclass(frozen=True, kw_only=True)
class SlowDevice(Healthy):
    """One device takes a fifth longer than its peers."""

    slow_rank: int = axis(2)
    slow: float = axis(1.2)


@dataclass(frozen=True, kw_only=True)
class ExposedCommunication(Healthy):
    """The ranks send a large message, and wait for it."""

    message_mib: float = axis(LARGE_MIB)


@dataclass(frozen=True, kw_only=True)
class HiddenCommunication(ExposedCommunication):
    """The same large message is under way while the ranks compute."""

    overlapped: bool = axis(True)


@dataclass(frozen=True, kw_only=True)
class Contention(Healthy):
    """Each busy device of a host slows the others down by a tenth."""

    contended: float = axis(0.1)


@dataclass(frozen=True, kw_only=True)
class UnevenSplit(Healthy):
    """The first rank has a quarter more to do than its share, and declares it."""

    uneven: float = axis(0.25)


@dataclass(frozen=True, kw_only=True)
class LaunchBound(Healthy):
    """A step consists of so many operations that launching them takes longer than they do."""

    compute_ms: float = axis(2.0)
    message_mib: float = axis(0.0)
    operations: int = axis(800)


@dataclass(frozen=True, kw_only=True)
class SlowLoader(Healthy):
    """The host loads for longer than the devices compute."""

    loader_ms: float = axis(12.0)


@dataclass(frozen=True, kw_only=True)
class TooLarge(Healthy):
    """A message does not fit into the memory of a device."""

    message_mib: float = axis(512.0)
