"""One rank of a user's script, in a fresh interpreter: python -P -m launch.local.script_rank ADDRESS SETUP."""

import faulthandler
import os
import queue
import signal
import sys
import threading
import traceback

from pydantic import BaseModel

from harness.common.packages import IMPORTED
from harness.journal.plan import Script
from launch.local.channel import Client
from launch.processes.cleanup import tie_to_parent

BEAT_S = 1.0
"""Interval of heartbeats of a rank that waits for the others."""


class Setup(BaseModel):
    """What a rank must know besides its environment."""

    script: Script
    parent: int
    """The process that started it."""
    rank: int
    cpus: tuple[int, ...]
    """The CPUs that it runs on."""
    deadline_s: float
    search_path: str | None
    """The user's PYTHONPATH, which the script gets back."""


def main(address: str, setup: Setup) -> None:
    """Run the script, and send its measurements to the run's parent."""
    tie_to_parent(setup.parent)
    os.sched_setaffinity(0, setup.cpus)  # before PyTorch starts threads
    faulthandler.register(signal.SIGUSR2)
    _restore_search_path(setup.search_path)
    parent = Client(address)
    parent.send({"type": "hello", "rank": setup.rank, "pid": os.getpid()})
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_heed, args=(parent, answers), daemon=True).start()
    try:
        _run(setup, parent, answers)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent has to know
        words = traceback.format_exc()
        if isinstance(error, SystemExit):
            words = f"the script ended by sys.exit({error.code!r})"
        print(words, file=sys.stderr, flush=True)  # noqa: T201
        parent.send({"type": "words", "words": words[-4000:]})
        os._exit(70)  # peers may be gone: no orderly farewell, which can take half a minute
    parent.send({"type": "bye"})


def _run(setup: Setup, parent: Client, answers: "queue.SimpleQueue[int]") -> None:
    from harness.measure.script.session import Session
    from harness.world.watchdog import Watchdog

    watchdog = Watchdog()

    def steps() -> int:
        while True:
            try:
                return answers.get(timeout=BEAT_S)
            except queue.Empty:
                watchdog.beat()

    with watchdog.posted(setup.rank, setup.deadline_s, parent.send):
        Session(setup.script, setup.rank, parent.send, steps, watchdog).run_program()


def _restore_search_path(variable: str | None) -> None:
    """Let what the script imports and starts see the user's PYTHONPATH; our packages are found after all others."""
    os.environ.pop("PYTHONPATH", None)
    if variable is not None:
        os.environ["PYTHONPATH"] = variable
    if str(IMPORTED) in sys.path:
        sys.path.remove(str(IMPORTED))
        sys.path.append(str(IMPORTED))


def _heed(parent: Client, answers: "queue.SimpleQueue[int]") -> None:
    """Pass on how many steps to do; end with the run's parent, which hangs up only when it ends."""
    for message in parent.messages():
        answers.put(message["steps"])
    os._exit(70)


if __name__ == "__main__":
    main(sys.argv[1], Setup.model_validate_json(sys.argv[2]))
