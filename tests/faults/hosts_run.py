"""Runs over hosts made of namespaces: started on all of them, heard line by line, and read from their run directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.journal.log import read
from harness.journal.records import BeginRecord, CellRecord, LaunchRecord
from harness.journal.run_directory import RunDir
from tests.distributed.conftest import wait_until
from tests.distributed.namespaces import Node

PORT = 29533
"""Where the ranks' torchruns meet; all other ports are chosen by PyTorch."""


@dataclass
class Job:
    """A torchrun over hosts, or what else is run there."""

    processes: list[subprocess.Popen[str]]
    said: list[list[tuple[float, str]]] = field(default_factory=list)
    """What each process has said: seconds since the start, and the line."""
    begun_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for process in self.processes:
            self.said.append([])
            threading.Thread(target=self._listen, args=(process, self.said[-1]), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str], said: list[tuple[float, str]]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append((self.now_s, line.rstrip()))  # noqa: PERF401 - as it comes

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun_s

    def ended(self, limit_s: float = 300) -> list[int]:
        """The exit codes of all that runs; what does not end is killed."""
        until_s = time.monotonic() + limit_s
        for process in self.processes:
            try:
                process.wait(max(0.1, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        return [process.wait() for process in self.processes]

    def heard(self, words: str, limit_s: float = 120, host: int = 0) -> float | None:
        """Seconds until a host has said so; None where it does not within ``limit_s``."""
        until_s = time.monotonic() + limit_s
        while True:
            over = self.processes[host].poll() is not None
            for when_s, line in list(self.said[host]):
                if re.search(words, line):
                    return when_s
            if over or time.monotonic() > until_s:
                return None
            time.sleep(0.05)

    def terminate(self, host: int) -> None:
        """Send SIGTERM to what runs on a host: nsenter, which has started it, would not pass that on."""
        (command,) = psutil.Process(self.processes[host].pid).children()
        command.terminate()

    def words(self, host: int = 0) -> str:
        """All that a host has said."""
        return "\n".join(line for _, line in self.said[host])


@dataclass
class Trial:
    """Hosts, and a run directory that all of them see."""

    nodes: Sequence[Node]
    root: Path
    stack: ExitStack

    def torchrun(self, *line: object, nodes: Sequence[Node] | None = None) -> Job:
        """One torchrun a host."""
        nodes = self.nodes if nodes is None else nodes
        processes = [
            self.stack.enter_context(
                node.start(
                    sys.executable, "-m", "torch.distributed.run", f"--nnodes={len(self.nodes)}",
                    f"--node-rank={self.nodes.index(node)}", "--nproc-per-node=1",
                    f"--master-addr={self.nodes[0].address}", f"--master-port={PORT}", "-m", "harness", *line,
                )
            )
            for node in nodes
        ]  # fmt: skip
        for node in nodes:
            self.stack.callback(node.kill)
        return Job(processes)

    def split(self, *more: object, nodes: Sequence[Node] | None = None, sizes: str = "128") -> Job:
        """A run of the scenario `split`, a comparison for each of ``sizes``."""
        what = ("split", "--set", f"split.size={sizes}", "--world-sizes", f"1,{len(self.nodes)}")
        line = ("run", *what, "--devices", "cpu:1", "--deadline", 20, "--out", self.root, *more)
        return self.torchrun(*line, nodes=nodes)

    def halfway(self) -> Job:
        """A run of two comparisons, of which the first is in the journal, and the second prepared."""
        job = self.split("--budget", 90, sizes="128,160")
        wait_until(self._second_begun, job.processes[0])
        return job

    def _second_begun(self) -> bool:
        journal = RunDir(self.root).journal_path
        entries = list(read(journal)) if journal.exists() else []
        begun = [each for each in entries if isinstance(each, BeginRecord) and each.comparison == 1]
        return bool(begun) and len(begun) == len(RunDir(self.root).plan().comparisons[1].cases)

    @property
    def cells(self) -> list[CellRecord]:
        journal = RunDir(self.root).journal_path
        return [each for each in read(journal) if isinstance(each, CellRecord)] if journal.exists() else []

    @property
    def launches(self) -> list[LaunchRecord]:
        return [each for each in read(RunDir(self.root).journal_path) if isinstance(each, LaunchRecord)]

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.root / "summary.json").read_text())
        return summary

    @property
    def statuses(self) -> dict[str, int]:
        """How many cells there are of each status."""
        found = [cell.status for cell in self.cells]
        return {status: found.count(status) for status in sorted(set(found))}


Seen = tuple[bool, str]
"""Whether it was as expected, and what was seen."""


def cores(hosts: int) -> list[tuple[int, ...]]:
    """A core for each host; some share one."""
    have = sorted(os.sched_getaffinity(0))
    return [(have[host % len(have)],) for host in range(hosts)]
