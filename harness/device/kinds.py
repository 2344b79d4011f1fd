"""The kinds of devices, in one table: what the rest of the harness has to know of each by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """The properties of one kind of device."""

    backend: str
    """Backend of the process groups that carry tensors between such devices, one device per rank."""
    accelerator: bool
    """Whether the host launches work on it, which is done later."""
    graphs: bool = False
    """Whether steps can be captured and replayed, and its cache can be cleared."""
    shares_core: bool = False
    """Whether a step runs on the core that gloo's event loops use."""
    probed: bool = True
    """Whether floor and ceilings are measured: of an emulated device they are planted."""
    fresh_after_error: bool = False
    """Whether a process proves nothing any more once something has failed on it."""
    clock_moves: bool = True
    """Whether time passes by itself: else a sample costs real time but shows none, and few of them say all."""
    ray: Mapping[str, float] = field(default_factory=dict)
    """The resource that a rank requests from a Ray cluster besides its cores."""


KINDS: Mapping[str, DeviceKind] = {
    "cpu": DeviceKind(backend="gloo", accelerator=False, shares_core=True),
    "cuda": DeviceKind(backend="nccl", accelerator=True, graphs=True, fresh_after_error=True, ray={"GPU": 1.0}),
    "emulated": DeviceKind(backend="emulated", accelerator=True, probed=False, clock_moves=False),
}
"""Device kinds, by the word that ``--devices`` begins with."""


def kind_of(name: str) -> DeviceKind:
    """The kind of a device by its name in a plan, e.g. ``cuda:1``."""
    return KINDS[name.partition(":")[0]]
