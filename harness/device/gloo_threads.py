"""gloo's event loops, in the background of the core that they share with a rank.

A message that wakes the loop while another thread holds the connection's lock makes it spin: it tries the lock and
polls again. Where a rank has one core, the thread with the lock waits for it until the scheduler's tick. A thread of
the batch class does not preempt the others, so that they release the lock first; nor is it starved (docs/findings.md).
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

LOOP = "gloo_tcp_loop"
"""The name that gloo gives to the thread of each of its devices."""
COMMUNICATION = (LOOP, "pt_gloo_runloop", "pt_tcpstore")
"""The first letters of the names of threads that carry messages."""


def threads(prefixes: tuple[str, ...] = COMMUNICATION) -> Iterator[int]:
    """The threads of this process, by their numbers, whose names begin with one of ``prefixes``."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            if (task / "comm").read_text().startswith(prefixes):
                yield int(task.name)


def to_background() -> None:
    """Put all event loops of this process that there are now into the scheduler's batch class."""
    for thread in threads((LOOP,)):
        with suppress(OSError):  # it has just ended, or this host lets no thread change its class
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))


def refusal() -> str | None:
    """Why this host lets no thread of ours change its class, as under a scheduler's idle class; None where it does."""
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(os.sched_setscheduler, 0, os.SCHED_BATCH, os.sched_param(0)).result()
        except OSError as error:
            return error.strerror or type(error).__name__
    return None
