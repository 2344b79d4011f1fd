"""The work ledger: what a step really does, counted outside the clock, against what it declares."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Self

import torch
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Case, Comparison
from harness.journal.records import RankFacts, Traffic
from harness.work.communication import Message, Observer, observed
from harness.work.flop_formulas import FORMULAS

SAME = 1e-6
"""Work that differs by less than this fraction is the same work."""
LESS = 0.1
"""By this fraction the counted bytes of messages may be below the declared ones."""
NAMED = 3
"""Operators that a warning names."""


@dataclass(frozen=True)
class Count:
    """The counted work of one step of one rank."""

    flops: int = 0
    """FLOPs of matrix products, convolutions and attention; other operations are not counted."""
    host_reads: int = 0
    """Reads from a tensor to the host: ``item``, ``tolist``, ``cpu``, ``numpy``, ``float()``, ``bool()``."""
    messages: tuple[Traffic, ...] = ()
    """Messages between ranks, by kind and size of their process group."""
    allocated_bytes: int = 0
    """Bytes of the tensors that its operations made: memory that a kernel needs meanwhile is not in them."""
    constant_operands: int = 0
    """Operands of the products counted, of more than one element, whose elements are all alike."""
    streams: frozenset[Any] = frozenset()
    """Streams of the device on which it launched work, besides the current stream."""
    host_operations: int = 0
    """Operations whose results are on the host, of a step on another device."""
    products: frozenset[str] = frozenset()
    """Types of the numbers that were multiplied in the operations counted: ``float32``, ``tf32``, ``bfloat16``."""
    reseeds: bool = False
    """Whether it seeds PyTorch's default generators."""
    uncounted: frozenset[str] = frozenset()
    """Names of what may multiply without being counted: custom operators, other libraries, operators of no formula."""

    @property
    def traffic_bytes(self) -> int:
        """Bytes of all messages: of an all-gather the gathered, of a reduce-scatter the whole."""
        return sum(message.bytes for message in self.messages)


_FORMULAS = flop_registry | FORMULAS
_KNOWN = {"aten", "prim", "prims", "c10d", "_c10d_functional", "_c10d_functional_autograd", "fsdp", "profiler"}
"""Namespaces of operators that are counted, or that multiply nothing."""
_MULTIPLIES = re.compile(
    r"m[mv]|dot|matmul|linear|conv|attention|rnn|lstm|gru|linalg(?!_vector_norm)|fft|cdist|solve|cholesky|mkldnn"
)
"""Words in the names of PyTorch's operators that may multiply matrices."""


