"""What lives on a Ray cluster: one rank as an actor, and the mailbox in which rank 0 leaves what it has to tell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ray

from harness.halt import Halt
from harness.messages import Order, VisitNote
from harness.plan import Record
from launch.network import tell_gloo
from launch.scratch import lent


class Seat(NamedTuple):
    """Where an actor lives; seats sort into the order of ranks: by node, and there by GPU."""

    away: bool
    """Whether it is on another node than the driver."""
    ip: str
    node: str
    gpu: int
    """Its GPU's index on the node; -1 without one."""
    pid: int
    number: int
    """Which of the gang's actors it is."""


class Rank:
    """One rank, as an actor: a process of its own on the node that has its device."""

    def __init__(self) -> None:
        """Stand in line as the node's own processes do, and load what takes seconds while the other ranks do, too.

        Ray has its workers give way to all other processes. Where that may not be undone, the journal has it.
        """
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))
        from harness import ledger, worker, world  # noqa: F401

        ledger.ready()

    def sit(self, driver: str, number: int) -> Seat:
        """Where this actor is."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        node, ip = context.get_node_id(), ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        gpu = index(gpus[0], os.environ.get("CUDA_VISIBLE_DEVICES")) if gpus else -1
        return Seat(node != driver, ip, node, gpu, os.getpid(), number)

    def host(self, ip: str) -> int:
        """Keep the store at which the ranks meet; returns its port."""
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        self._store = TCPStore(ip, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
        return self._store.port

    def run(self, environment: dict[str, str], device: str, order_json: str, mailbox: Any) -> str | None:
        """Carry out an order as one rank. Returns None, or its last words where it failed."""
        import traceback

        from harness import worker, world

        os.environ |= environment
        tell_gloo(environment["NODE_IP"])
        sent: list[Any] = []
        halt = Halt()

        def tell(record: Record) -> None:
            before, sent[:] = sent[:], [mailbox.put.remote(record.model_dump_json(by_alias=True))]
            if isinstance(record, VisitNote) and before:  # only here: it takes a while, and nothing may be late
                halt.asked |= any(ray.get(ray.wait(before, timeout=0)[0]))

        try:
            with (
                _housed(Order.model_validate_json(order_json)) as order,
                world.joined(order.plan, device, supervised=True) as joined,
                joined.sentry.posted(joined.rank, order.plan.deadline_s, tell),
            ):
                joined.agreement.halt = halt
                worker.run(order, joined, tell)
        except BaseException:  # noqa: BLE001
            return traceback.format_exc()[-4000:]
        finally:
            ray.get(sent)  # they arrive in turn: with the last one all are there
        return None


def index(gpu: str, visible: str | None) -> int:
    """What PyTorch calls the GPU that Ray calls ``gpu``: its place in CUDA_VISIBLE_DEVICES, where that is set."""
    names = [name.strip() for name in visible.split(",")] if visible else []
    return names.index(gpu) if gpu in names else int(gpu)


@contextlib.contextmanager
def _housed(order: Order) -> Iterator[Order]:
    """The order with a folder for files that exists on this host."""
    gang = f"{os.environ['MASTER_ADDR']}-{os.environ['MASTER_PORT']}"
    with lent(Path(order.scratch), gang, first=os.environ["LOCAL_RANK"] == "0") as folder:
        yield order.model_copy(update={"scratch": folder})


class Mailbox:
    """Holds what rank 0 tells until the driver fetches it: nothing is lost while the driver cannot be reached."""

    def __init__(self) -> None:
        import asyncio

        self._lines: list[str] = []
        self._halted = False
        self._came = asyncio.Event()

    async def halt(self) -> None:
        """Whoever puts a line from now on is told to end."""
        self._halted = True

    async def put(self, line: str) -> bool:
        """Keep a line; whether to end."""
        self._lines.append(line)
        self._came.set()
        return self._halted

    async def take(self, seen: int, timeout_s: float) -> list[str]:
        """The lines after the first ``seen``; waits for one, but not for longer than ``timeout_s``."""
        import asyncio

        if len(self._lines) <= seen:
            self._came.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._came.wait(), timeout_s)
        return self._lines[seen:]
