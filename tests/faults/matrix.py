"""The matrix of faults: real runs in which much goes wrong, and what has to become of each of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.journal.log import read
from harness.journal.records import CellRecord
from harness.journal.run_directory import RunDir
from tests.distributed.conftest import RANKBENCH, offspring_of
from tests.faults.planted import CARELESS, HEALTHY, MOMENTS

PLANTED = Path(__file__).with_name("planted.py")
DEADLINE_S = 6.0
"""Long enough to import PyTorch on a busy machine."""
GRACE_S = 10.0
"""What is planted must have its cell within the deadline and so much more, on a machine that does nothing else."""
EXPECTED = {
    "raise": ("error", "ValueError: planted"),
    "quit": ("error", "SystemExit: 0"),
    "memory": ("oom", "MemoryError: planted"),
    "unpicklable": ("error", "UnpicklableError: planted"),
    "enormous": ("error", "ValueError: (planted){100}"),
    "wordless": ("error", "WordlessError: it cannot be put into words"),
    "output": ("error", "ValueError: I/O operation on closed file"),
    "exit0": ("died", "exit code 0"),
    "exit1": ("died", "exit code 1"),
    "kill": ("died", "killed by SIGKILL"),
    "crash": ("died", "killed by SIGSEGV"),
    "orphan": ("died", "killed by SIGKILL"),
    "stop": ("hang", "does not even answer"),
    "loop": ("hang", r"in _endless \(planted.py"),
    "wait": ("hang", "in a collective of"),
    "deaf": ("hang", r"in _deaf \(planted.py"),
    "constructor": ("error", "ValueError: planted"),
    "work": ("error", "ValueError: planted"),
    "facts": ("error", "ValueError: planted"),
}
"""Status of the cell, and what its message says; Ray does not tell how a process ended."""
CACHE = "torchinductor_"
"""Where PyTorch keeps what it has compiled, for this user and always."""
ALONE = ("raise", "quit", "memory", "unpicklable", "enormous", "wordless", "loop", "output", *CARELESS)
"""What a run survives that has no process beside its own."""


@dataclass(frozen=True)
class Setting:
    """How a run with planted faults is launched."""

    launcher: str
    ranks: int
    ddp: bool
    """Whether a variant beside them holds the gang's process group."""

    def __str__(self) -> str:
        return f"{self.launcher}, {self.ranks} rank{'s' * (self.ranks > 1)}{', with a DDP variant' * self.ddp}"


SETTINGS = [(1, False), (1, True), (2, False), (2, True), (2, True)]
"""Ranks, and whether DDP is beside: one for each moment."""
NEEDS_PEERS = ("wait",)
"""What is no fault for a rank that is alone."""


@dataclass(frozen=True)
class Outcome:
    """What became of one planted fault."""

    moment: str
    kind: str
    status: str
    rank: int | None
    message: str
    took_s: float
    """From the fault to its cell in the journal."""


@dataclass
class Told:
    """A run with planted faults that has ended."""

    setting: Setting
    outcomes: list[Outcome] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """All that is not as it has to be."""


def plant(setting: Setting, kinds: Sequence[str], moments: Sequence[str], grace_s: float = GRACE_S) -> Told:
    """A run with every kind of fault at every moment, and what is to be said of it."""
    mark = tempfile.mkdtemp(prefix="f")
    root, harm, temporary = Path(mark, "run"), Path(mark, "harm"), Path(mark, "tmp")
    temporary.mkdir()
    told = Told(setting)
    try:
        with _followed(root / "journal.jsonl") as came_s:
            code, said = _run(setting, kinds, moments, root, {"RANKBENCH_HARM": str(harm), "TMPDIR": str(temporary)})
        _, alive = psutil.wait_procs(offspring_of(str(harm)), timeout=30)
        told.complaints += [f"process {each.pid} is left" for each in alive]
        left = [path for path in temporary.iterdir() if not path.name.startswith(CACHE)]
        told.complaints += [f"{path} is left" for path in left]
        if code != 1 or not (root / "report.html").exists():
            told.complaints.append(f"it exits with {code} and has said: {said[-2000:]}")
        _judge(told, root, harm, came_s, kinds, moments)
        late = [each for each in told.outcomes if each.took_s > DEADLINE_S + grace_s]
        told.complaints += [f"{each.kind} at {each.moment} took {each.took_s:.1f} s" for each in late]
    finally:
        shutil.rmtree(mark)
    return told


def _run(
    setting: Setting, kinds: Sequence[str], moments: Sequence[str], root: Path, environment: dict[str, str]
) -> tuple[int, str]:
    healthy = HEALTHY if setting.ddp else HEALTHY[:1]
    line = [
        *RANKBENCH, "run", f"{PLANTED}:Planted", "--launcher", setting.launcher,
        "--devices", f"cpu:{setting.ranks}", "--world-sizes", setting.ranks,
        "--launches", 1, "--budget", 4 + len(moments), "--deadline", DEADLINE_S, "--out", root,
        "--set", f"planted.kind={','.join([*healthy, *kinds])}", "--set", f"planted.moment={','.join(moments)}",
    ]  # fmt: skip
    mark = environment | {"RANKBENCH_TEST": environment["RANKBENCH_HARM"]}
    told = subprocess.run(
        list(map(str, line)), env=os.environ | mark, capture_output=True, text=True, check=False, timeout=3600
    )
    return told.returncode, told.stdout + told.stderr


