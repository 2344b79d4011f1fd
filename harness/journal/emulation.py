"""The emulation: what emulated devices are like, and what is planted in them. It stands in the plan."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """Read from and written to files: strict, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Link(Part):
    """A link between two devices: a message of n bytes takes ``latency_s + n / bytes_per_s`` seconds."""

    latency_s: Seconds = 5e-6
    bytes_per_s: Rate = 50e9


class HostLink(Link):
    """A link between two hosts, which is slower."""

    latency_s: Seconds = 20e-6
    bytes_per_s: Rate = 10e9


class Noise(Part):
    """Standard deviations of the logarithm of all compute times, drawn from the run's seed."""

    device: float = Field(default=0, ge=0)
    """Between devices: the same in every launch."""
    launch: float = Field(default=0, ge=0)
    """Between launches: the same on every rank."""
    sample: float = Field(default=0, ge=0)
    """Between samples and ranks."""


class Throttle(Part):
    """A device that has computed for ``after_s`` seconds since its launch began lowers its clock."""

    after_s: Seconds
    factor: float = Field(ge=1)
    """The factor by which everything takes longer from then on."""


class Stalls(Part):
    """A host that stalls now and then, as where it collects garbage."""

    share: float = Field(default=0, ge=0, le=1)
    """In which part of the samples it does, drawn from the run's seed for each rank."""
    seconds: Seconds = 0
    """For how long, before it launches anything of them."""


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}", inner


class Emulation(Part):
    """Emulated devices, and the conditions planted in them. Rates of None cost nothing."""

    hosts: int = Field(default=1, ge=1)
    devices_per_host: int = Field(ge=1)
    launch_s: Seconds = 5e-6
    """Host time to launch one operation."""
    mark_s: Seconds = Field(default=1e-6, gt=0)
    """Host time to launch a time mark: a step that costs nothing shows this time."""
    queue_depth: int = Field(default=1024, ge=1)
    """Operations that can be launched ahead of the device."""
    flops_per_s: Rate | None = 1e12
    """FLOP/s of an operation that multiplies."""
    bytes_per_s: Rate | None = 1e11
    """Bytes/s of an operation's operands and results: an operation takes the longer of the two times."""
    memory_bytes: int = Field(default=16 * 2**30, gt=0)
    clock_mhz: int = Field(default=1500, gt=0)
    """Clock that telemetry reads from a device that is not throttled."""
    link: Link = Link()
    """Between devices of one host."""
    host_link: HostLink = HostLink()
    """Between devices of different hosts."""
    slow_ranks: dict[int, Factor] = Field(default_factory=dict)
    """Planted: by rank, how many times longer its compute takes."""
    late_ranks: dict[int, Seconds] = Field(default_factory=dict)
    """Planted: by rank, how much later than the others its host begins each sample."""
    slow_links: dict[str, Factor] = Field(default_factory=dict)
    """Planted: by two ranks (``0-1``), how many times longer bytes take between them, in both directions."""
    contention: float = Field(default=0, ge=0)
    """Planted: by which fraction each further busy device of its host lengthens a device's compute."""
    stalls: Stalls = Stalls()
    noise: Noise = Noise()
    throttled_ranks: dict[int, Throttle] = Field(default_factory=dict)

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.hosts * self.devices_per_host

    def host_of(self, rank: int) -> int:
        """The host of a rank: each host has consecutive ranks."""
        return rank // self.devices_per_host

    def host_name(self, rank: int) -> str:
        """The name of a rank's host."""
        return f"emulated-{self.host_of(rank)}"

    @property
    def lines(self) -> list[str]:
        """Lines of TOML that say all that is not as usual."""
        planted = self.model_dump(mode="json", exclude_defaults=True, exclude={"hosts", "devices_per_host"})
        return [f"{name}={json.dumps(value)}" for name, value in _leaves(planted)]

    @property
    def words(self) -> str:
        """The emulation in the words of the regime."""
        shape = f"{self.hosts} hosts of {self.devices_per_host}" if self.hosts > 1 else str(self.devices)
        planted = self.model_dump_json(exclude_defaults=True, exclude={"hosts", "devices_per_host"})
        return f"{shape} devices, {'as usual' if planted == '{}' else planted}"

    @model_validator(mode="after")
    def _known_ranks(self) -> Self:
        pairs = {name: name.split("-") for name in self.slow_links}
        if wrong := next(
            (name for name, pair in pairs.items() if len(pair) != 2 or not all(map(str.isdecimal, pair))), None
        ):
            raise ValueError(f"slow_links names two ranks, e.g. 0-1, not {wrong!r}")
        ranks = {*self.slow_ranks, *self.late_ranks, *self.throttled_ranks}
        ranks |= {int(rank) for pair in pairs.values() for rank in pair}
        if beyond := sorted(rank for rank in ranks if not 0 <= rank < self.devices):
            raise ValueError(f"there is no rank {beyond[0]} among {self.devices} devices")
        return self
