"""One fresh start of a script: its processes, their messages, and their end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.common.packages import IMPORTED, entries
from harness.journal.plan import Case, Plan, Record, Side
from harness.journal.protocol import RankNote, ScriptNote, WarmNote
from launch.launcher import Ending
from launch.local import stack_dumps
from launch.local.channel import Server
from launch.local.gang_state import Gang
from launch.local.script_rank import Setup
from launch.processes.cleanup import MARK, kill_all, marked
from launch.processes.network import loopback, within_this_host
from launch.supervision.hang_detector import HangDetector

FAREWELL_S = 10.0
"""After a rank has failed, or all have done their steps, the others get this long to end before they are killed."""
LOOK_S = 0.5
"""Interval of checks whether the ranks live, and whether a stop is requested."""
LATE_S = 10.0
"""How long ranks that are warm wait for the others: some of a script's ranks may do no steps at all."""
FEWEST_STEPS = 5
"""The fewest timed steps, however little time there is."""
LEAKS = ("GROUP_RANK", "NODE_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE")
LEAKING = ("TORCHELASTIC_", "PET_")
"""Variables that an external torchrun sets."""


@dataclass
class ScriptGang:
    """The ranks of a script, from their start to their end."""

    plan: Plan
    side: Side
    case: Case
    cpus: Sequence[tuple[int, ...]]
    """The CPUs of each rank."""
    mark: str
    """The mark in the environment of all that it starts."""
    logs: Path
    up: Callable[[Mapping[int, int]], Record]
    """Called with the process of each rank once all are up; returns the record that says so."""
    moved: Callable[[], None]
    """Called regularly while steps are measured."""
    stop_asked: Callable[[], bool]
    budget_s: float
    notes: dict[int, ScriptNote] = field(default_factory=dict)
    """The measurements of each rank that has sent them."""
    alone: bool = False
    """Whether no rank had made a process group when all had warmed up."""
    _server: Server = field(default_factory=Server)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _warm: dict[int, WarmNote] = field(default_factory=dict)
    _warm_s: float = float("inf")
    _answered: bool = False

    def run(self) -> Ending | None:
        """Start the ranks and follow them to their end; nothing of them is left. None where all ended well."""
        size, gang = self.case.world_size, Gang(self.case.world_size)
        detector = HangDetector(size, self.plan.deadline_s)
        self._start_s = time.monotonic()
        try:
            self._start()
            judged = self._follow(gang, detector)
            ending = gang.ending() if judged else detector.verdict()
            if not judged:
                stack_dumps.ask(gang.pids[rank] for rank in detector.silent if rank in gang.pids)
            outcomes = gang.outcomes() if judged else detector.outcomes()
        finally:
            kill_all(marked(self.mark))
            for process in self._processes:
                process.wait()
            self._server.close()
        if ending is None:
            return None
        outcomes_with_stacks = stack_dumps.with_stacks(outcomes, self.logs)
        return Ending(ending.status, ending.message, ending.rank, outcomes_with_stacks)

    def _follow(self, gang: Gang, detector: HangDetector) -> bool:
        """Pass on the ranks' messages. Returns False if one hangs."""
        ended_s = float("inf")
        while not gang.over:
            detector.look()
            until_s = min(detector.until_s, ended_s + FAREWELL_S, self._warm_s + LATE_S)
            self._take(gang, detector, min(LOOK_S, until_s - time.monotonic()))
            self._collect(gang, detector)
            self._answer(gang)
            if self.stop_asked() or self.alone:
                return True
            complete = len(self.notes) == gang.size
            if gang.unwell or complete:
                ended_s = min(ended_s, time.monotonic())
            if ended_s + FAREWELL_S <= time.monotonic():
                return True
            if detector.until_s <= time.monotonic() and not complete:
                return False
        return True

    def _take(self, gang: Gang, detector: HangDetector, timeout_s: float) -> None:
        was_up = len(gang.pids) == gang.size
        for event in self._server.events(timeout_s):
            record = gang.take(event)
            if isinstance(record, RankNote):
                detector.hear(record)
                if record.state == "moves":
                    self.moved()
            elif isinstance(record, WarmNote):
                self._warm[record.rank] = record
                self._warm_s = min(self._warm_s, time.monotonic())
            elif isinstance(record, ScriptNote):
                self.notes[record.rank] = record
                detector.dismiss(record.rank)
        if not was_up and len(gang.pids) == gang.size:
            detector.hear(self.up(gang.pids))

    def _collect(self, gang: Gang, detector: HangDetector) -> None:
        """Note which ranks have ended; what they said before that is heard first."""
        ended = [rank for rank, process in enumerate(self._processes) if process.poll() is not None]
        if set(ended) <= gang.exits.keys():
            return
        self._take(gang, detector, 0.0)
        for rank in ended:
            gang.exits.setdefault(rank, self._processes[rank].returncode)
            detector.dismiss(rank)

    def _answer(self, gang: Gang) -> None:
        """Tell ranks that are warm how many steps to do, once all are, or have had their time."""
        late = self._warm_s + LATE_S <= time.monotonic()
        if self._answered or not (len(self._warm) == gang.size or late):
            return
        if gang.size > 1 and not any(note.joined for note in self._warm.values()):
            self.alone = True
            return
        self._answered = True
        steps = self._steps()
        for peer, rank in gang.ranks.items():
            if rank in self._warm:
                with suppress(OSError):
                    peer.send({"steps": steps})
        self._warm_s = float("inf")

    def _steps(self) -> int:
        """As many as were asked for, or as the time that is left is enough for."""
        script = self.plan.script
        assert script is not None
        longest_s = max(note.step_s for note in self._warm.values())
        left_s = self.budget_s - (time.monotonic() - self._start_s)
        fit = int(left_s / longest_s) if longest_s > 0 else script.steps
        return max(min(script.steps, FEWEST_STEPS), min(script.steps, fit))

    def _start(self) -> None:
        script = self.plan.script
        assert script is not None
        self.logs.mkdir(parents=True, exist_ok=True)
        environment = self._environment()
        with loopback() as listener:
            host, port, *_ = listener.getsockname()
        for rank in range(self.case.world_size):
            setup = Setup(
                script=script,
                parent=os.getpid(),
                rank=rank,
                cpus=self.cpus[rank],
                deadline_s=self.plan.deadline_s,
                search_path=environment.get("PYTHONPATH"),
            )
            path = os.pathsep.join([str(IMPORTED), *entries(environment)])
            out, error = stack_dumps.logs_of(rank, self.logs)
            with out.open("ab") as stdout, error.open("ab") as stderr:
                self._processes.append(
                    subprocess.Popen(  # noqa: S603
                        [
                            self.side.python or sys.executable,
                            *("-P", "-m", "launch.local.script_rank"),
                            *(self._server.address, setup.model_dump_json()),
                        ],
                        cwd=script.folder,
                        env=environment
                        | _ranks(rank, self.case.world_size, str(host), int(port))
                        | {"PYTHONPATH": path, MARK: self.mark},
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=stderr,
                        start_new_session=True,  # Ctrl-C is the parent's to hear
                    )
                )

    def _environment(self) -> dict[str, str]:
        """The environment that the script would have without rankbench, without torchrun's variables."""
        user = {name: value for name, value in os.environ.items() if name not in LEAKS}
        user = {name: value for name, value in user.items() if not name.startswith(LEAKING)}
        threads = {"OMP_NUM_THREADS": str(self.plan.threads), "PYTHONFAULTHANDLER": "1"}
        visible = _visible(self.plan.devices[: self.case.world_size], user.get("CUDA_VISIBLE_DEVICES"))
        return within_this_host() | user | threads | visible | dict(self.side.variables)


