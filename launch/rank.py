"""One rank of a gang that rankbench started: it measures, and streams what it finds to the run's parent."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
import traceback

from harness import worker, world
from harness.halt import Halt
from harness.messages import Order
from launch.channel import Client
from launch.lifeline import tie_to_parent

GRACE_S = 2.0
"""A failed rank lingers: the elastic launcher tells only of the first end that it sees, which may be another's."""


def main(address: str, order_json: str) -> None:
    """Join the gang that the environment describes and carry out the order. The elastic launcher calls this."""
    tie_to_parent()
    faulthandler.register(signal.SIGUSR2)  # what does not answer is asked for its stack, which goes to its log
    parent = Client(address)
    parent.send({"type": "hello", "rank": int(os.environ["RANK"]), "pid": os.getpid()})
    halt = Halt()
    threading.Thread(target=_heed, args=(parent, halt), daemon=True).start()
    try:
        order = Order.model_validate_json(order_json)
        with (
            world.joined(order.plan) as joined,
            joined.sentry.posted(joined.rank, order.plan.deadline_s, parent.send),
        ):
            joined.agreement.halt = halt
            worker.run(order, joined, parent.send)
    except BaseException:  # noqa: BLE001
        parent.send({"type": "words", "words": traceback.format_exc()[-4000:]})
        time.sleep(GRACE_S)
        os._exit(70)  # peers may be gone: no orderly farewell, which can take half a minute
    parent.send({"type": "bye"})


def _heed(parent: Client, halt: Halt) -> None:
    """Sleep in the kernel until the run's parent asks for a halt, or hangs up, which it does only when it ends."""
    for _ in parent.messages():
        halt.asked = True
    os._exit(70)
