"""The agent: a process that starts gangs with PyTorch's elastic launcher, one after the other, from a warm fork server.

It stands between the run's parent and its ranks so that the parent can end it at any deadline:
the elastic launcher itself may wait for ever for a rank that left with exit code 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, resource_tracker
from typing import Any

from launch.channel import Client
from launch.lifeline import tie_to_parent


def main(address: str, parent: int) -> None:
    """Carry out launch after launch until the parent hangs up."""
    tie_to_parent(parent)
    get_context("forkserver").set_forkserver_preload(["launch.preload"])
    resource_tracker.ensure_running()  # what is started later is taken for a rank's
    forkserver.ensure_running()  # imports torch while this process does
    client = Client(address)
    client.send({"type": "agent"})
    for message in client.messages():
        client.send({"type": "ended", "exits": _launch(address, **message)})


def _launch(address: str, ranks: int, order: str, logs: str) -> dict[int, int]:
    """Start ``ranks`` ranks and wait for them. Returns each one's exit code: minus the signal, where one killed it."""
    import uuid

    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from launch import rank

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.05,
        start_method="forkserver",
        logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=Std.ALL),
    )
    with _kept() as processes, suppress(ChildFailedError):
        elastic_launch(config, rank.main)(address, order)
    return {rank: process.exitcode for rank, process in enumerate(processes)}


@contextmanager
def _kept() -> Iterator[list[Any]]:
    """The processes that are started in the block, by rank: the launcher tells of one that has failed, and no other."""
    import torch.multiprocessing

    starter: Any = torch.multiprocessing
    start, processes = starter.start_processes, list[Any]()

    def kept(*given: Any, **named: Any) -> Any:
        context = start(*given, **named)
        processes.extend(context.processes)
        return context

    starter.start_processes = kept
    try:
        yield processes
    finally:
        starter.start_processes = start


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
