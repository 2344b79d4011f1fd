"""The launcher of a user's script: a fresh start for each world size, in random order, one after the other."""

import datetime as dt
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self

import psutil

from harness.device import fingerprint
from harness.device.device import cpus_of
from harness.device.timing import now
from harness.journal.plan import Plan, Record, Side, rounds
from harness.journal.protocol import Order
from harness.journal.records import CellRecord, LaunchRecord, Rank
from harness.world.control import StopRequest
from launch.launcher import Ending, Hear, Launcher
from launch.local import stack_dumps
from launch.local.script_cell import Turn, judged, measured
from launch.local.script_gang import ScriptGang
from launch.processes.cleanup import temporary

ALONE = "the script makes no process group: {size} processes would be as many scripts that know nothing of each other"


LONGEST = 2 << 20
"""Bytes kept of a rank's log."""


class ScriptLauncher(Launcher):
    """Starts the script of a plan with one process per device of each case; kills processes that do not end in time."""

    def __init__(self, logs: Path, side: Side, stop_request: StopRequest) -> None:
        """``logs`` is a folder for what the script prints; it runs as ``side`` says."""
        self._logs = logs
        self._side = side
        self._stop_request = stop_request
        self._stack = ExitStack()
        self._mark = self._stack.enter_context(temporary())
        self._alone = False
        """Whether the script has turned out to be a single process's."""

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Run each case of the order once, and write a cell for each case that was begun and not stopped."""
        todo = [(index, case) for index, cases in order.todo.items() for case in cases]
        (turns,) = islice(rounds(len(todo), order.plan.seed, "script", order.launch, order.attempt), 1)
        end_s = time.monotonic() + order.budget_s
        for place, number in enumerate(turns):
            if self._stop_request.asked:
                return None
            left_s = end_s - time.monotonic()
            turn = Turn(order.launch, *todo[number], place)
            hear(turn.begun())
            hear(turn.visit())
            cell = self._measure(order, turn, left_s / (len(turns) - place), hear)
            if cell is not None:
                hear(cell)
        return None

    def _measure(self, order: Order, turn: Turn, budget_s: float, hear: Hear) -> CellRecord | None:
        """The cell of one start; None if it was stopped."""
        size = turn.case.world_size
        alone = Ending("skipped", ALONE.format(size=size))
        if self._alone and size > 1:
            return turn.failed(alone)
        attempt = order.attempt + turn.place
        logs = self._logs / f"launch-{order.launch}-{attempt}-on-{size}"
        origin_s, started = now(), dt.datetime.now(dt.UTC)
        cpus = _cpus(order.plan, size)

        def up(pids: Mapping[int, int]) -> Record:
            record = _launch_record(order, attempt, started, pids, cpus)
            hear(record)
            return record

        gang = ScriptGang(
            plan=order.plan,
            side=self._side,
            case=turn.case,
            cpus=cpus,
            mark=self._mark,
            logs=logs,
            up=up,
            moved=lambda: hear(turn.visit()),
            stop_asked=lambda: self._stop_request.asked,
            budget_s=budget_s,
        )
        ending = gang.run()
        self._alone |= gang.alone
        if self._stop_request.asked and len(gang.notes) < size:
            return None
        bad = alone if gang.alone else judged(gang.notes, size, ending)
        cell = measured(gang.notes, turn, origin_s) if bad is None else turn.failed(self._with_log(bad, logs))
        _tidy(logs)
        return cell

    def _with_log(self, ending: Ending, logs: Path) -> Ending:
        """The same, and where to read more of what the rank said, if it said anything."""
        path = stack_dumps.logs_of(ending.rank or 0, logs)[1]
        if ending.status == "skipped" or not stack_dumps.tail(path):
            return ending
        return replace(ending, message=f"{ending.message}; see {path.relative_to(self._logs.parent)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _cpus(plan: Plan, size: int) -> list[tuple[int, ...]]:
    """The CPUs of each rank: the same for a device at every world size."""
    devices = plan.devices
    return [
        cpus_of(name, plan.threads, devices[:rank].count(name), devices.count(name))
        for rank, name in enumerate(devices[:size])
    ]


def _launch_record(
    order: Order, attempt: int, started: dt.datetime, pids: Mapping[int, int], cpus: list[tuple[int, ...]]
) -> LaunchRecord:
    plan, host = order.plan, socket.gethostname()
    models = {device["name"]: device.get("model") for device in fingerprint.describe(plan.devices)["devices"]}
    return LaunchRecord(
        launch=order.launch,
        attempt=attempt,
        launcher=plan.side_of(order.launch).launcher,
        started=started.isoformat(timespec="microseconds"),
        fingerprint=order.fingerprint,
        lead_s=0.0,
        ranks=tuple(
            Rank(
                rank=rank,
                host=host,
                pid=pids[rank],
                device=plan.devices[rank],
                device_name=str(models.get(plan.devices[rank]) or plan.devices[rank]),
                cpus=cpus[rank],
                threads=plan.threads,
                niceness=psutil.Process().nice(),
            )
            for rank in sorted(pids)
        ),
        variables=fingerprint.variables(),
    )


def _tidy(logs: Path) -> None:
    """Remove logs in which nothing was written, and the middle of those that are long."""
    for path in logs.iterdir():
        if not path.stat().st_size:
            path.unlink()
        elif path.stat().st_size > LONGEST:
            _shorten(path)
    if not any(logs.iterdir()):
        logs.rmdir()


def _shorten(path: Path) -> None:
    """Keep the beginning and the end of a log."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size - LONGEST // 2)
        end = file.read()
        file.seek(LONGEST // 2)
        file.write(f"\n[rankbench: {size - LONGEST} bytes are left out here]\n".encode() + end)
        file.truncate()
