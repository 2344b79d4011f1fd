"""Gangs of processes on this machine, each with the environment that torchrun would give it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import psutil

from harness.common.errors import RankbenchError, UsageError
from harness.common.packages import inherited, linked, within_reach
from harness.journal.protocol import Order, RankNote
from harness.world.control import StopRequest
from launch.launcher import Ending, Hear, Launcher
from launch.local import stack_dumps
from launch.local.channel import Peer, Server
from launch.local.gang_state import Gang, how_it_ended
from launch.processes.cleanup import KILL_S, MARK, kill_all, marked, temporary
from launch.processes.network import within_this_host
from launch.supervision.hang_detector import SETUP_S, HangDetector

FAREWELL_S = 10.0
"""After a rank has failed, or all have ended well, the others get this long to end before they are killed."""
LOOK_S = 0.5
"""Interval of checks whether the agent lives, and whether a stop is requested."""
LEAKS = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "NODE_RANK",
)
LEAKING = ("TORCHELASTIC_", "PET_")
"""Variables of an external torchrun that would send our ranks to its store."""
QUIET = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONFAULTHANDLER": "1"}


class Torchrun(Launcher):
    """Starts an agent once, and gangs through it; kills processes that do not end in time."""

    def __init__(
        self,
        logs: Path,
        python: str = sys.executable,
        variables: Mapping[str, str] | None = None,
        stop_request: StopRequest | None = None,
    ) -> None:
        """``logs`` is a folder for what the ranks themselves print. The agent starts at once, beside the caller.

        ``python`` is the ranks' interpreter; they have ``variables`` over what this process has. ``stop_request`` is
        what an interruption asks for.
        """
        self._logs = logs
        self._prepare_logs()
        self._python = python
        self._variables = dict(variables or {})
        self._stop_request = stop_request or StopRequest()
        self._server = Server()
        self._stack = ExitStack()
        self._mark = self._stack.enter_context(temporary())
        self._packages = linked(self._mark)
        self._agent = self._start()
        self._line: Peer | None = None

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order with a fresh gang of ranks."""
        line = self._reach()
        gang, detector = Gang(len(order.plan.devices)), HangDetector(len(order.plan.devices), order.plan.deadline_s)
        logs = self._logs / f"{'profile' if order.profile else 'launch'}-{order.launch}-{order.attempt}"
        with suppress(OSError):  # it has just died: that is seen at once
            line.send({"ranks": gang.size, "order": order.model_dump_json(by_alias=True), "logs": str(logs)})
        collected = self._follow(gang, detector, hear)
        if collected or gang.unwell or gang.done:
            ending, outcomes = gang.ending(), gang.outcomes()
        else:
            stack_dumps.ask(gang.pids[rank] for rank in detector.silent if rank in gang.pids)
            ending, outcomes = detector.verdict(), detector.outcomes()
        kill_all(
            marked(self._mark) - self._agents()
        )  # the ranks, and what they have started; now, so that none is blamed
        if not collected and not self._collected(gang):
            self._renew()
        if ending:
            ending = replace(ending, message=ending.message + self._see(ending, gang, logs))
            ending = replace(ending, outcomes=stack_dumps.with_stacks(outcomes, logs))
        self._tidy()
        return ending

    def _follow(self, gang: Gang, detector: HangDetector, hear: Hear) -> bool:
        """Pass on what the ranks tell. Returns whether all have been collected; else they have to be killed."""
        failed_s = float("inf")
        while not gang.over:
            detector.look()
            if (code := self._agent.poll()) is not None:
                self._hear(gang, detector, hear, 0.0)
                gang.trouble = gang.trouble or f"the launching process {how_it_ended(code)}"
                return False
            if self._stop_request.asked:
                gang.request_stop()
            left_s = min(detector.until_s, failed_s + FAREWELL_S) - time.monotonic()
            self._hear(gang, detector, hear, min(left_s, LOOK_S))
            failed_s = min(failed_s, time.monotonic()) if gang.unwell or gang.done else float("inf")
            late = left_s <= 0 and min(detector.until_s, failed_s + FAREWELL_S) <= time.monotonic()
            if late and not gang.over:  # what had come was heard first: this process may have been stopped for a while
                return False
        while self._hear(gang, detector, hear, 0.0):
            pass  # what ranks have said before they ended
        return True

    def _hear(self, gang: Gang, detector: HangDetector, hear: Hear, timeout_s: float) -> int:
        """Read what has arrived; wait up to ``timeout_s`` seconds for the first of it. Returns how many messages."""
        events = 0
        for event in self._server.events(timeout_s):
            events += 1
            record = gang.take(event)
            if record is not None:
                detector.hear(record)
                if not isinstance(record, RankNote):
                    hear(record)
        for rank in (*gang.left, *gang.exits):
            detector.dismiss(rank)
        return events

    def _see(self, ending: Ending, gang: Gang, logs: Path) -> str:
        """Where to read more of a rank that has died or hangs, or of the launching process; if there is anything."""
        if ending.status not in ("died", "hang"):
            return ""
        rank = ending.rank
        path = self._agent_log if rank is None or rank not in gang.pids else stack_dumps.logs_of(rank, logs)[1]
        return f"; see {path.relative_to(self._logs.parent)}" if stack_dumps.tail(path) else ""

    def _collected(self, gang: Gang) -> bool:
        """Whether the agent notices that its ranks were killed: then it can start the next ones, and is still warm."""
        until_s = time.monotonic() + FAREWELL_S
        while not gang.over and self._agent.poll() is None and time.monotonic() < until_s:
            for event in self._server.events(LOOK_S):
                gang.take(event)
        self._server.drain()
        return gang.over

    def _agents(self) -> set[int]:
        """The agent, its fork server and resource tracker: they serve the next gang too."""
        with suppress(psutil.NoSuchProcess):
            agent = psutil.Process(self._agent.pid)
            return {agent.pid, *(child.pid for child in agent.children())}
        return set()

    def _tidy(self) -> None:
        """Remove empty logs."""
        for path in sorted(self._logs.rglob("*"), reverse=True):  # what is in a folder before the folder
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            elif path.is_file() and path.parent != self._logs and not path.stat().st_size:
                path.unlink()

    @property
    def _agent_log(self) -> Path:
        return self._logs / "agent.log"

    def _prepare_logs(self) -> None:
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            self._agent_log.touch()
        except OSError as error:
            value = f"{error.filename} ({error.strerror})"
            remedy = "remove what is in the way, or choose another folder"
            raise UsageError("run directory", "have room for logs", value, remedy) from error

    def _start(self) -> subprocess.Popen[bytes]:
        all_ = inherited(self._python).items()
        passed_on = {name: value for name, value in all_ if name not in LEAKS and not name.startswith(LEAKING)}
        markers = {"TMPDIR": self._mark, MARK: self._mark}
        with self._agent_log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                [self._python, "-P", "-m", "launch.local.agent", self._server.address, str(os.getpid())],
                env=within_reach(QUIET | passed_on | within_this_host() | self._variables, self._packages) | markers,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the parent's to hear
            )

    def _reach(self) -> Peer:
        """The connection to a running agent; a new agent is started if it was killed."""
        if self._agent.poll() is not None:
            self._renew()
        try:
            self._line = self._line or self._await_agent()
        except RankbenchError:
            self._renew()
            self._line = self._await_agent()
        return self._line

    def _await_agent(self) -> Peer:
        until_s = time.monotonic() + SETUP_S
        while time.monotonic() < until_s and self._agent.poll() is None:
            for peer, kind, text in self._server.events(1.0):
                if kind == "line" and json.loads(text)["type"] == "agent":
                    return peer
        words = (stack_dumps.tail(self._agent_log) or "").splitlines()[-1:]
        raise RankbenchError(": ".join(["the launching process did not start", *words, f"see {self._agent_log}"]))

    def _renew(self) -> None:
        """Kill the agent with all its ranks, and start another."""
        self._stop()
        self._agent = self._start()

    def _stop(self) -> None:
        kill_all(marked(self._mark))
        self._agent.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that no kill ends has been told
            self._agent.wait(KILL_S)
        self._server.drain()
        self._line = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._server.close()
        self._stack.close()
