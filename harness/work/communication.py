"""Messages between ranks, seen where PyTorch dispatches them, whoever sends them.

Every collective and every point-to-point message of PyTorch is an operator of the namespace ``c10d``: those of
``torch.distributed``, of DDP's reducer, which calls the process group from C++, of FSDP2, DTensor, pipelining, and of
functional collectives. A kernel registered at a dispatch key that every call passes sees each of them once. It is
registered only while somebody looks, so that timed steps call PyTorch alone.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch._C import DispatchKey
from torch.utils._pytree import tree_leaves

NAMESPACE = "c10d"
PASSED = DispatchKey.BackendSelect
"""A key that is in every call's key set, also in inference mode and in the threads that do the backward pass."""
KINDS = {
    "allreduce_": "all_reduce",
    "allreduce_coalesced_": "all_reduce",
    "allgather_": "all_gather",
    "_allgather_base_": "all_gather",
    "allgather_coalesced_": "all_gather",
    "allgather_into_tensor_coalesced_": "all_gather",
    "reduce_scatter_": "reduce_scatter",
    "_reduce_scatter_base_": "reduce_scatter",
    "reduce_scatter_tensor_coalesced_": "reduce_scatter",
    "alltoall_": "all_to_all",
    "alltoall_base_": "all_to_all",
    "broadcast_": "broadcast",
    "reduce_": "reduce",
    "gather_": "gather",
    "scatter_": "scatter",
    "barrier": "barrier",
    "monitored_barrier_": "barrier",
    "send": "send",
    "recv_": "recv",
    "recv_any_source_": "recv",
}
"""The kind of each operator of the namespace that carries a message, or makes ranks wait."""
ANY = -1
"""The source of a receive from any rank."""


@dataclass(frozen=True)
class Message:
    """One call of a collective, a send or a receive on this rank."""

    kind: str
    """A value of ``KINDS``."""
    channel: str
    """Alike on the ranks that take part, whose calls on one channel match in order; empty where nobody can tell."""
    ranks: int
    """Number of ranks that take part: two in a send and a receive."""
    group_size: int
    """Ranks of its process group."""
    bytes_in: int
    """Bytes that this rank hands over."""
    bytes_out: int
    """Bytes that this rank receives, or has reduced."""

    @property
    def bytes(self) -> int:
        """The larger side: of an all-gather the gathered, of a reduce-scatter the whole."""
        return max(self.bytes_in, self.bytes_out)


class TimedWork(dist.Work):
    """The handle of a message of a process group in Python that knows itself when the message ends."""

    def settle(self) -> float:
        """The device's clock when it ends."""
        raise NotImplementedError


class Observer:
    """Whoever looks at messages."""

    def sent(self, message: Message, operands: tuple[Any, ...], send: Callable[[], Any]) -> Any:
        """Send a message, and return what ``send`` returns; ``operands`` are the operator's own."""
        raise NotImplementedError

    def waited(self, awaited: object, wait: Callable[[], Any]) -> Any:
        """Wait for a message, of which ``awaited`` is the handle or a tensor; return what ``wait`` returns."""
        del awaited
        return wait()


_observers: list[Observer] = []


def sent(message: Message, send: Callable[[], Any]) -> Any:
    """Send a message of a process group in Python, which PyTorch calls past the dispatcher."""
    return _observers[-1].sent(message, (), send) if _observers else send()


def waited(work: TimedWork, wait: Callable[[], Any]) -> Any:
    """Wait for such a message."""
    return _observers[-1].waited(work, wait) if _observers else wait()


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Within the block every message of this process passes ``observer``, from any thread; so do waits for tensors."""
    wait_tensor = torch.ops._c10d_functional.wait_tensor.default  # noqa: SLF001 - PyTorch has no other name for it

    def seen_by(name: str) -> Callable[..., Any]:
        operator = getattr(torch.ops.c10d, name).default

        def kernel(keys: Any, *operands: Any, **named: Any) -> Any:
            below = keys.remove(PASSED)
            message = _message(operator, operands, named)
            return observer.sent(message, operands, lambda: operator.redispatch(below, *operands, **named))

        return kernel

    def waiting(keys: Any, tensor: torch.Tensor) -> Any:
        below = keys.remove(PASSED)
        return observer.waited(tensor, lambda: wait_tensor.redispatch(below, tensor))

    with _library(NAMESPACE) as library, _library("_c10d_functional") as functional:
        for name in KINDS:
            library.impl(name, seen_by(name), PASSED.name, with_keyset=True)
        functional.impl("wait_tensor", waiting, PASSED.name, with_keyset=True)
        _observers.append(observer)
        try:
            yield
        finally:
            _observers.pop()


def work(output: Any) -> Any:
    """The handle among what was returned; None where there is none, as inside NCCL's coalesced calls."""
    if isinstance(output, dist.Work):
        return output
    handles = (value for value in (output if isinstance(output, tuple) else (output,)) if _is_handle(value))
    handle = next(handles, None)
    return None if handle is None else dist.Work.unbox(handle)


def _is_handle(value: Any) -> bool:
    return isinstance(value, torch.ScriptObject)


@contextmanager
def _library(namespace: str) -> Iterator[torch.library.Library]:
    library = torch.library.Library(namespace, "IMPL")
    try:
        yield library
    finally:
        library._destroy()  # noqa: SLF001 - PyTorch's own tests take theirs back so


def _message(operator: Any, operands: tuple[Any, ...], named: dict[str, Any]) -> Message:
    names = (argument.name for argument in operator._schema.arguments)  # noqa: SLF001 - the documented way to it
    arguments = dict(zip(names, operands, strict=False)) | named
    kind = KINDS[operator._schema.name.partition("::")[2]]  # noqa: SLF001
    group = dist.ProcessGroup.unbox(arguments["process_group"])
    rank, size = group.rank(), group.size()
    ends = _ends(arguments, rank)
    channel = group.group_name if ends is None else f"{group.group_name} {ends[0]}>{ends[1]}#{arguments['tag']}"
    return Message(
        kind=kind,
        channel="" if ends and ANY in ends else channel,
        ranks=2 if ends else size,
        group_size=size,
        **_amounts(kind, arguments, rank),
    )


def _ends(arguments: dict[str, Any], rank: int) -> tuple[int, int] | None:
    """Source and destination of a message from one rank to one; None of a collective."""
    if "tag" not in arguments:
        return None
    return (rank, arguments["dst"]) if "dst" in arguments else (arguments.get("src", ANY), rank)


def _amounts(kind: str, arguments: dict[str, Any], rank: int) -> dict[str, int]:
    """Bytes in and out, by the operator's own names for what it reads and what it fills."""
    both = tensor_bytes(arguments.get("tensors", ()))
    root = arguments.get("root_rank") == rank
    reads = kind in {"all_reduce", "reduce", "send"} or (kind == "broadcast" and root)
    fills = kind in {"all_reduce", "recv"} or (kind == "reduce" and root) or (kind == "broadcast" and not root)
    return {
        "bytes_in": tensor_bytes(value for name, value in arguments.items() if name.startswith("input")) + both * reads,
        "bytes_out": tensor_bytes(value for name, value in arguments.items() if name.startswith("output"))
        + both * fills,
    }


def tensor_bytes(values: Iterable[Any]) -> int:
    """Bytes of all tensors among values, however nested."""
    return sum(leaf.nbytes for leaf in tree_leaves(list(values)) if isinstance(leaf, torch.Tensor))
