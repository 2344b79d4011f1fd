"""A process group of emulated devices: gloo carries the data, and each message ends on the emulated clock.

A collective ends when the last rank has come and the network has carried the bytes: max(arrivals) + α + bytes / β.
Collectives of a group follow one another on a communication stream, beside the device's computing. A message from rank
to rank begins when both have come and the link between them is free. Everything is started at once, and known when
something waits for it: no rank stands still in a call, as with NCCL.

What PyTorch 2.13 needs: a group in Python has a name and a description itself, or a device mesh finds neither; FSDP2
calls ``all_gather_single`` and ``reduce_scatter_single``; DDP's reducer waits for the future of a work, so that what is
started in backward is waited for by a callback at the end of backward.
"""

# mypy: disable-error-code="override"

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.futures import Future
from torch.utils._python_dispatch import _disable_current_modes

from harness.device.emulated.device import EmulatedDevice, current
from harness.device.emulated.network import Network
from harness.work import communication
from harness.work.communication import Message, TimedWork, tensor_bytes

BACKEND = "emulated"
SENDERS, RECEIVERS = 1 << 28, 1 << 29
"""Added to a message's tag for the instants at which its sender and its receiver have come."""
EXCHANGES = 1 << 27
"""The tag of the messages of an all-to-all."""


class EmulatedWork(TimedWork):
    """Communication that has been started."""

    def __init__(self, device: EmulatedDevice, finish: Callable[[], float], result: Sequence[torch.Tensor]) -> None:
        """``finish`` waits for the data, and returns when the communication ends on the emulated clock."""
        super().__init__()
        self._device = device
        self._finish = finish
        self._result = list(result)
        self._end_s: float | None = None
        self._future: Future[list[torch.Tensor]] | None = None
        self.source: int | None = None
        """The sender of a receive from any rank."""
        device.pending.append(self.settle)

    def settle(self) -> float:
        """When it ends; its data are there."""
        if self._end_s is None:
            with _unseen():
                self._end_s = self._finish()
        return self._end_s

    def wait(self, timeout: Any = None) -> bool:
        """Let the device wait for its end, as the current stream of a GPU does."""
        del timeout
        communication.waited(self, lambda: self._device.wait_for(self.settle()))
        if self._future is not None and not self._future.done():
            self._future.set_result(self._result)
        return True

    def get_future(self) -> Future[list[torch.Tensor]]:
        """A future that is done once the device waits: at the end of a backward that asks for it, else at once."""
        if self._future is None:
            self._future = Future()
            if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - no backward is running
                self.wait()
            else:
                torch.autograd.Variable._execution_engine.queue_callback(self._end_backward)  # noqa: SLF001
        return self._future

    def _end_backward(self) -> None:
        self.wait()

    def is_completed(self) -> bool:
        """Whether the host's clock has come to its end."""
        return self.settle() <= self._device.host_s

    def is_success(self) -> bool:
        """Whether it has ended well: what fails raises."""
        return self.is_completed()

    def result(self) -> list[torch.Tensor]:
        """The tensors that it writes."""
        return self._result

    def _source_rank(self) -> int:
        assert self.source is not None
        return self.source


