"""One rank of a script: it runs the program, notes its steps, and tells what came of them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import torch
import torch.distributed as dist

from harness.device.telemetry.cpu_load import CpuTime
from harness.device.timing import now
from harness.journal.plan import Script
from harness.journal.protocol import Emit, ScriptNote, WarmNote
from harness.journal.records import RankFacts
from harness.measure.script import program, replicas
from harness.measure.script.hooks import Hooks
from harness.measure.script.step_clock import Boundary, StepClock
from harness.world.watchdog import Watchdog


class ScriptDone(SystemExit):
    """Ends a script that has done its steps, as ``sys.exit`` would: what it cleans up at its end is cleaned up."""


class Session:
    """Carries a script out on one rank."""

    def __init__(self, script: Script, rank: int, emit: Emit, steps: Callable[[], int], watchdog: Watchdog) -> None:
        """``steps`` waits for the number of steps that all ranks do; ``watchdog`` watches this thread."""
        self._script = script
        self._rank = rank
        self._emit = emit
        self._steps = steps
        self._watchdog = watchdog
        self._clock = StepClock(script.skip, self, now, _mark)
        self._hooks = Hooks(self._clock, script.steps_by)
        self._load = CpuTime()
        self._start_s = now()
        self._first_s: float | None = None
        self._base_bytes = _resident("VmRSS")
        self._delivered = False

    def run_program(self) -> None:
        """Run the program until it has done its steps, or ends before. Raises whatever it raises."""
        try:
            program.run(self._script)
        except ScriptDone:
            return
        except SystemExit as end:
            if self._delivered:
                return
            if end.code not in (None, 0):
                raise
        self._deliver()

    def agree(self, step_s: float) -> int:
        """Tell the run's parent that this rank is warm, and wait for its answer."""
        joined = dist.is_available() and dist.is_initialized()
        self._emit(WarmNote(rank=self._rank, step_s=step_s, joined=joined))
        return self._steps()

    def begin(self) -> None:
        """The warm-up is over."""
        self._load = CpuTime.now()

    def beat(self) -> None:
        """A step has ended."""
        self._watchdog.beat()
        if self._first_s is None:
            self._first_s = now() - self._start_s

    def finish(self) -> None:
        """Tell what was measured, and end the script. Raises ScriptDone."""
        if not self._delivered:
            self._load = CpuTime.now() - self._load
            self._deliver()
        raise ScriptDone(0)

    def _deliver(self) -> None:
        self._delivered = True
        timed = self._clock.timed
        kind, digest = replicas.parameters(self._hooks.optimizers.values())
        finite = None if self._hooks.loss is None else bool(torch.isfinite(self._hooks.loss).all())
        self._emit(
            ScriptNote(
                rank=self._rank,
                warm=self._clock.ended_steps - max(0, len(timed) - 1),
                start_s=tuple(boundary.host_s for boundary in timed[:-1]),
                end_s=tuple(boundary.host_s for boundary in timed[1:]),
                device_s=_device_s(timed),
                loader_s=tuple(boundary.loader_s for boundary in timed[1:]),
                facts=self._facts(timed),
                loss=float(self._hooks.loss) if finite and self._hooks.loss is not None else None,
                finite=finite,
                parameters=kind,
                digest=digest,
            )
        )

    def _facts(self, timed: Sequence[Boundary]) -> RankFacts:
        items = [boundary.items for boundary in timed[1:]]
        held, peak, reserved = self._memory()
        return RankFacts(
            flops=0.0,
            bytes=0.0,
            items=statistics.median(items) if items else 0.0,
            counted_flops=0.0,
            host_reads=0,
            first_s=self._first_s or 0.0,
            held_bytes=held,
            peak_bytes=peak,
            reserved_bytes=reserved,
            found={"skipped_updates": self._hooks.skipped_updates} if self._hooks.skipped_updates else {},
            **asdict(self._load),
        )

    def _memory(self) -> tuple[int | None, int | None, int | None]:
        """Bytes held after the last step, needed beyond that at the peak of the whole script, and reserved on a GPU."""
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            held = torch.cuda.memory_allocated()
            return held, torch.cuda.max_memory_allocated() - held, torch.cuda.max_memory_reserved()
        resident, most = _resident("VmRSS"), _resident("VmHWM")
        if resident is None or most is None or self._base_bytes is None:
            return None, None, None
        return max(0, resident - self._base_bytes), max(0, most - resident), None


def _mark() -> torch.cuda.Event | None:
    if not torch.cuda.is_initialized():
        return None
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _device_s(timed: Sequence[Boundary]) -> tuple[float, ...] | None:
    marks = [boundary.mark for boundary in timed]
    if len(marks) < 2 or any(mark is None for mark in marks):
        return None
    torch.cuda.synchronize()
    return tuple(start.elapsed_time(end) * 1e-3 for start, end in pairwise(marks))


def _resident(name: str) -> int | None:
    """Resident memory of this process in bytes, now or at its peak; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
