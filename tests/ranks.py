"""Two real ranks that talk gloo, started once for all tests that need them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from harness.gang import Gang, seeded
from tests.limits import LIMIT_S

T = TypeVar("T")


def gang(rank: int, size: int, folder: Path = Path("scratch"), groups: dict[int, Any] | None = None) -> Gang:
    """A gang on CPUs, seen from one rank; its generators start anew."""
    cpu = torch.device("cpu")
    return Gang(rank, size, cpu, seeded(cpu, rank), seeded(cpu, "shared"), folder, groups or {})


def _join(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    due = dt.timedelta(seconds=LIMIT_S)
    dist.init_process_group("gloo", timeout=due, init_method=f"file://{folder}/store", rank=rank, world_size=size)


def _call(action: Callable[..., T], rank: int, size: int, folder: Path, args: tuple[Any, ...]) -> T:
    return action(gang(rank, size, folder / "scratch", {size: dist.group.WORLD}), *args)


class Ranks:
    """Processes of one gang."""

    def __init__(self, size: int, folder: Path) -> None:
        self.size = size
        self.folder = folder
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        self._pools = [
            ProcessPoolExecutor(1, get_context("spawn"), initializer=_join, initargs=(rank, size, folder))
            for rank in range(size)
        ]

    def do(self, action: Callable[..., T], *args: Any) -> list[T]:
        """``action(gang, *args)`` on every rank at once; what each returned. It must be importable: no lambda."""
        told = [pool.submit(_call, action, rank, self.size, self.folder, args) for rank, pool in enumerate(self._pools)]
        try:
            return [each.result(timeout=LIMIT_S) for each in told]
        except TimeoutError:
            self.close()  # no later test waits for one that hangs
            raise

    def close(self) -> None:
        """End them, whatever they do."""
        for pool in self._pools:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)
