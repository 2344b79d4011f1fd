"""Live progress of a run: one line that changes on a terminal, plain lines elsewhere."""

import threading
import time
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.device import other_runs
from harness.device.affinity import dropped
from harness.device.cpu_quota import shortage
from harness.journal.plan import Plan, Record
from harness.journal.protocol import VisitNote
from harness.journal.records import MEASURED, CellRecord, LaunchRecord, ProfileRecord

REFRESH_S = 0.5
"""Interval of updates: long enough not to disturb measurements."""
OVER = 0.1
"""Fraction by which a launch may exceed its part of the budget before the user is warned."""
QUIET_S = 30.0
"""Seconds without any rank after which the user reads what the run waits for."""


class Progress:
    """Shows the progress of a run, the running estimate of the case at hand, and the remaining time."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._start_s = time.monotonic()
        self._shown_s = 0.0
        self._launch = 0
        self._profiling = False
        self._foretold = False
        self._strange: set[str] = set()
        self._quiet: threading.Timer | None = None

    def watch(self, record: Record) -> None:
        """Show one record or note of the run."""
        if isinstance(record, LaunchRecord):
            self._launch = record.launch
            self._stop_waiting()
            if self._live is None:
                ranks = f"{len(record.ranks)} rank{'s' * (len(record.ranks) != 1)}"
                self.say(f"{self._which()}: {ranks} up{self._left()}")
            self._compare_hosts(record)
        elif isinstance(record, CellRecord) and record.status not in (*MEASURED, "skipped"):
            who = "" if record.rank is None else f" on rank {record.rank}"
            why = _first_line(record.message)
            self.say(f"{record.case}, launch {record.launch}: {record.status}{who}: {why}", "red")
        elif isinstance(record, ProfileRecord) and record.message:
            self.say(f"{record.case}: no profile: {_first_line(record.message)}", "yellow")
        elif isinstance(record, VisitNote):
            self._look_ahead(record)
            self._show(record)

    def _compare_hosts(self, record: LaunchRecord) -> None:
        """Report each host that is not set up as rank 0's, once."""
        for host, differing in record.hosts.items():
            if differing and host not in self._strange:
                self._strange.add(host)
                names = [f"{part}.{name}" for part, values in differing.items() for name in values]
                first = record.ranks[0].host
                self.say(f"{host} is not set up as {first} is: {', '.join(names)} (see the report)", "yellow")

    def _look_ahead(self, note: VisitNote) -> None:
        """Warn, once, as soon as the budget cannot be kept."""
        if self._foretold or note.over_s <= max(1.0, OVER * self._plan.launch_budget_s):
            return
        self._foretold = True
        budget = f"the budget of {self._plan.budget_s:g} s will be exceeded"
        remedy = "raise --budget, or measure less (--set, --world-sizes, --launches)"
        text = f"for the fewest rounds this launch takes about {note.over_s:.0f} s more than its part of it"
        self.say(f"{budget}: {text}; {remedy}", "yellow")

    def waiting(self, logs: Path) -> None:
        """Say that processes are being started, and where to look if that takes long: torchrun's write to ``logs``."""
        text = f"no rank is up after {QUIET_S:g} s: they import PyTorch, and look for each other"
        if "torchrun" in self._plan.launcher:
            text = f"{text}; see {logs}"
        self._quiet = threading.Timer(QUIET_S, self.say, (text, "yellow"))
        self._quiet.daemon = True
        self._quiet.start()
        if self._live is not None:
            self._live.update(Text("starting the ranks: the first launch imports PyTorch", "dim"), refresh=True)

    def warn(self, cores: int) -> None:
        """Warn of disturbances on this host; ``cores`` of its cores are to be used."""
        for warning in filter(None, (shortage(cores), dropped(), other_runs.warning())):
            self.say(warning, "yellow")

    def profiling(self) -> None:
        """Report that everything is measured, and that cases are traced."""
        self._profiling = True
        if self._live is None:
            self.say("all measured: tracing a few steps of each case")

    def _show(self, note: VisitNote) -> None:
        if time.monotonic() - self._shown_s < REFRESH_S or self._live is None:
            return
        self._shown_s = time.monotonic()
        line = Text(self._which(), "bold")
        if not self._profiling:
            part = f"round {note.round + 1} of {note.rounds}" if note.rounds else "preparing"
            line.append(f"  {part}{self._left()}", "default")
        line.append("  ")
        line.append(note.case, "cyan")
        if note.step_s is not None:
            line.append(f"  ≈ {_duration(note.step_s)} a step", "default")
        line.no_wrap, line.overflow = True, "ellipsis"
        self._live.update(line, refresh=True)

    def _which(self) -> str:
        if self._profiling:
            return "all measured: tracing"
        if self._launch < self._plan.launches:
            return f"launch {self._launch} ({self._launch + 1} of {self._plan.launches})"
        return f"launch {self._launch}, for narrower intervals"

    def _left(self) -> str:
        spent_s = time.monotonic() - self._start_s
        if self._plan.precision and self._launch >= self._plan.launches:
            return f", for {max(0.0, self._plan.precision.limit_s - spent_s):.0f} s at most"
        left_s = self._plan.budget_s - spent_s
        return f", about {left_s:.0f} s left" if left_s > 0 else f", over budget by {-left_s:.0f} s"

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line."""
        self._console.print(Text(text), style=style, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def _stop_waiting(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()

    def __exit__(self, *error: object) -> None:
        self._stop_waiting()
        if self._live is not None:
            self._live.__exit__(None, None, None)


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "no reason was given")


def _duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
