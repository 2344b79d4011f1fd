"""The work ledger: what a step really does, counted outside the clock, against what it declares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from harness.doubts import Doubt, Kind
from harness.flops import FORMULAS
from harness.journal import RankFacts
from harness.plan import Case, Comparison

SAME = 1e-6
"""Work that differs by less than this fraction is the same work."""


@dataclass(frozen=True)
class Count:
    """What one step of one rank did."""

    flops: int = 0
    """FLOPs of matrix products, convolutions and attention; other operations are not counted."""
    host_reads: int = 0
    """Reads from a tensor to the host: ``item``, ``tolist``, ``cpu``, ``numpy``, ``float()``, ``bool()``."""
    traffic_bytes: int = 0
    """Bytes of the messages that collectives carried: of an all-gather the gathered, of a reduce-scatter the whole."""
    constant_operands: int = 0
    """Operands of the products counted, of more than one element, whose elements are all alike."""
    streams: frozenset[Any] = frozenset()
    """Streams of the device on which it was launched, beside the current one."""
    host_operations: int = 0
    """Operations whose results are on the host, of a step on another device."""
    products: frozenset[str] = frozenset()
    """Types of the numbers that were multiplied in the operations counted: ``float32``, ``tf32``, ``bfloat16``."""


_COUNTED = flop_registry.keys() | FORMULAS.keys()


class _HostReads(TorchFunctionMode):
    """Counts reads where Python asks for them, so that it sees them on a CPU too."""

    _READS = frozenset(
        {
            torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.__float__,
            torch.Tensor.__int__, torch.Tensor.__bool__, torch.Tensor.__index__, torch.Tensor.__complex__,
        }
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        to_host = func is torch.Tensor.to and "cpu" in map(str, (*args[1:], *(kwargs or {}).values()))
        self.count += func in self._READS or to_host
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Looks at the collectives' messages, at the operands of products, and at the streams."""

    def __init__(self, stream: Callable[[], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic_bytes = 0
        self.constant_operands = 0
        self.streams: set[Any] = set()
        self.host_operations = 0
        self.products: set[str] = set()
        self._stream = stream

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        stream = self._stream()
        self.streams.add(stream)
        if func.namespace in ("c10d", "_c10d_functional"):
            self.traffic_bytes += max((_bytes(arg) for arg in args), default=0)
        elif func._overloadpacket in _COUNTED:  # noqa: SLF001 - the registry's own key
            with _disable_current_modes():  # looking is not part of the step
                self.constant_operands += sum(map(_constant, args))
                self.products |= _type(func, args)
        output = func(*args, **(kwargs or {}))
        if stream is not None:
            self.host_operations += _on_host(output)
        return output


def _bytes(arg: Any) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(arg) if isinstance(leaf, torch.Tensor))


def _type(func: Any, args: Any) -> set[str]:
    """The type that a product's numbers are multiplied in; GPUs may do with fewer digits of a float32."""
    first = next((leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)), None)
    if first is None:
        return set()
    short = "convolution" in str(func) or torch.get_float32_matmul_precision() != "highest"
    if first.dtype == torch.float32 and first.device.type == "cuda" and short:
        return {"tf32"}
    return {str(first.dtype).removeprefix("torch.")}


def _on_host(output: Any) -> bool:
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    return bool(leaves) and all(leaf.device.type == "cpu" for leaf in leaves)


def _constant(arg: Any) -> bool:
    if not isinstance(arg, torch.Tensor) or arg.ndim < 2 or arg.numel() < 2 or arg.device.type == "meta":
        return False
    first = arg[(0,) * arg.ndim]
    row = arg[(0,) * (arg.ndim - 1)]  # random numbers are told by these alone: no copy adds to the peak of memory
    return bool((row == first).all()) and bool((arg == first).all())


def _none() -> None:
    """What has no streams."""


def ready() -> None:
    """Load what :func:`count` needs of PyTorch. It takes seconds, which are no case's: no deadline is to count them."""
    import torch._dynamo  # noqa: F401


def count(step: Callable[[], Any], stream: Callable[[], Any] = _none) -> Count:
    """Do one step and count what it does. It is far slower than a plain step. ``stream`` tells the current stream."""
    flops = FlopCounterMode(display=False, custom_mapping=FORMULAS)
    home = stream()
    with flops, _Operations(stream) as seen, _HostReads() as reads:
        step()
    streams = frozenset(seen.streams - {home})
    return Count(
        flops.get_total_flops(),
        reads.count,
        seen.traffic_bytes,
        seen.constant_operands,
        streams,
        seen.host_operations,
        frozenset(seen.products),
    )


