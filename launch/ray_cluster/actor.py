"""One rank of a gang on a Ray cluster, as an actor."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import ray

from harness.common.errors import CollectiveError, GangLostError
from harness.journal.plan import Record
from harness.journal.protocol import Order, VisitNote
from harness.world.control import StopRequest
from launch.processes.cleanup import MARK
from launch.processes.network import stay_within_this_host, tell_gloo
from launch.processes.scratch import lent

ECHOES = (CollectiveError, GangLostError, RuntimeError)
"""Errors of a rank whose peers are gone; gloo and NCCL raise RuntimeError."""


class Seat(NamedTuple):
    """The place of an actor; seats sort into the order of ranks: by node, and there by GPU."""

    away: bool
    """Whether it is on another node than the driver."""
    ip: str
    node: str
    gpu: int
    """Its GPU's index on the node; -1 without one."""
    pid: int
    number: int
    """The actor's index in the gang."""


class Farewell(NamedTuple):
    """The result of a rank."""

    sent: int
    """Number of lines that it has sent to the mailbox."""
    words: str | None = None
    """Its traceback if it failed."""
    echo: bool = False
    """Whether it may have failed only because another rank was lost."""


class Rank:
    """One rank as an actor: a process of its own on the node that has its device."""

    def __init__(self, folder: str) -> None:
        """Stand in line as the node's own processes do, and load what takes seconds while the other ranks do, too.

        ``folder`` is where the run was started: a scenario may be imported from there.
        Ray has its workers give way to all other processes. Where that may not be undone, the journal has it.
        """
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))
        sys.path.append(folder)  # last: no file there takes the place of a module of ours or of Python's
        from harness.measure import worker  # noqa: F401
        from harness.work import counting
        from harness.world import world  # noqa: F401

        counting.ready()

    def sit(self, driver: str, number: int) -> Seat:
        """The place of this actor."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        node, ip = context.get_node_id(), ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        gpu = index(gpus[0], os.environ.get("CUDA_VISIBLE_DEVICES")) if gpus else -1
        return Seat(node != driver, ip, node, gpu, os.getpid(), number)

    def host(self, ip: str) -> int:
        """Keep the store at which the ranks meet, on this address alone; returns its port."""
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with socket.create_server((ip, 0), family=family) as listener:
            port: int = listener.getsockname()[1]
            self._store = TCPStore(
                ip,
                port,
                is_master=True,
                wait_for_workers=False,
                multi_tenant=True,
                master_listen_fd=listener.detach(),
            )
        return port

    def run(self, environment: dict[str, str], device: str, order_json: str, mailbox: Any) -> Farewell:
        """Carry out an order as one rank, and send its records to the mailbox."""
        import traceback

        from harness.measure import worker
        from harness.world import world

        os.environ |= environment
        if ip_address(environment["NODE_IP"]).is_loopback:  # a cluster of our own
            stay_within_this_host()
        tell_gloo(environment["NODE_IP"])
        stop_request = StopRequest()
        outbox = Outbox(int(environment["RANK"]), mailbox, stop_request)
        words, echo = None, False
        try:
            with (
                _housed(Order.model_validate_json(order_json)) as order,
                world.joined(order.plan, device, supervised=True) as joined,
                joined.watchdog.posted(joined.rank, order.plan.deadline_s, outbox.send),
            ):
                joined.control.stop_request = stop_request
                worker.run(order, joined, outbox.send)
        except BaseException as error:  # noqa: BLE001
            words, echo = traceback.format_exc()[-4000:], isinstance(error, ECHOES)
        return Farewell(outbox.close(), words, echo)


class Outbox:
    """Sends a rank's numbered lines to the mailbox, from any thread: its watchdog's thread sends too."""

    def __init__(self, rank: int, mailbox: Any, stop_request: StopRequest) -> None:
        """``stop_request`` is set if the mailbox answers that the run is to stop."""
        self._rank = rank
        self._mailbox = mailbox
        self._stop_request = stop_request
        self._lock = threading.Lock()
        self._sent = 0
        self._unanswered: list[Any] = []

    def send(self, record: Record) -> None:
        """Send a record, and go on at once; a note of a visit, before which nothing is timed, also reads answers."""
        with self._lock:
            text = record.model_dump_json(by_alias=True)
            self._unanswered.append(self._mailbox.put.remote(self._rank, self._sent, text))
            self._sent += 1
            if isinstance(record, VisitNote):
                count = len(self._unanswered)
                answered, self._unanswered = ray.wait(self._unanswered, num_returns=count, timeout=0)
                self._stop_request.asked |= any(ray.get(answered))

    def close(self) -> int:
        """Wait until every line is in the mailbox; returns how many there are."""
        with self._lock:
            ray.get(self._unanswered)
            self._unanswered = []
            return self._sent


def index(gpu: str, visible: str | None) -> int:
    """PyTorch's index of the GPU that Ray calls ``gpu``: its place in CUDA_VISIBLE_DEVICES, if that is set."""
    names = [name.strip() for name in visible.split(",")] if visible else []
    return names.index(gpu) if gpu in names else int(gpu)


@contextlib.contextmanager
def _housed(order: Order) -> Iterator[Order]:
    """The order with a folder for files that exists on this host."""
    with lent(Path(order.scratch), os.environ[MARK], first=os.environ["LOCAL_RANK"] == "0") as folder:
        yield order.model_copy(update={"scratch": folder})