class _HostReads(TorchFunctionMode):
    """Counts reads where Python asks for them, so that it sees them on a CPU too."""

    _READS = frozenset(
        {
            torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.__float__,
            torch.Tensor.__int__, torch.Tensor.__bool__, torch.Tensor.__index__, torch.Tensor.__complex__,
        }
    )  # fmt: skip
    _EXPORTS = frozenset({torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.__dlpack__, torch.Tensor.data_ptr})
    """Functions that pass a tensor's numbers to another library."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.exports = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        to_host = func is torch.Tensor.to and "cpu" in map(str, (*args[1:], *(kwargs or {}).values()))
        self.count += func in self._READS or to_host
        self.exports |= func in self._EXPORTS
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Counts the FLOPs of operators, and looks at what they allocate, the operands of products, and streams."""

    supports_higher_order_operators = True

    def __init__(self, stream: Callable[[], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.allocated_bytes = 0
        self.constant_operands = 0
        self.streams: set[Any] = set()
        self.host_operations = 0
        self.products: set[str] = set()
        self.uncounted: set[str] = set()
        self._stream = stream

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(kind, FakeTensor) for kind in types):
            return func(*args, **kwargs)  # nothing is computed: DTensor asks which shape an operation would have
        if any(map(_wraps, types)):
            return NotImplemented  # the operations that it consists of come next
        if isinstance(func, HigherOrderOperator):
            return self._count(func, func.name(), func, args, kwargs)
        packet = func._overloadpacket  # noqa: SLF001 - the formulas' own key
        if packet not in _FORMULAS and all(map(_strided, tree_leaves(args))):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        stream = self._stream()
        self.streams.add(stream)
        output = self._count(packet, str(packet), func, args, kwargs)
        self.allocated_bytes += _allocated((args, kwargs), output)
        if stream is not None:
            self.host_operations += _on_host(output)
        return output

    def _count(self, key: Any, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Do an operation, and count it where there is a formula for it and for its operands."""
        counted = key in _FORMULAS and all(map(_strided, tree_leaves(args)))
        if counted:
            with _disable_current_modes():  # looking is not part of the step
                self.constant_operands += sum(map(_constant, args))
                self.products |= _type(func, args)
        output = func(*args, **kwargs)
        try:
            if counted:
                self.flops += int(_FORMULAS[key](*args, **kwargs, out_val=output))
            elif key in _FORMULAS or name.partition(".")[0] not in _KNOWN or _MULTIPLIES.search(name.partition(".")[2]):
                self.uncounted.add(name)
        except Exception:  # noqa: BLE001 - a formula may know nothing of such operands: sparse, jagged, quantised
            self.uncounted.add(name)
        return output


def _wraps(kind: Any) -> bool:
    """Whether a kind of tensor consists of others, as DTensor does and a jagged tensor."""
    dispatch = kind.__torch_dispatch__
    return dispatch is not torch._C._disabled_torch_dispatch_impl  # noqa: SLF001 - a parameter's


def _strided(leaf: Any) -> bool:
    """Whether an operand has all of its elements at places that its shape tells: of others no formula knows."""
    return not isinstance(leaf, torch.Tensor) or (leaf.layout == torch.strided and not leaf.is_nested)


def _allocated(operands: Any, output: Any) -> int:
    """Bytes of the storages in an output that are none of the operands'."""
    before = _storages(operands)
    return sum(size for storage, size in _storages(output).items() if storage not in before)


def _storages(tensors: Any) -> dict[int, int]:
    """Bytes by storage, of the tensors that have one."""
    leaves = (leaf for leaf in tree_leaves(tensors) if isinstance(leaf, torch.Tensor) and _strided(leaf))
    storages = (leaf.untyped_storage() for leaf in leaves)
    return {storage._cdata: storage.nbytes() for storage in storages}  # noqa: SLF001 - its identity


class _Messages(Observer):
    """Counts messages by kind and size of group."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], list[int]] = {}

    def sent(self, message: Message, operands: tuple[Any, ...], send: Callable[[], Any]) -> Any:
        """Count a message, and send it."""
        del operands
        sums = self._sums.setdefault((message.kind, message.group_size), [0, 0, 0, 0])
        for place, amount in enumerate((1, message.bytes_in, message.bytes_out, message.bytes)):
            sums[place] += amount
        return send()

    def traffic(self) -> tuple[Traffic, ...]:
        """The sums, in order of their names."""
        return tuple(
            Traffic(kind=kind, group_size=size, count=count, bytes_in=sent, bytes_out=received, bytes=carried)
            for (kind, size), (count, sent, received, carried) in sorted(self._sums.items())
        )


def _type(func: Any, args: Any) -> set[str]:
    """The type that a product's numbers are multiplied in; GPUs may do with fewer digits of a float32."""
    first = next((leaf for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)), None)
    if first is None:
        return set()
    backend = attrgetter("cudnn.conv" if "convolution" in str(func) else "cuda.matmul")(torch.backends)
    if first.dtype == torch.float32 and first.device.type == "cuda" and backend.fp32_precision == "tf32":
        return {"tf32"}
    return {str(first.dtype).removeprefix("torch.")}


def _on_host(output: Any) -> bool:
    leaves = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    return bool(leaves) and all(leaf.device.type == "cpu" for leaf in leaves)


def _constant(arg: Any) -> bool:
    """Whether an operand's elements are all alike; of one that cannot be looked at so it is not said."""
    if not isinstance(arg, torch.Tensor) or arg.device.type == "meta":
        return False
    if arg.ndim < 2 or arg.numel() < 2:
        return False
    try:
        first = arg[(0,) * arg.ndim]
        row = arg[(0,) * (arg.ndim - 1)]  # random numbers are told by these alone: no copy adds to the peak of memory
        return bool((row == first).all()) and bool((arg == first).all())
    except (RuntimeError, NotImplementedError):  # a type of number without comparison
        return False


def _none() -> None:
    """Return no stream."""


def ready() -> None:
    """Load what :func:`count` needs of PyTorch. It takes seconds, which are no case's: no deadline is to count them."""
    import torch._dynamo  # noqa: F401


UNLIKELY = 0x5EED_0F_C0FFEE
"""A seed that no program sets."""


@contextmanager
def _seeding() -> Iterator[list[bool]]:
    """After the block one entry where it has seeded the default generator, which else goes on as if not drawn from."""
    seeded: list[bool] = []
    generator = torch.default_generator
    state = generator.get_state()
    generator.manual_seed(UNLIKELY)
    try:
        yield seeded
    finally:
        if generator.initial_seed() == UNLIKELY:
            generator.set_state(state)
        else:
            seeded.append(True)


def count(step: Callable[[], Any], stream: Callable[[], Any] = _none) -> Count:
    """Do one step and count what it does. It is far slower than a plain step. ``stream`` tells the current stream.

    Compiled code runs eagerly meanwhile: else Dynamo, which compiles nothing while a dispatch mode is on, would mark
    the code as one that is never to be compiled again.
    """
    home, messages = stream(), _Messages()
    with (
        observed(messages),
        torch.compiler.set_stance("force_eager"),
        _seeding() as seeded,
        _Operations(stream) as seen,
        _HostReads() as reads,
    ):
        step()
    return Count(
        seen.flops,
        reads.count,
        messages.traffic(),
        seen.allocated_bytes,
        seen.constant_operands,
        frozenset(seen.streams - {home}),
        seen.host_operations,
        frozenset(seen.products),
        bool(seeded),
        frozenset(seen.uncounted | ({"another library"} if reads.exports else set())),
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
        """The unit of ``amount``."""
        return "FLOP" if self.flops else "items"

    @classmethod
    def of(cls, facts: list[RankFacts]) -> Self:
        """The sums."""
        return cls(
            sum(fact.flops for fact in facts),
            sum(fact.items for fact in facts),
            sum(fact.counted_flops for fact in facts),
        )


def audit(
    comparison: Comparison, facts: Mapping[Case, list[RankFacts]]
) -> tuple[dict[Case, str], dict[Case, list[MeasurementWarning]]]:
    """Judge the declared and the counted work of a comparison's cases.

    Returns refusals (a gang case did not do the work that it declares, or breaks its scaling claim: its time
    means nothing) and warnings (its work differs from the baseline's: they cannot be compared; it multiplied
    constants: it may be too fast; or it called what cannot be counted, and less than it declares was seen).
    """
    totals = {case: Totals.of(ranks) for case, ranks in facts.items() if not (case.packed or case.probe)}
    refused: dict[Case, str] = {}
    doubted = {case: [*_constants(ranks), *_uncounted(ranks)] for case, ranks in facts.items()}
    for case, mine in totals.items():
        base = _partner(totals, variant=comparison.baseline, world_size=case.world_size)
        alone = _partner(totals, variant=case.variant, world_size=1)
        shortfall = None if _names(facts[case]) else _shortfall(mine, base)
        if reason := shortfall or _wire_shortfall(facts[case]) or _broken_claim(comparison, case, mine, alone):
            refused[case] = reason
        elif base and not _same(mine.amount, base.amount):
            theirs = f"{comparison.baseline} {base.amount:g} {base.measure}"
            fact = f"declares {mine.amount:g} {mine.measure} a step, but {theirs}"
            doubted[case].append(MeasurementWarning(kind=Kind.WORK_DIFFERS, fact=fact))
    for case, ranks in facts.items():  # a packed copy is the case of one device, or of one host, again
        base = _partner(totals, variant=comparison.baseline, world_size=case.gang_size)
        copy = Totals.of(ranks[: case.gang_size])
        if case.packed and not case.probe and not _names(ranks) and (reason := _shortfall(copy, base)):
            refused[case] = reason
    return refused, {case: warnings for case, warnings in doubted.items() if warnings and case not in refused}


def _constants(facts: list[RankFacts]) -> Iterator[MeasurementWarning]:
    if number := sum(fact.constant_operands for fact in facts):
        fact = f"multiplies {number} {'matrix' if number == 1 else 'matrices'} of equal elements a step (limit 0)"
        yield MeasurementWarning(kind=Kind.CONSTANT_OPERANDS, fact=fact)


def _uncounted(facts: list[RankFacts]) -> Iterator[MeasurementWarning]:
    declared, counted = (sum(getattr(fact, name) for fact in facts) for name in ("flops", "counted_flops"))
    names = _names(facts)
    if declared and not counted:
        fact = f"declares {declared:.4g} FLOP a step, of which none was seen"
    elif names and counted < declared * (1 - SAME):
        fact = f"declares {declared:.4g} FLOP a step, of which {counted:.4g} were seen"
    else:
        return
    if names:
        fact = f"{fact}: what {', '.join(names[:NAMED])} {'does' if len(names) == 1 else 'do'} cannot be counted"
    yield MeasurementWarning(kind=Kind.UNCOUNTED_WORK, fact=fact)


def _names(facts: list[RankFacts]) -> list[str]:
    """The calls of the step that may multiply without being counted."""
    return sorted({name for fact in facts for name in fact.uncounted})


def _partner(totals: Mapping[Case, Totals], *, variant: str | None, world_size: int) -> Totals | None:
    partners = (total for case, total in totals.items() if (case.variant, case.world_size) == (variant, world_size))
    return next(partners, None)


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


def sent_bytes(facts: RankFacts) -> float:
    """Bytes that a rank sends at least in its counted messages, by the bandwidth-optimal algorithm of each kind.

    The factors are those by which nccl-tests turns algorithm bandwidth into bus bandwidth. A broadcast, a scatter and a
    send cost the rank that hands bytes over.
    """
    return sum(_sent(message) for message in facts.messages)


def _sent(message: Traffic) -> float:
    others = (message.group_size - 1) / message.group_size
    if message.kind == "all_reduce":
        return 2 * others * message.bytes
    if message.kind in ("all_gather", "reduce_scatter", "all_to_all"):
        return others * message.bytes
    return others * message.bytes_in if message.kind == "scatter" else message.bytes_in


def _wire_shortfall(facts: list[RankFacts]) -> str | None:
    """Fewer bytes in all ranks' messages than they declare to send: bandwidths would be of bytes that nobody sent.

    More are no fault: the declared bytes are the least, however it is done.
    """
    declared, sent = sum(fact.wire for fact in facts), sum(map(sent_bytes, facts))
    if _names(facts) or sent >= declared * (1 - LESS):
        return None
    return f"its messages send {sent:.4g} bytes, {sent / declared:.2g} times the {declared:.4g} of Work.wire"


def _broken_claim(comparison: Comparison, case: Case, mine: Totals, alone: Totals | None) -> str | None:
    if alone is None or case.world_size == 1 or comparison.scaling == "none":
        return None
    times = 1 if comparison.scaling == "strong" else case.world_size
    due = times * alone.amount
    if _same(mine.amount, due):
        return None
    declared = f"{mine.amount:g} {mine.measure} in all where {due:g} are due"
    return f"claims {comparison.scaling} scaling, but declares {declared}"
