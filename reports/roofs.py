"""Roofs: what devices were measured to reach at most, and how near to it a case comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from reports.evidence import CaseId
from reports.measured import Measured
from reports.rows import RoofRow

PRODUCTS = {"float32": "gemm", "tf32": "gemm_tf32", "bfloat16": "gemm_bf16", "float16": "gemm_fp16"}
"""The probe that multiplies numbers of a type."""
WORDS = {
    "gemm": "large product, fp32",
    "gemm_tf32": "large product, TF32",
    "gemm_bf16": "large product, bf16",
    "gemm_fp16": "large product, fp16",
    "copy": "copy on the device, read and written",
    "upload": "from the host, pinned",
    "download": "to the host, pinned",
}
"""Roofs in their order, as they are called."""


def roof_rows(measured: Measured) -> tuple[RoofRow, ...]:
    """Every roof that was measured; of CPUs there are the product's in fp32 and the copy's."""
    return tuple(_rows(measured))


def _rows(measured: Measured) -> Iterator[RoofRow]:
    for name, words in WORDS.items():
        for size in measured.evidence.plan.world_sizes:
            if found := _rate(measured, name, size):
                yield RoofRow(probe=name, words=words, world_size=size, unit=found[0], rate=found[1])


def _rate(measured: Measured, name: str, world_size: int) -> tuple[Literal["FLOP", "B"], float] | None:
    """What all ranks of a probe do in a second, and of what: FLOP, or else B."""
    for comparison in range(len(measured.evidence.plan.comparisons)):
        key = measured.probe(comparison, name, world_size)
        time = measured.time(key) if key else None
        if key and time:
            facts = measured.facts(key)
            flops, moved = sum(fact.flops for fact in facts), sum(fact.bytes for fact in facts)
            return ("FLOP", flops / time.value) if flops else ("B", moved / time.value)
    return None


def memory_roof(measured: Measured, world_size: int) -> float | None:
    """Bytes a second, read and written, of so many devices at most: each as fast as one that copies alone."""
    found = _rate(measured, "copy", 1)
    return found[1] * world_size if found else None


def product_roof(measured: Measured, key: CaseId, world_size: int) -> tuple[str, float] | None:
    """The probe, and FLOP/s of so many devices in it, whose numbers a case multiplies; of several types the quickest.

    None where one of them has no probe. What one device does alone stands for more where they were not measured.
    """
    types = {name for fact in measured.facts(key) for name in fact.products} or {"float32"}  # older journals tell none
    probes = [probe for name in sorted(types) if (probe := PRODUCTS.get(name))]
    rates = {probe: _product_rate(measured, key[0], probe, world_size) for probe in probes}
    known = [(rate, probe) for probe, rate in rates.items() if rate is not None]
    if len(known) < len(types):
        return None
    rate, probe = max(known)
    return probe, rate


def _product_rate(measured: Measured, comparison: int, name: str, world_size: int) -> float | None:
    for size in (world_size, 1):
        for place in (comparison, 0):
            probe = measured.probe(place, name, size)
            found = measured.time(probe) if probe else None
            if probe and found:
                return sum(fact.flops for fact in measured.facts(probe)) / found.value * world_size / size
    return None
