"""The agent: a process that starts gangs with PyTorch's elastic launcher, one after the other, from a warm fork server.

It stands between the run's parent and its ranks so that the parent can end it at any deadline:
the elastic launcher itself may wait for ever for a rank that left with exit code 0.
"""

from __future__ import annotations

import sys
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
        client.send({"type": "ended", "failures": _launch(address, **message)})


def _launch(address: str, ranks: int, order: str, logs: str) -> dict[int, Any]:
    """Start ``ranks`` ranks and wait for them. Returns how each failed one ended."""
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
    try:
        elastic_launch(config, rank.main)(address, order)
    except ChildFailedError as error:
        return {
            rank: {"exitcode": failure.exitcode, "signal": failure.signal_name() if failure.exitcode < 0 else None}
            for rank, failure in error.failures.items()
        }
    return {}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
