"""One rank of a gang that rankbench started: it measures, and sends its records to the run's parent."""

import faulthandler
import multiprocessing
import os
import signal
import socket
import threading
import traceback
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from harness.journal.protocol import Order
from harness.measure import worker
from harness.world import world
from harness.world.control import StopRequest
from launch.local import stack_dumps
from launch.local.channel import Client
from launch.processes.cleanup import tie_to_parent


def main(
    address: str, environment: dict[str, str], order_json: str, logs: Path, listener: socket.socket | None
) -> None:
    """Join the gang that ``environment`` describes and carry out the order; what is printed goes to ``logs``.

    Rank 0 gets the ``listener`` at which the ranks meet.
    """
    tie_to_parent()
    faulthandler.register(signal.SIGUSR2)  # what does not answer is asked for its stack, which goes to its log
    os.environ |= environment
    parent = Client(address)
    parent.send({"type": "hello", "rank": int(os.environ["RANK"]), "pid": os.getpid()})
    stop_request = StopRequest()
    threading.Thread(target=_heed, args=(parent, stop_request), daemon=True).start()
    try:
        _print_to(logs)
        multiprocessing.set_start_method(None, force=True)  # the platform's own, for what a scenario starts
        order = Order.model_validate_json(order_json)
        with (
            world.joined(order.plan, store=_store(listener), supervised=True) as joined,
            joined.watchdog.posted(joined.rank, order.plan.deadline_s, parent.send),
        ):
            joined.control.stop_request = stop_request
            worker.run(order, joined, parent.send)
    except BaseException:  # noqa: BLE001
        parent.send({"type": "words", "words": traceback.format_exc()[-4000:]})
        os._exit(70)  # peers may be gone: no orderly farewell, which can take half a minute
    parent.send({"type": "bye"})


def _print_to(logs: Path) -> None:
    """Redirect the output of this process and its children to files of this rank."""
    for number, path in enumerate(stack_dumps.logs_of(int(os.environ["RANK"]), logs), start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, number)
        os.close(file)


def _store(listener: socket.socket | None) -> TCPStore:
    """Where the ranks meet. Who asks before rank 0 keeps it waits: its socket listens already."""
    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=listener is not None,
        timeout=world.UNLIMITED,
        wait_for_workers=False,
        master_listen_fd=None if listener is None else listener.detach(),
    )


def _heed(parent: Client, stop_request: StopRequest) -> None:
    """Sleep in the kernel until the run's parent asks for a halt, or hangs up, which it does only when it ends."""
    for _ in parent.messages():
        stop_request.asked = True
    os._exit(70)
