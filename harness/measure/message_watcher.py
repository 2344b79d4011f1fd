"""Watches the messages of a rank in samples that do not count: when each begins and is done, and what waits for it.

By marks on the device's stream, where it has any, so that nothing waits that does not wait in a timed sample.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_leaves

from harness.device.device import Device
from harness.device.timing import Now
from harness.measure.collective_times import Call, Seen
from harness.work import communication
from harness.work.communication import Message, Observer, TimedWork


@dataclass(frozen=True)
class _Instant:
    """A place in the work of a rank: the host's clock there, and the device's mark, where it has marks."""

    host_s: float
    mark: Any


@dataclass(eq=False)
class _Pending:
    """A message that has begun."""

    message: Message
    came: _Instant
    left: _Instant | None = None
    timed: TimedWork | None = None
    """Tells itself when the message is done."""
    handle: Any = None
    """Held until the message is done, so that its id stays unique."""
    storages: frozenset[int] = frozenset()
    """Storages of the operands of a message whose end only a wait shows."""


class _Watcher(Observer):
    """Marks the beginning and the end of each message, and of each wait for one."""

    def __init__(self, device: Device, clock: Now) -> None:
        self._device = device
        self._clock = clock
        self._home = device.stream()
        self._calls: list[_Pending] = []
        self._waits: list[tuple[_Instant, _Instant]] = []
        self._open: dict[int, _Pending] = {}
        """Open messages by the id of their handle."""
        self._together: list[_Pending] | None = None
        """Messages of a coalesced call, which begin when it ends."""
        self._backward = -1
        device.synchronize()
        self._origin = self._instant()

    def sent(self, message: Message, operands: tuple[Any, ...], send: Callable[[], Any]) -> Any:
        """Send a message. A synchronous one keeps the rank until it is done."""
        pending = _Pending(message, self._instant())
        self._calls.append(pending)
        self._look_for_the_end_of_backward()
        output = send()
        self._waited(pending.came)
        if self._together is not None:
            self._together.append(pending)
        else:
            self._follow([pending], communication.work(output), operands)
        return output

    def seen(self, into: Seen) -> None:
        """Fill in what was seen. Waits for the device."""
        self._device.synchronize()
        end = self._instant()
        for call in self._calls:
            message = call.message
            came_s = self._seconds(call.came)
            left_s = call.timed.settle() if call.timed else self._seconds(call.left or end)
            left_s = max(came_s, left_s)
            into.calls.append(
                Call(came_s, left_s, message.bytes, message.kind, message.channel, message.ranks, message.group_size)
            )
        into.waits += [(self._seconds(begin), self._seconds(end)) for begin, end in self._waits]

    def waiting(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function that waits for messages, to note its waits."""

        @wraps(wait)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(arg, torch.Stream) and arg != self._device.stream() for arg in args[1:]):
                return wait(*args, **kwargs)  # another stream waits
            begin = self._instant()
            answer = wait(*args, **kwargs)
            end = self._waited(begin)
            if args and (pending := self._open.get(id(args[0]))):
                self._leave(pending, end)
            return answer

        return marked

    def waited(self, awaited: object, wait: Callable[[], Any]) -> Any:
        """Wait for what a functional collective returned, or for the handle of a group in Python."""
        begin = self._instant()
        answer = wait()
        end = self._waited(begin)
        if isinstance(awaited, torch.Tensor):
            storage = _storage(awaited)
            for pending in [call for call in self._open.values() if storage in call.storages]:
                self._leave(pending, end)
        return answer

    def coalescing(self, start: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that begins coalesced calls."""

        @wraps(start)
        def marked(*args: Any, **kwargs: Any) -> Any:
            self._together = []
            return start(*args, **kwargs)

        return marked

    def coalesced(self, end: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that ends coalesced calls and sends their messages."""

        @wraps(end)
        def marked(*args: Any, **kwargs: Any) -> Any:
            together, self._together = self._together or [], None
            begin = self._instant()
            handle = end(*args, **kwargs)
            self._waited(begin)
            self._follow(together, handle)
            return handle

        return marked

    def _follow(self, together: Sequence[_Pending], handle: Any, operands: tuple[Any, ...] = ()) -> None:
        """Note when messages are done. Without a handle the current stream, or the call itself, has done them."""
        if handle is None:
            for pending in together:
                self._leave(pending)
            return
        if isinstance(handle, TimedWork):
            for pending in together:
                pending.timed = handle
            return
        for pending in together:
            pending.handle = handle
            self._open[id(handle)] = pending

        def done(_: object) -> None:
            for pending in together:
                self._leave(pending)

        try:
            handle.get_future().then(done)
        except RuntimeError:  # gloo has no future of sends, receives and reduce-scatters
            for pending in together:
                pending.storages = frozenset(map(_storage, _tensors(operands)))

    def _leave(self, pending: _Pending, instant: _Instant | None = None) -> None:
        if pending.left is None:
            pending.left = instant or self._instant()
        self._open.pop(id(pending.handle), None)
        pending.handle = None

    def _look_for_the_end_of_backward(self) -> None:
        """DDP waits in C++ when everything else of a backward pass is done: between two callbacks of the engine."""
        task = torch._C._current_graph_task_id()  # noqa: SLF001 - DDP in Python and FSDP ask so
        if task in {-1, self._backward}:
            return
        self._backward = task
        queue = torch.autograd.Variable._execution_engine.queue_callback  # noqa: SLF001

        def computed() -> None:
            begin = self._instant()
            queue(lambda: self._end_of_backward(begin))  # behind those that DDP has queued meanwhile

        queue(computed)

    def _end_of_backward(self, begin: _Instant) -> None:
        self._waited(begin)

    def _waited(self, begin: _Instant) -> _Instant:
        end = self._instant()
        if self._device.stream() == self._home:
            self._waits.append((begin, end))
        return end

    def _instant(self) -> _Instant:
        return _Instant(self._clock(), self._device.new_mark())

    def _seconds(self, instant: _Instant) -> float:
        """The clock when the device was there, which is not before the host was."""
        since_s = self._device.between(self._origin.mark, instant.mark)
        return instant.host_s if since_s is None else max(instant.host_s, self._origin.host_s + since_s)


def _tensors(operands: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(operands) if isinstance(leaf, torch.Tensor))


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - its identity, also where it has no memory


WAITS = (
    (dist.Work, "wait"),
    (dist.Work, "synchronize"),
    (dist.Work, "block_current_stream"),
    (dist, "_broadcast_coalesced"),  # of a module's buffers; it waits in C++
    (torch.cuda.Event, "wait"),
)
"""Functions that wait for messages, besides functional collectives and the end of DDP's backward pass."""


@contextmanager
def watched(device: Device, clock: Now) -> Iterator[Seen]:
    """Collect the messages of this process during the block; the result is complete when the block is left."""
    seen, watcher = Seen(), _Watcher(device, clock)
    with ExitStack() as stack:
        stack.enter_context(communication.observed(watcher))
        for owner, name in WAITS:
            stack.enter_context(_replaced(owner, name, watcher.waiting))
        stack.enter_context(_replaced(dist.ProcessGroup, "_start_coalescing", watcher.coalescing))
        stack.enter_context(_replaced(dist.ProcessGroup, "_end_coalescing", watcher.coalesced))
        yield seen
        watcher.seen(seen)


@contextmanager
def _replaced(owner: Any, name: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Wrap an owner's attribute during the block, if the owner has it."""
    before = vars(owner).get(name)
    if before is None:
        yield
        return
    setattr(owner, name, by(getattr(owner, name)))
    try:
        yield
    finally:
        setattr(owner, name, before)
