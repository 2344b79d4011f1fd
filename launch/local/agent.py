"""The agent: a process that starts gangs of ranks, one after the other, from a warm fork server.

It stands between the run's parent and its ranks so that these are forks of a process that has imported PyTorch once,
with no thread of the parent in them, and nothing that it holds. It imports no PyTorch itself. It tells the parent of
each rank's end as it comes, and ends none: that is for the parent, who judges them.
"""

import os
import socket
import sys
import time
import traceback
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from launch.local.channel import Client
from launch.local.gang_state import how_it_ended
from launch.processes.cleanup import tie_to_parent
from launch.processes.network import loopback

FORK_SERVER = get_context("forkserver")
UNKNOWN = 255
"""multiprocessing's exit code for a process whose fork server has not reported its end."""
END_S = 1.0
"""A fork server that has closed its connection must end within this time."""


def main(address: str, parent: int) -> None:
    """Carry out launch after launch until the parent hangs up."""
    tie_to_parent(parent)
    sys.path.append(str(Path.cwd()))  # last: no file there takes the place of a module of ours or of Python's
    client = Client(address)
    try:
        FORK_SERVER.set_forkserver_preload(["launch.local.preload"])
        resource_tracker.ensure_running()  # what is started later is taken for a rank's
        forkserver.ensure_running()
        client.send({"type": "agent"})
        for message in client.messages():
            _launch(client, address, **message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to know
        traceback.print_exc()
        words = "its fork server has ended" if isinstance(error, EOFError | ConnectionError) else repr(error)
        client.send({"type": "trouble", "words": f"the launching process could not start the ranks: {words}"})
        os._exit(70)  # and with it what was started


def _launch(client: Client, address: str, ranks: int, order: str, logs: str) -> None:
    """Start ``ranks`` ranks, and tell the parent of each one's exit code: minus the signal, where one killed it.

    Of ranks that have ended with the fork server there is none: the parent is told of that one's end.
    """
    Path(logs).mkdir(parents=True, exist_ok=True)
    running: dict[Any, tuple[int, ForkServerProcess]] = {}
    with loopback() as listener:  # where the ranks meet; the first has it then
        for rank in range(ranks):
            line = (address, _environment(rank, ranks, listener), order, logs, None if rank else listener)
            process = FORK_SERVER.Process(target=run_rank, args=line)
            process.start()
            running[process.sentinel] = rank, process
    while running:
        for sentinel in wait(list(running)):
            rank, process = running.pop(sentinel)
            process.join()
            code = process.exitcode
            if code == UNKNOWN and (ended := _fork_server_code()) is not None:
                code = None
                words = f"the fork server, whose children the ranks are, {how_it_ended(ended)}"
                client.send({"type": "trouble", "words": words})
            client.send({"type": "exit", "rank": rank, "code": code})
            process.close()


def _fork_server_code() -> int | None:
    """The exit code of the fork server, minus the signal where one killed it; None where it lives."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined] # noqa: SLF001 - nothing else tells of it
    until_s = time.monotonic() + END_S
    while pid is not None and time.monotonic() < until_s:  # its pipes are closed a little before it has ended
        if done := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return done.si_status if done.si_code == os.CLD_EXITED else -done.si_status
        time.sleep(0.01)
    return None


def _environment(rank: int, ranks: int, listener: socket.socket) -> dict[str, str]:
    """The variables that torchrun sets for a rank of a gang on one host."""
    host, port, *_ = listener.getsockname()
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }


def run_rank(address: str, environment: dict[str, str], order: str, logs: str, listener: socket.socket | None) -> None:
    """Run as a rank, in a fork of the fork server, which has imported everything."""
    from launch.local import rank

    rank.main(address, environment, order, Path(logs), listener)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
