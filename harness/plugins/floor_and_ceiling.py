"""The harness's own scenarios: they measure the measuring, and what this machine can do at all.

null   does nothing: the floor below which a time says more about the harness than about the work
spin   counts in a loop: whether every device really has a processor of its own
gemm   one large matrix product: the rate that a device reaches, alone and with all others busy
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.gang import Gang
from harness.journal.plan import Case, Scaling
from harness.scenario import Work, Workload

COUNT = 20_000
"""Turns of the spin's loop: about half a millisecond on a CPU."""
CYCLES = 1_000_000
"""GPU clock cycles of the spin on a GPU: about half a millisecond."""
PRODUCT = {"cpu": 1024, "cuda": 8192}
"""n of the n × n product, by kind of device."""


@dataclass(frozen=True, kw_only=True)
class Null:
    """A step that does nothing, measured like all others."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """No state."""
        del gang
        return Workload(lambda: None, check=_is_none, work=Work(unit="step"))


@dataclass(frozen=True, kw_only=True)
class Spin:
    """A loop that keeps one processor busy and touches no memory."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """No state."""
        if gang.device.type == "cuda":
            return Workload(lambda: torch.cuda._sleep(CYCLES), check=_is_none, work=Work(unit="spin"))  # noqa: SLF001
        return Workload(_spin, check=_is_count, work=Work(unit="spin"))


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """One product of two large random matrices."""

    scaling: ClassVar[Scaling] = "none"

    def prepare(self, gang: Gang) -> Workload:
        """Two n × n matrices on this rank."""
        n = PRODUCT[gang.device.type]
        a, b = (torch.randn(n, n, device=gang.device, generator=gang.generator) for _ in range(2))

        def check(product: torch.Tensor) -> None:
            rows = slice(0, 8)  # a few rows suffice for a ceiling
            torch.testing.assert_close(
                product[rows].double(), a[rows].double() @ b.double(), rtol=1e-3, atol=1e-2 * n**0.5
            )

        return Workload(lambda: a @ b, check=check, work=Work(flops=2 * n**3, bytes=12 * n**2, unit="product"))


def floors(world_sizes: tuple[int, ...]) -> list[Case]:
    """The floor at each world size."""
    return [_case("null", size) for size in world_sizes]


def cases(world_sizes: tuple[int, ...]) -> list[Case]:
    """The probes to interleave with a comparison: the floor at each world size, ceilings alone and all at once."""
    probes = floors(world_sizes)
    if world_sizes == (1,):
        return [*probes, _case("gemm", 1)]
    for name in ("spin", "gemm"):
        probes += [_case(name, 1), *(_case(name, size, packed=True) for size in world_sizes if size > 1)]
    return probes


def _case(name: str, size: int, *, packed: bool = False) -> Case:
    reference = f"harness.plugins.floor_and_ceiling:{name.capitalize()}"
    return Case(scenario=name, reference=reference, params={}, world_size=size, packed=packed, probe=True)


def _spin() -> int:
    for turn in range(COUNT):  # noqa: B007
        pass
    return turn


def _is_none(output: object) -> None:
    assert output is None, f"expected nothing, but got {output!r}"


def _is_count(output: object) -> None:
    assert output == COUNT - 1, f"expected {COUNT - 1}, but got {output!r}"