@dataclass(frozen=True)
class Totals:
    """A gang's work in one step, summed over its ranks."""

    flops: float
    items: float
    counted: float

    @property
    def amount(self) -> float:
        """The work: FLOPs where they are declared, else items."""
        return self.flops or self.items

    @property
    def measure(self) -> str:
        """What ``amount`` counts."""
        return "FLOP" if self.flops else "items"

    @classmethod
    def of(cls, facts: list[RankFacts]) -> Totals:
        """The sums."""
        return cls(
            sum(fact.flops for fact in facts),
            sum(fact.items for fact in facts),
            sum(fact.counted_flops for fact in facts),
        )


def audit(
    comparison: Comparison, facts: Mapping[Case, list[RankFacts]]
) -> tuple[dict[Case, str], dict[Case, list[Doubt]]]:
    """Judge the declared and the counted work of a comparison's cases.

    Returns refusals (a gang case did not do the work that it declares, or breaks its scaling claim: its time
    means nothing) and doubts (its work differs from the baseline's: they cannot be compared; or it multiplied
    constants: it may be too fast).
    """
    totals = {case: Totals.of(told) for case, told in facts.items() if not (case.packed or case.probe)}
    refused: dict[Case, str] = {}
    doubted = {case: [*_constants(told), *_uncounted(told)] for case, told in facts.items()}
    for case, mine in totals.items():
        base = _partner(totals, arm=comparison.baseline, world_size=case.world_size)
        alone = _partner(totals, arm=case.arm, world_size=1)
        if reason := _shortfall(mine, base) or _broken_claim(comparison, case, mine, alone):
            refused[case] = reason
        elif base and not _same(mine.amount, base.amount):
            theirs = f"{comparison.baseline} {base.amount:g} {base.measure}"
            fact = f"declares {mine.amount:g} {mine.measure} a step, but {theirs}"
            doubted[case].append(Doubt(kind=Kind.WORK_DIFFERS, fact=fact))
    for case, told in facts.items():  # a packed copy is the one-device case again
        copy, base = Totals.of(told[:1]), _partner(totals, arm=comparison.baseline, world_size=1)
        if case.packed and not case.probe and (reason := _shortfall(copy, base)):
            refused[case] = reason
    return refused, {case: doubts for case, doubts in doubted.items() if doubts and case not in refused}


def _constants(told: list[RankFacts]) -> Iterator[Doubt]:
    if number := sum(fact.constant_operands for fact in told):
        fact = f"multiplies {number} {'matrix' if number == 1 else 'matrices'} of equal elements a step (limit 0)"
        yield Doubt(kind=Kind.CONSTANT_OPERANDS, fact=fact)


def _uncounted(told: list[RankFacts]) -> Iterator[Doubt]:
    declared, counted = (sum(getattr(fact, name) for fact in told) for name in ("flops", "counted_flops"))
    if declared and not counted:
        yield Doubt(kind=Kind.UNCOUNTED_WORK, fact=f"declares {declared:.4g} FLOP a step, of which none was seen")


def _partner(totals: Mapping[Case, Totals], *, arm: str | None, world_size: int) -> Totals | None:
    found = (told for case, told in totals.items() if (case.arm, case.world_size) == (arm, world_size))
    return next(found, None)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=SAME)


def _shortfall(mine: Totals, base: Totals | None) -> str | None:
    """Counted work no more than half of the declared, or below the baseline's share of the declared."""
    if not mine.flops:
        return None
    usual = min(1.0, base.counted / base.flops) if base and base.flops else 0.0
    done = mine.counted / mine.flops
    if 0 < done <= 0.5 or done < usual * (1 - SAME):
        counted = f"its step does {mine.counted:.4g} FLOP of matrix products"
        return f"{counted}, {done:.2g} times the {mine.flops:.4g} that it declares"
    return None


def _broken_claim(comparison: Comparison, case: Case, mine: Totals, alone: Totals | None) -> str | None:
    if alone is None or case.world_size == 1 or comparison.scaling == "none":
        return None
    times = 1 if comparison.scaling == "strong" else case.world_size
    due = times * alone.amount
    if _same(mine.amount, due):
        return None
    declared = f"{mine.amount:g} {mine.measure} in all where {due:g} are due"
    return f"claims {comparison.scaling} scaling, but declares {declared}"