def _ranks(rank: int, size: int, host: str, port: int) -> dict[str, str]:
    """The variables that torchrun sets for each rank on one host."""
    numbers = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "ROLE_RANK": rank,
        "GROUP_RANK": 0,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "ROLE_WORLD_SIZE": size,
        "GROUP_WORLD_SIZE": 1,
        "TORCHELASTIC_RESTART_COUNT": 0,
        "TORCHELASTIC_MAX_RESTARTS": 0,
        "MASTER_PORT": port,
    }
    words = {
        "MASTER_ADDR": host,
        "ROLE_NAME": "default",
        "TORCHELASTIC_RUN_ID": "rankbench",
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }
    return {name: str(value) for name, value in numbers.items()} | words


def _visible(devices: Sequence[str], before: str | None) -> dict[str, str]:
    """GPUs of the script, so that its local ranks count from 0: nothing to say where they do anyway."""
    kind, _, _ = devices[0].partition(":")
    indices = [int(name.partition(":")[2]) for name in devices]
    if kind != "cuda":
        return {"CUDA_VISIBLE_DEVICES": ""}  # else a script would take the GPUs that are there
    if indices == list(range(len(indices))):
        return {}
    names = before.split(",") if before else [str(index) for index in range(max(indices) + 1)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(names[index] for index in indices)}