class EmulatedGroup(dist.ProcessGroup):
    """A process group that joins this process's emulated device to others. Its methods are PyTorch's."""

    def __init__(self, gloo: Any, ranks: Sequence[int], device: EmulatedDevice) -> None:
        """``ranks`` are the world's ranks of the group, in its order; ``gloo`` joins the same ones."""
        super().__init__(gloo.rank(), gloo.size())  # type: ignore[call-arg]
        self._gloo = gloo
        self._ranks = list(ranks)
        self._device = device
        self._network = Network(device.emulation)
        self._last: EmulatedWork | None = None
        self._messages: dict[tuple[int, int], EmulatedWork] = {}
        """The last message from one place of the group to another."""
        self._name = self._description = ""

    def allreduce(self, tensors: Any, opts: Any = None) -> EmulatedWork:
        tensors, message = _several(tensors), self._carries("all_reduce", tensors, tensors)
        cost_s = self._network.all_reduce_s(self._ranks, message.bytes)
        return self._reduction("allreduce", [([tensor],) for tensor in tensors], message, cost_s, tensors, opts)

    def allreduce_coalesced(self, tensors: Any, opts: Any = None) -> EmulatedWork:
        options = dist.AllreduceOptions()
        if opts is not None:
            options.reduceOp = opts.reduceOp
        return self.allreduce(tensors, options)

    def reduce(self, tensors: Any, opts: Any) -> EmulatedWork:
        tensors = _several(tensors)
        message = self._carries("reduce", tensors, tensors if opts.rootRank == self.rank() else ())
        cost_s = self._network.broadcast_s(self._ranks, message.bytes)
        return self._reduction("reduce", [([tensor],) for tensor in tensors], message, cost_s, tensors, opts)

    def reduce_scatter(self, outputs: Any, inputs: Any, opts: Any = None) -> EmulatedWork:
        with _unseen():
            parts = [torch.cat([part.reshape(-1) for part in tensors]) for tensors in inputs]
        return self.reduce_scatter_single_coalesced(_several(outputs), parts, opts)

    def reduce_scatter_single(self, output: torch.Tensor, whole: torch.Tensor, opts: Any = None) -> EmulatedWork:
        return self.reduce_scatter_single_coalesced([output], [whole], opts)

    def reduce_scatter_single_coalesced(self, outputs: Any, wholes: Any, opts: Any = None) -> EmulatedWork:
        message = self._carries("reduce_scatter", wholes, outputs)
        cost_s = self._network.all_gather_s(self._ranks, message.bytes)
        with _unseen():
            calls = [(output.view(-1), whole.view(-1)) for output, whole in zip(outputs, wholes, strict=True)]
        opts = opts or dist.ReduceScatterOptions()
        return self._reduction("_reduce_scatter_base", calls, message, cost_s, outputs, opts)

    def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> EmulatedWork:
        del opts
        message = self._carries("all_gather", inputs, outputs)
        cost_s = self._network.all_gather_s(self._ranks, message.bytes)
        return self._collective(lambda: [self._gloo.allgather(outputs, inputs)], message, cost_s, outputs[0])

    def all_gather_single(self, output: torch.Tensor, part: torch.Tensor, opts: Any = None) -> EmulatedWork:
        return self.all_gather_single_coalesced([output], [part], opts)

    def all_gather_single_coalesced(self, outputs: Any, parts: Any, opts: Any = None) -> EmulatedWork:
        del opts
        message = self._carries("all_gather", parts, outputs)
        cost_s = self._network.all_gather_s(self._ranks, message.bytes)
        pairs = list(zip(outputs, parts, strict=True))
        return self._collective(
            lambda: [self._gloo._allgather_base(*pair) for pair in pairs],  # noqa: SLF001
            message,
            cost_s,
            outputs,
        )

    def broadcast(self, tensors: Any, opts: Any) -> EmulatedWork:
        root = opts.rootRank == self.rank()
        message = self._carries("broadcast", tensors if root else (), () if root else tensors)
        cost_s = self._network.broadcast_s(self._ranks, message.bytes)
        return self._collective(lambda: [self._gloo.broadcast(tensors, opts)], message, cost_s, tensors)

    def alltoall(self, outputs: Any, inputs: Any, opts: Any = None) -> EmulatedWork:
        del opts
        message = self._carries("all_to_all", inputs, outputs)
        cost_s = self._network.all_to_all_s(self._ranks, message.bytes_in)
        return self._collective(lambda: self._exchange(outputs, inputs), message, cost_s, outputs)

    def alltoall_base(
        self, output: Any, whole: Any, output_sizes: Any, input_sizes: Any, opts: Any = None
    ) -> EmulatedWork:
        del opts
        message = self._carries("all_to_all", [whole], [output])
        cost_s = self._network.all_to_all_s(self._ranks, message.bytes_in)
        data = (output, whole, output_sizes, input_sizes)
        return self._collective(lambda: [self._gloo.alltoall_base(*data)], message, cost_s, [output])

    def gather(self, outputs: Any, inputs: Any, opts: Any) -> EmulatedWork:
        message = self._carries("gather", inputs, outputs)
        cost_s = self._network.star_s(self._ranks, opts.rootRank, message.bytes_in)
        return self._collective(
            lambda: [self._gloo.gather(outputs, inputs, opts)], message, cost_s, [*itertools.chain(*outputs)]
        )

    def scatter(self, outputs: Any, inputs: Any, opts: Any) -> EmulatedWork:
        message = self._carries("scatter", inputs, outputs)
        cost_s = self._network.star_s(self._ranks, opts.rootRank, message.bytes_out)
        return self._collective(lambda: [self._gloo.scatter(outputs, inputs, opts)], message, cost_s, outputs)

    def barrier(self, opts: Any = None) -> EmulatedWork:
        del opts
        message = self._carries("barrier", (), ())
        return self._collective(list, message, self._network.all_reduce_s(self._ranks, 0), [])

    def send(self, tensors: Any, target: int, tag: int = 0) -> EmulatedWork:
        return self._message(self.rank(), target, tensors, tag)

    def recv(self, tensors: Any, source: int, tag: int = 0) -> EmulatedWork:
        return self._message(source, self.rank(), tensors, tag)

    def recv_anysource(self, tensors: Any, tag: int = 0) -> EmulatedWork:
        raise NotImplementedError("emulated devices receive from a rank that is named, as NCCL does")

    def _reduction(  # noqa: PLR0913, PLR0917
        self,
        name: str,
        calls: Sequence[tuple[Any, ...]],
        message: Message,
        cost_s: float,
        outputs: Sequence[torch.Tensor],
        opts: Any,
    ) -> EmulatedWork:
        """A collective that reduces. A mean is a sum, divided: gloo knows none."""
        opts = opts or dist.AllreduceOptions()
        mean = opts.reduceOp == dist.ReduceOp.AVG
        if mean:
            opts.reduceOp = dist.ReduceOp.SUM

        def start() -> list[Any]:
            return [getattr(self._gloo, name)(*call, opts) for call in calls]

        return self._collective(start, message, cost_s, outputs, divisor=self.size() if mean else 1)

    def _carries(self, kind: str, sent: Any, received: Any) -> Message:
        """A collective's message on this rank."""
        size = self.size()
        return Message(kind, self._name, size, size, tensor_bytes(sent), tensor_bytes(received))

    def _collective(
        self,
        start: Callable[[], Sequence[Any]],
        message: Message,
        cost_s: float,
        outputs: Sequence[torch.Tensor],
        divisor: int = 1,
    ) -> EmulatedWork:
        """One whose data are under way after ``start``, and which takes ``cost_s`` seconds once all ranks are here."""
        device, before = self._device, self._last

        def send() -> EmulatedWork:
            device.enqueue()
            instant = np.array([device.ready_s()])
            with _unseen():
                latest = torch.from_numpy(instant)
                works = [*start(), self._gloo.allreduce([latest], _greatest())]

            def finish() -> float:
                free_s = before.settle() if before else 0.0
                for work in works:
                    work.wait()
                for output in outputs if divisor > 1 else ():
                    output.div_(divisor)
                return max(free_s, float(instant[0])) + cost_s

            return EmulatedWork(device, finish, outputs)

        self._last = communication.sent(message, send)
        return self._last

    def _message(self, source: int, target: int, tensors: Sequence[torch.Tensor], tag: int) -> EmulatedWork:
        """One message between two places of this group, as one of them sees it."""
        device, before = self._device, self._messages.get((source, target))
        sends, size = source == self.rank(), tensor_bytes(tensors)
        channel = f"{self._name} {source}>{target}#{tag}"
        message = Message("send" if sends else "recv", channel, 2, self.size(), size * sends, size * (not sends))
        cost_s = self._network.transfer_s(self._ranks[source], self._ranks[target], size)
        peer = target if sends else source

        def send() -> EmulatedWork:
            device.enqueue()
            instant, other = np.array([device.ready_s()]), np.zeros(1)
            with _unseen():
                mine, theirs = torch.from_numpy(instant), torch.from_numpy(other)
                works = [
                    (self._gloo.send if sends else self._gloo.recv)(tensors, peer, tag),
                    self._gloo.send([mine], peer, tag + (SENDERS if sends else RECEIVERS)),
                    self._gloo.recv([theirs], peer, tag + (RECEIVERS if sends else SENDERS)),
                ]

            def finish() -> float:
                free_s = before.settle() if before else 0.0
                for work in works:
                    work.wait()
                return max(free_s, float(instant[0]), float(other[0])) + cost_s

            return EmulatedWork(device, finish, tensors)

        work: EmulatedWork = communication.sent(message, send)
        self._messages[source, target] = work
        return work

    def _exchange(self, outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]) -> list[Any]:
        """Start to send a tensor to each rank and to receive one from each."""
        outputs[self.rank()].copy_(inputs[self.rank()])
        others = [place for place in range(self.size()) if place != self.rank()]
        return [
            *(self._gloo.send([inputs[place].contiguous()], place, EXCHANGES) for place in others),
            *(self._gloo.recv([outputs[place]], place, EXCHANGES) for place in others),
        ]

    def setGroupName(self, name: str) -> None:
        self._name = name

    def getGroupName(self) -> str:
        return self._name

    def setGroupDesc(self, description: str) -> None:
        self._description = description

    def getGroupDesc(self) -> str:
        return self._description

    group_name = property(getGroupName)
    group_desc = property(getGroupDesc)

    def getBackendName(self) -> str:
        return BACKEND


@contextmanager
def _unseen() -> Iterator[None]:
    """Within the block the group's own operations cost the device nothing, and are not counted as work."""
    with _disable_current_modes():
        yield


def _several(tensors: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)


def _greatest() -> dist.AllreduceOptions:
    options = dist.AllreduceOptions()
    options.reduceOp = dist.ReduceOp.MAX  # type: ignore[assignment]
    return options


def register() -> None:
    """Make the backend known to PyTorch, once a process."""
    if BACKEND.upper() not in dist.Backend._plugins:  # noqa: SLF001
        dist.Backend.register_backend(BACKEND, _created, extended_api=True, devices=["cpu"])


def _created(options: Any, _: Any) -> EmulatedGroup:
    device = current()
    assert device is not None, "this process has no emulated device"
    size = options.group_size
    gloo = dist.ProcessGroupGloo(options.store, options.group_rank, size, options.timeout)
    return EmulatedGroup(gloo, options.global_ranks_in_group or range(size), device)
