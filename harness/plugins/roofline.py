"""Roofs: what a device reaches at most, by type of number and by path of the bytes. Probes like the others.

gemm_tf32 gemm_bf16 gemm_fp16   one large product, beside that of ``harness.plugins.floor_and_ceiling`` in fp32
copy                            from its memory to its memory: of CPUs this alone is measured
upload download                 from pinned memory of the host and back, alone and with all devices at it
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from harness.gang import Gang
from harness.journal.plan import Case, Scaling, Value
from harness.plugins.floor_and_ceiling import PRODUCT
from harness.scenario import Work, Workload

Format = Literal["tf32", "bf16", "fp16"]
Way = Literal["copy", "upload", "download"]

TYPES: dict[Format, torch.dtype] = {"tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ERRORS: dict[Format, float] = {"tf32": 2e-3, "bf16": 8e-3, "fp16": 2e-3}
"""Normwise errors that are due: of rounded operands or of a rounded product, a little more than half a unit."""
BYTES: dict[Way, int] = {"copy": 2**29, "upload": 2**28, "download": 2**28}
"""Several times what a GPU's cache holds."""
HOST_BYTES = 2**26
"""Several times what a CPU's cache holds, in the source and in the target."""
ROWS = 8
"""A few rows of a product suffice for a ceiling."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """One product of two large matrices of random numbers of a type."""

    scaling: ClassVar[Scaling] = "none"
    format: Format = "bf16"

    def prepare(self, gang: Gang) -> Workload:
        """Two n × n matrices on this rank."""
        n = PRODUCT[gang.device.type]
        drawn = torch.randn(2, n, n, device=gang.device, generator=gang.generator)
        a, b = drawn.to(TYPES[self.format]).unbind()

        def tf32() -> torch.Tensor:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high")
            try:
                return a @ b
            finally:
                torch.set_float32_matmul_precision(before)

        def check(product: torch.Tensor) -> None:
            exact = a[:ROWS].double() @ b.double()
            error = float(torch.linalg.norm(product[:ROWS].double() - exact) / torch.linalg.norm(exact))
            assert error <= ERRORS[self.format], f"normwise error {error:.1e} (limit {ERRORS[self.format]})"

        step = tf32 if self.format == "tf32" else lambda: a @ b
        work = Work(flops=2 * n**3, bytes=3 * n**2 * a.element_size(), unit="product")
        return Workload(step, check=check, work=work)


@dataclass(frozen=True, kw_only=True)
class Carry:
    """Bytes from one memory to another."""

    scaling: ClassVar[Scaling] = "none"
    way: Way = "copy"

    def prepare(self, gang: Gang) -> Workload:
        """Random bytes where they come from, and room where they go."""
        pinned = gang.device.type == "cuda"
        size = BYTES[self.way] if pinned else HOST_BYTES
        drawn = torch.randint(2**62, (size // 8,), device=gang.device, generator=gang.generator)
        here = drawn.view(torch.uint8)
        host = torch.zeros(0 if self.way == "copy" else size, dtype=torch.uint8, pin_memory=pinned)
        there = torch.zeros_like(here) if self.way == "copy" else host
        if self.way == "upload":
            source, target = there.copy_(here), torch.zeros_like(here)
        else:
            source, target = here, there

        def check(arrived: torch.Tensor) -> None:
            assert torch.equal(arrived.to(gang.device), here), "the bytes that arrived are others"

        def reset() -> None:
            target[:: size // 64] = 0  # what an earlier step left would be wrong

        return Workload(
            lambda: target.copy_(source, non_blocking=True),
            check=check,
            work=Work(bytes=(2 if self.way == "copy" else 1) * size, items=size, unit="byte"),
            reset=reset,
        )


def of_memory() -> list[Case]:
    """The probe of copies within one device's memory."""
    return [_case("copy", "Carry", {"way": "copy"})]


def cases(world_sizes: tuple[int, ...], *, shared: bool) -> list[Case]:
    """Every roof on one device; those of the host's links also with as many devices at once as there are.

    ``shared``: ranks share a device, so that several at once say nothing.
    """
    most = world_sizes[-1]
    probes = [_case(f"gemm_{name}", "Product", {"format": name}) for name in TYPES]
    probes += [_case(way, "Carry", {"way": way}) for way in BYTES]
    if most > 1 and not shared:
        probes += [_case(way, "Carry", {"way": way}, most) for way in ("upload", "download")]
    return probes


def _case(name: str, cls: str, params: dict[str, Value], size: int = 1) -> Case:
    return Case(
        scenario=name,
        reference=f"harness.plugins.roofline:{cls}",
        params=params,
        world_size=size,
        packed=size > 1,
        probe=True,
    )