@contextmanager
def _followed(journal: Path) -> Iterator[dict[str, float]]:
    """When the cell of each case came, by its key."""
    came_s: dict[str, float] = {}
    over = threading.Event()

    def follow() -> None:
        seen = size = 0
        while not over.wait(0.02):
            if not journal.exists() or journal.stat().st_size == size:
                continue
            size = journal.stat().st_size
            entries = list(read(journal))
            for entry in entries[seen:]:
                if isinstance(entry, CellRecord):
                    came_s[entry.case] = time.monotonic()
            seen = len(entries)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield came_s
    finally:
        over.set()
        thread.join()


def _judge(
    told: Told, root: Path, harm: Path, came_s: dict[str, float], kinds: Sequence[str], moments: Sequence[str]
) -> None:
    size = told.setting.ranks
    planted_s = {(moment, kind): float(when) for moment, kind, when in map(str.split, harm.read_text().splitlines())}
    cells = {cell.case: cell for cell in RunDir(root).entries() if isinstance(cell, CellRecord)}
    for moment in moments:
        for kind in kinds:
            key = _key(kind, moment, size)
            cell, when = cells.pop(key, None), planted_s.get((moment, kind))
            if cell is None or when is None:
                told.complaints.append(f"{key}: {'it was never measured' if cell is None else 'no harm came to it'}")
                continue
            took_s = came_s.get(key, float("inf")) - when
            outcome = Outcome(moment, kind, cell.status, cell.rank, cell.message or "", took_s)
            told.outcomes.append(outcome)
            told.complaints += [f"{key}: {wrong}" for wrong in _wrong(outcome, told.setting)]
    bad = [f"{key} is {cell.status}: {cell.message}" for key, cell in cells.items() if cell.status != "ok"]
    planned = {case.key for _, _, case in RunDir(root).plan().cells()}
    missing = sorted(planned - cells.keys() - {_key(kind, moment, size) for kind in kinds for moment in moments})
    told.complaints += bad + [f"{key} has no cell" for key in missing]


def _key(kind: str, moment: str, size: int) -> str:
    return f"planted[kind={kind},moment={moment},size=64]@{size}"


def _wrong(outcome: Outcome, setting: Setting) -> Iterator[str]:
    status, words = EXPECTED[outcome.kind]
    ranks = range(setting.ranks) if outcome.kind == "constructor" else (setting.ranks - 1,)
    if outcome.status != status or outcome.rank not in ranks:
        yield f"it is {outcome.status} on rank {outcome.rank}, not {status}: {outcome.message}"
    known = status != "died" if setting.launcher == "ray" else (setting.launcher, status) != ("inline", "died")
    if known and not re.search(words, outcome.message):
        yield f"it says {outcome.message!r}"
    if len(outcome.message) > 2000:
        yield f"it says {len(outcome.message)} characters"


def table(runs: Sequence[Told]) -> str:
    """All of it as Markdown."""
    lines = ["| run | moment | fault | cell | rank | seconds to the cell |", "|---|---|---|---|---|---|"]
    for run in runs:
        for each in run.outcomes:
            took = f"{each.took_s:.1f}"
            lines.append(f"| {run.setting} | {each.moment} | {each.kind} | {each.status} | {each.rank} | {took} |")
    complaints = [f"{run.setting}: {text}" for run in runs for text in run.complaints]
    count = sum(len(run.outcomes) for run in runs)
    return "\n".join([*lines, "", f"{count} faults, {len(complaints)} complaints", *complaints])


def _settings(launcher: str) -> list[Setting]:
    """A setting for each moment."""
    if launcher == "inline":
        return [Setting(launcher, 1, ddp=False)] * len(MOMENTS)
    return [Setting(launcher, ranks, ddp) for ranks, ddp in SETTINGS]


def kinds_of(setting: Setting) -> tuple[str, ...]:
    """What can go wrong in such a run."""
    if setting.launcher == "inline":
        return ALONE
    return tuple(kind for kind in EXPECTED if setting.ranks > 1 or kind not in NEEDS_PEERS)


if __name__ == "__main__":
    launchers = sys.argv[1:] or ["inline", "torchrun", "ray"]
    runs = [
        plant(setting, kinds_of(setting), [moment])
        for launcher in launchers
        for setting, moment in zip(_settings(launcher), MOMENTS, strict=True)
    ]
    print(table(runs))  # noqa: T201
    sys.exit(any(run.complaints for run in runs))
