"""Runs that several tests look at, each made once; real processes, real gloo, real torchrun."""

from __future__ import annotations

import contextlib
import csv
import io
import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.cli.app import run_app
from harness.device.device import cores
from harness.journal.records import BeginRecord, CellRecord, Entry, LaunchRecord
from harness.journal.run_directory import RunDir
from tests.limits import LIMIT_S

PLUGINS = Path(__file__).with_name("plugins.py")
RANKBENCH = (sys.executable, "-m", "harness")
SMALL = ("--set", "frobenius.matrices=51", "--set", "frobenius.size=24", "--set", "split.size=128")
TWO = ("--devices", "cpu:2")
LOOPBACK = {"127.0.0.1", "::1"}
LISTENS = "0A"
"""How the kernel writes the state of a socket that listens."""


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    root: Path
    code: int
    out: str

    @property
    def entries(self) -> list[Entry]:
        return list(RunDir(self.root).entries())

    @property
    def cells(self) -> list[CellRecord]:
        return [entry for entry in self.entries if isinstance(entry, CellRecord)]

    @property
    def launches(self) -> list[LaunchRecord]:
        return [entry for entry in self.entries if isinstance(entry, LaunchRecord)]

    @property
    def begun(self) -> list[BeginRecord]:
        return [entry for entry in self.entries if isinstance(entry, BeginRecord)]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.root / "summary.json").read_text())

    @property
    def page(self) -> str:
        return (self.root / "report.html").read_text()

    def csv(self) -> list[dict[str, str]]:
        return list(csv.DictReader(command("export", self.root, "--format", "csv").stdout.splitlines()))


def rankbench(*arguments: object, root: Path, **variables: object) -> Run:
    """Run the command line in a process of its own, with ``variables`` in its environment."""
    told = subprocess.run(
        [*RANKBENCH, *map(str, arguments)],
        env=os.environ | {name: str(value) for name, value in variables.items()},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    return Run(root, told.returncode, told.stdout + told.stderr)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that measures nothing in this process, which has imported already what takes seconds."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = run_app(list(map(str, arguments)))
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def torchrun(root: Path, *arguments: str, ranks: int = 2, program: Sequence[str] = RANKBENCH[1:]) -> Run:
    """Somebody's own torchrun, of which rankbench is the ranks, or a ``program`` that calls it."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    told = subprocess.run(
        [*line, *program, "run", *arguments, "--out", str(root)],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    return Run(root, told.returncode, told.stdout + told.stderr)


def wait_until(there: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for what ``process`` is to do; fails with its output if it ends before, or takes for ever."""
    end_s = time.monotonic() + LIMIT_S
    while not there():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > end_s:
            said = ""
            if process is not None:
                process.kill()
                said = process.communicate(timeout=20)[0]
            pytest.fail(f"it never came to that; {'it ended' if ended else 'it takes too long'}\n{said}")
        time.sleep(0.01)


def wait_for_case(root: Path, launch: int, process: subprocess.Popen[str]) -> None:
    """Wait until ``process`` is at a case of a launch: what ends it before is no case's fault."""
    journal, begun = root / "journal.jsonl", f'{{"type":"begin","launch":{launch},'.encode()
    wait_until(lambda: journal.exists() and begun in journal.read_bytes(), process)


def offspring_of(address: str) -> list[psutil.Process]:
    """Processes that still have ``address`` in their environment: they belong to a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("RANKBENCH_TEST") == address:
                found.append(process)
        except psutil.Error:
            continue
    return found


def listeners(pids: Iterable[int]) -> set[str]:
    """The addresses at which processes listen to a network, in whatever namespace; a Unix socket is none."""
    addresses = set()
    for folder in (Path("/proc", str(pid)) for pid in pids):
        with contextlib.suppress(OSError):
            held = {str(handle.readlink()) for handle in (folder / "fd").iterdir()}
            rows = [row.split() for name in ("tcp", "tcp6") for row in (folder / "net" / name).read_text().splitlines()]
            addresses |= {_address(row[1]) for row in rows if row[3] == LISTENS and f"socket:[{row[9]}]" in held}
    return addresses


def _address(text: str) -> str:
    """An address as the kernel lists it: words of four bytes in the machine's own order, and a port."""
    words = bytes.fromhex(text.partition(":")[0])
    parts = (int.from_bytes(words[place : place + 4], sys.byteorder) for place in range(0, len(words), 4))
    return str(ipaddress.ip_address(b"".join(part.to_bytes(4, "big") for part in parts)))


@pytest.fixture(scope="session")
def main_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six launches of both scenarios, small, and of one with a slow rank."""
    root = tmp_path_factory.mktemp("main") / "run"
    scenarios = ("frobenius", "split", f"{PLUGINS}:SlowOnOne")
    return rankbench("run", *scenarios, *TWO, *SMALL, "--launches", 6, "--budget", 42, "--out", root, root=root)


@pytest.fixture(scope="session")
def joined_run(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Somebody's own torchrun, twice, on one run directory; the second time with profiles."""
    root = tmp_path_factory.mktemp("joined") / "run"
    return [torchrun(root, "frobenius", *SMALL[:4], "--budget", "4", *more) for more in ((), ("--profile",))]


@pytest.fixture(scope="session")
def disturbed_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One launch with another seed, while another process burns the second core."""
    root = tmp_path_factory.mktemp("disturbed") / "run"
    burn = f"import os; os.sched_setaffinity(0, {{{cores()[1]}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", burn]) as neighbour:
        try:
            line = ("run", "frobenius", *TWO, *SMALL[:4], "--launches", 1, "--budget", 8, "--seed", 1)
            return rankbench(*line, "--out", root, root=root)
        finally:
            neighbour.kill()


@pytest.fixture(scope="session")
def faulty_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One launch of everything that goes wrong, and of nothing that only a deadline would end."""
    root = tmp_path_factory.mktemp("faulty") / "run"
    scenarios = [
        f"{PLUGINS}:{name}" for name in ("Deserts", "WrongOnOne", "Lazy", "Raises", "Trains", "Dies", "Sticky")
    ]
    line = ("run", *scenarios, *TWO, "--launches", 1, "--budget", 8, "--deadline", 3600)
    return rankbench(*line, "--out", root, root=root)
