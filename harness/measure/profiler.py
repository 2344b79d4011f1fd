"""Profiles: PyTorch profiler traces of a few steps of each case, by a gang that measures nothing.

Steps are marked by ``record_function``, and on CUDA by NVTX ranges too, so that other tools see them as well.
"""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from harness.common.errors import RefusedError
from harness.journal.plan import Case
from harness.journal.protocol import Emit, Order, TraceNote, VisitNote
from harness.journal.records import ProfileRecord
from harness.measure.case_runner import CaseRunner
from harness.measure.lockstep import attempt, close_quietly, recover
from harness.world.control import Failure
from harness.world.world import World

STEPS = 3, 1
"""Steps that are traced; fewer where a rank's file would be too large."""
QUIET = "KINETO_LOG_LEVEL", "99"
"""The profiler's library writes each start and stop to stderr, which may be the user's terminal."""
WARM = 1
"""Steps before, during which the profiler itself warms up."""
MOST_BYTES = 4 * 2**20
"""A rank's trace of a case is no larger, compressed: viewers choke on more."""
ALL_BYTES = 256 * 2**20
"""Upper limit of the size of all traces of a gang together."""


@dataclass
class Tracer:
    """One rank's part in tracing the cases of an order."""

    order: Order
    world: World
    emit: Emit
    left: int = ALL_BYTES
    """Bytes that may still be written."""
    _taken: bytes = field(default=b"", init=False)

    def trace(self) -> None:
        """Trace every case; rank 0 emits the files and a record of each. Raises SpoiledError."""
        os.environ.setdefault(*QUIET)
        for index, cases in self.order.todo.items():
            for case in cases:
                if self.world.control.stopped:
                    return
                self._trace(index, case)

    def _trace(self, index: int, case: Case) -> None:
        self.emit(VisitNote(comparison=index, case=case.key, round=0, rounds=0))
        if self.left <= 0:
            self._refuse(index, case, f"the traces before it take {ALL_BYTES // 2**20} MiB (limit): run fewer cases")
            return
        comparison = self.order.plan.comparisons[index]
        runner = CaseRunner(
            case, self.world.gang(case, self.order.plan.seed, comparison.label), self.world, code=comparison.code
        )
        failure, steps = self._attempt(runner)
        close_quietly(runner)
        if failure is not None:
            self._refuse(index, case, f"{f'rank {failure.rank}: ' * (case.world_size > 1)}{failure.message}")
            recover(runner, failure)
        elif steps:
            self._hand_over(index, case, steps)
        else:
            self._refuse(index, case, f"a rank's trace of one step takes more than {MOST_BYTES // 2**20} MiB (limit)")

    def _attempt(self, runner: CaseRunner) -> tuple[Failure | None, int]:
        """Make ready and trace; the failure, and how many steps leave no file too large: 0 where even one does not."""
        self._taken = b""
        failure = attempt(runner, lambda: self._prepare(runner))
        for steps in STEPS:
            failure = failure or attempt(runner, partial(self._take, runner, steps))
            if failure or self.world.control.greatest([float(len(self._taken))])[0] <= MOST_BYTES:
                return failure, steps
        return None, 0

    def _refuse(self, index: int, case: Case, message: str) -> None:
        self.emit(ProfileRecord(comparison=index, case=case.key, message=message))

    def _prepare(self, runner: CaseRunner) -> None:
        if reason := runner.shortage():
            raise RefusedError(reason)
        runner.prepare()
        if self.order.plan.execution == "graph":
            if reason := runner.refusal():
                raise RefusedError(reason)
            runner.capture()

    def _take(self, runner: CaseRunner, steps: int) -> None:
        path = self.world.scratch / f"trace-{self.world.rank}.json.gz"
        traced(runner, steps, path)
        self._taken = path.read_bytes()
        path.unlink()

    def _hand_over(self, index: int, case: Case, steps: int) -> None:
        """Pass every rank's file on: rank 0 has them all, and no other."""
        size = sum(self.world.control.gather(len(self._taken), int))  # a rank without a part has taken nothing
        self.left -= size
        place = self.order.plan.comparisons[index].cases.index(case)
        names = tuple(_name(index, place, case, rank) for rank in range(case.world_size))
        for name, content in zip(names, self.world.control.collect(self._taken), strict=False):
            self.emit(TraceNote(file=name, content=base64.b64encode(content)))
        self.emit(ProfileRecord(comparison=index, case=case.key, files=names, bytes=size, steps=steps))


def traced(runner: CaseRunner, steps: int, path: Path) -> None:
    """Do this many steps of a prepared case, after one untraced, and write their trace to ``path``, a .json.gz."""
    workload, device = runner.workload, runner.world.device
    assert workload is not None
    on_gpu = device.torch.type == "cuda"
    workload.reset()
    with profile(
        activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu],
        schedule=schedule(wait=0, warmup=WARM, active=steps, repeat=1),
        on_trace_ready=lambda profiler: profiler.export_chrome_trace(str(path)),
        record_shapes=True,
    ) as profiler:
        for number in range(WARM + steps):
            with _marked(f"{runner.case.key} step {number}", on_gpu=on_gpu):
                workload.step()
            device.synchronize()  # what is still running when the profiler stops is lost
            profiler.step()
            runner.world.watchdog.beat()


@contextmanager
def _marked(name: str, *, on_gpu: bool) -> Iterator[None]:
    with record_function(name):
        if on_gpu:
            with torch.cuda.nvtx.range(name):
                yield
        else:
            yield


def _name(index: int, place: int, case: Case, rank: int) -> str:
    """Of a file: places tell cases apart, and the rest is for people."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", case.key.rpartition("@")[0])[:80].strip("-")
    return f"{index:02d}-{place:02d}-{words}@{case.world_size}-rank{rank}.json.gz"
