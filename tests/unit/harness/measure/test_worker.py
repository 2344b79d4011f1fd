"""The whole worker on a device whose work is done later than its launch returns, in one process."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import StackSummary
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException

from harness.common.errors import RefusedError
from harness.device.device import CpuDevice
from harness.device.telemetry import poller
from harness.device.telemetry.readings import Readings
from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Case, Comparison, Plan, Record, Side
from harness.journal.protocol import Order, VisitNote
from harness.journal.records import BeginRecord, CellRecord, LaunchRecord
from harness.measure import cuda_graphs
from harness.measure.case_runner import CaseRunner
from harness.measure.lockstep import SpoiledError, attempt, recover
from harness.measure.worker import run
from harness.scenario import Facts, Gang, Work, Workload
from harness.world.control import ControlPlane, Failure
from harness.world.world import World
from tests.gpus import FakeGpu

WORK_S = 0.004


class Queue:
    """A device in real time: ``launch`` returns at once, the work is done in its turn."""

    torch = torch.device("cpu")
    model = "a queue"
    queues = True
    memory_bytes = 80 * 2**30
    free_bytes = 16 * 2**30
    """The rest is taken by others."""
    busy_until_s = 0.0
    flushed = 0

    def flush(self) -> None:
        self.flushed += 1

    def launch(self, work_s: float) -> None:
        self.busy_until_s = max(self.busy_until_s, time.monotonic()) + work_s

    def synchronize(self) -> None:
        while time.monotonic() < self.busy_until_s:
            pass

    def stream(self) -> None:
        return None

    def mark(self) -> float:
        return max(self.busy_until_s, time.monotonic())

    new_mark = mark

    def reached(self, mark: float) -> bool:
        return time.monotonic() >= mark

    def between(self, start: float, end: float) -> float:
        return end - start

    def least(self) -> float:
        return 1e-7

    def hold(self, seconds: float) -> float:
        mark = self.mark()
        self.launch(seconds)
        return mark


queue = Queue()


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Each step launches work and does not wait for it."""

    scaling: ClassVar = "none"
    fault: str = "none"

    def __post_init__(self) -> None:
        if self.fault == "constructor":
            raise ValueError("no such combination")

    def memory(self, ranks: int) -> Any:
        return {"huge": 2**40, "crowded": 2**36, "need": None}.get(self.fault, 0)

    def prepare(self, gang: Gang) -> Workload:
        assert self.fault not in ("huge", "crowded")
        if self.fault == "memory":
            raise MemoryError("17 TiB")
        if self.fault == "sticky":
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        if self.fault == "disk":
            (gang.scratch / "half").write_bytes(b"half of it")
            raise RuntimeError("not saved") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "half")
        if self.fault == "checkpoint":
            failures = {1: (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), StackSummary())}
            raise CheckpointException("write", failures)

        torch.set_default_dtype({"dtype": torch.float64}.get(self.fault, torch.float32))
        x, y = torch.zeros(4, 4) if self.fault == "zeros" else torch.randn(4, 4), torch.randn(4, 4)

        def check(output: int) -> Facts:
            if self.fault == "check" or output != 1:
                raise AssertionError("not what was expected")
            return {"launched": output}

        def step() -> int:
            queue.launch(_on_host() if self.fault == "host" else WORK_S)
            torch.mm(x, y)
            dtypes[self.fault].add(torch.get_default_dtype())
            if self.fault == "waits":
                queue.synchronize()
            if self.fault == "reads":
                x.sum().item()
            return 1

        work: Any = {"property": Moody(), "tensor": Work(flops=torch.ones(2, 2))}.get(self.fault, Work())  # type: ignore[arg-type]
        asymmetric: Any = np.array([1, 2]) if self.fault == "asymmetric" else np.bool_(1)
        return Workload(step, check=check, work=work, asymmetric=asymmetric, close=lambda: closed.append(self.fault))


def _on_host() -> float:
    """Work on the host; returns the little that the device has to do then."""
    until_s = time.monotonic() + WORK_S
    while time.monotonic() < until_s:
        pass
    return WORK_S / 100


class Moody(Work):
    """Work of which one amount cannot be told."""

    @property
    def items(self) -> float:  # type: ignore[override]
        raise LookupError("nobody counted")

    def __init__(self) -> None:
        """Set nothing."""


closed: list[str] = []
dtypes: dict[str, set[torch.dtype]] = defaultdict(set)
"""PyTorch's default in the steps of each fault."""


class Gauge:
    """Reads a clock of 1980 MHz, held back by the power cap, and 250 W, every 10 ms from when it is made."""

    def __init__(self) -> None:
        self.since_s = time.monotonic()

    def __call__(self) -> Readings:
        count = int((time.monotonic() - self.since_s) / 0.01) + 1
        told = (
            poller.RECORD.pack(self.since_s + 0.01 * place, 0, 1980, 4, 1000 + 2500 * place, 250_000, 60)
            for place in range(count)
        )
        return Readings.of(b"".join(told), 0)


def measured(
    *faults: str, tell: Callable[[Record], None] = lambda _: None, reading: bool = False, **how: Any
) -> list[Record]:
    sys.modules.setdefault(__name__, sys.modules[Queued.__module__])
    cases = tuple(
        Case(scenario="queued", reference=f"{__name__}:{kind}", params={"fault": each}, world_size=1)
        for each, kind in ((each, "Absent" if each == "import" else "Queued") for each in ("none", *faults))
    )
    comparison = Comparison(scenario="queued", title="", scaling="none", params={}, cases=tuple(dict.fromkeys(cases)))
    plan = Plan(
        version="0", command="", sides=(Side(name="inline", launcher="inline"),), devices=("cpu:0",), world_sizes=(1,),
        launches=1, budget_s=1, regime={}, comparisons=(comparison,), **how,
    )  # fmt: skip
    order = Order(plan=plan, launch=0, attempt=0, todo={0: comparison.cases}, budget_s=1.0, fingerprint="f", scratch="")
    world = World(0, 1, queue, "cpu:0", (0,), 1)  # type: ignore[arg-type]
    world.gauge = Gauge() if reading else None
    world.settle_in()
    told: list[Record] = []
    run(order, world, lambda record: (told.append(record), tell(record)))
    return told


@dataclass(frozen=True)
class Plain:
    """What a worker without faults tells, and how often the cache was cleared meanwhile."""

    told: list[Record]
    flushed: int

    @property
    def cell(self) -> CellRecord:
        (cell,) = [entry for entry in self.told if isinstance(entry, CellRecord)]
        return cell


@pytest.fixture(scope="module")
def plain() -> Plain:
    before = queue.flushed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.measure.launch_ahead.HOLD_S", 0.5)  # a neighbour may hold this process up for a while
        told = measured()
    return Plain(told, queue.flushed - before)


def test_no_sample_misses_work_that_was_only_launched(plain: Plain) -> None:
    cell = plain.cell
    (starts,), (ends,) = cell.samples.start_s, cell.samples.end_s
    times = [(end - start) / cell.inner for start, end in zip(starts, ends, strict=True)]
    assert WORK_S * 0.99 <= min(times) < WORK_S * 10  # what is more is a neighbour's
    assert starts[0] >= 0


def test_every_case_has_both_clocks_unless_its_step_waits_for_the_device_itself(plain: Plain) -> None:
    queued, samples = plain.cell.queued, plain.cell.samples
    assert queued is not None and samples.enqueue_s is not None
    (device_s,), (enqueue_s,) = queued.device_s, queued.enqueue_s
    assert len(device_s) == len(enqueue_s) == len(set(samples.position))  # one a visit
    assert min(device_s) == pytest.approx(WORK_S, rel=0.01)
    assert min(enqueue_s) < WORK_S / 4  # launching is quick here, and does not wait for the work
    assert queued.head_start_s > 0 and 1 <= queued.inner <= plain.cell.inner
    both = [entry for entry in measured("waits") if isinstance(entry, CellRecord)]
    assert [cell.queued for cell in both if "waits" in cell.case] == [None]
    assert all(cell.status == "ok" and cell.samples.device_s for cell in both)


def test_a_step_that_works_on_the_host_takes_what_the_host_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.measure.launch_ahead.HOLD_S", 0.5)
    cells = {cell.case: cell for cell in measured("host") if isinstance(cell, CellRecord)}
    cell = cells["queued[fault=host]@1"]
    assert cell.status == "ok" and cell.queued is not None
    assert min(cell.samples.device_s[0]) / cell.inner >= 0.99 * WORK_S
    assert min(cell.samples.enqueue_s[0]) / cell.inner >= 0.99 * WORK_S
    assert min(cell.queued.enqueue_s[0]) >= 0.99 * WORK_S
    assert min(cell.queued.device_s[0]) < WORK_S / 2


def test_a_cold_sample_is_of_one_step_after_the_cache_was_cleared(plain: Plain) -> None:
    flushed = queue.flushed
    (cell,) = [entry for entry in measured(cache="cold") if isinstance(entry, CellRecord)]
    assert cell.inner == 1
    assert queue.flushed - flushed >= len(cell.samples.round)
    assert plain.flushed == 0


def test_steps_are_replayed_and_one_that_cannot_be_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    replays: list[int] = []

    def captured(step: Callable[[], Any], *_: object) -> Callable[[], Any]:
        return lambda: (replays.append(1), step())[1]

    monkeypatch.setattr(cuda_graphs, "captured", captured)
    cells = {cell.case: cell for cell in measured("reads", execution="graph") if isinstance(cell, CellRecord)}
    plain, reads = cells["queued[fault=none]@1"], cells["queued[fault=reads]@1"]
    assert (reads.status, reads.message, reads.samples) == ("skipped", "reads to the host once a step", None)
    assert plain.status == "ok"
    assert len(replays) >= len(plain.samples.round) * plain.inner


def test_a_capture_that_fails_is_a_skipped_case_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def captured(*_: object) -> None:
        raise RefusedError("cannot be captured: CUDA error")

    monkeypatch.setattr(cuda_graphs, "captured", captured)
    (cell,) = [entry for entry in measured(execution="graph") if isinstance(entry, CellRecord)]
    assert (cell.status, cell.message, cell.rank) == ("skipped", "cannot be captured: CUDA error", 0)


def test_what_was_read_of_a_gpu_beside_its_samples_is_in_the_cell(plain: Plain) -> None:
    (cell,) = [entry for entry in measured(reading=True) if isinstance(entry, CellRecord)]
    count = len(cell.samples.round)
    assert cell.samples.clock_mhz == ((1980.0,) * count,)
    assert cell.samples.held_back == ((4,) * count,)
    assert cell.facts[0].watts == pytest.approx(250, rel=0.01)
    bare = plain.cell
    assert (bare.samples.clock_mhz, bare.samples.held_back, bare.facts[0].watts) == (None, None, None)


def test_what_cannot_fit_is_skipped_untried_with_the_reason() -> None:
    cells = {cell.case: cell for cell in measured("huge") if isinstance(cell, CellRecord)}
    huge = cells["queued[fault=huge]@1"]
    assert (huge.status, huge.rank) == ("skipped", 0)
    assert huge.message == "needs at least 1024 GiB on each device, which has 80 GiB"
    assert cells["queued[fault=none]@1"].status == "ok"
    cells = {cell.case: cell for cell in measured("crowded") if isinstance(cell, CellRecord)}
    crowded = cells["queued[fault=crowded]@1"]
    assert crowded.status == "skipped"
    assert crowded.message.startswith("needs at least 64 GiB on each device, of whose 80 GiB 16 GiB are free")


def test_the_journal_has_launch_begin_cell_in_this_order(plain: Plain) -> None:
    kept = [type(entry) for entry in plain.told if not isinstance(entry, VisitNote)]
    assert kept == [LaunchRecord, BeginRecord, CellRecord]


def test_each_case_is_measured_under_its_own_settings_of_the_process() -> None:
    dtypes.clear()
    cells = {cell.case: cell for cell in measured("dtype") if isinstance(cell, CellRecord)}
    assert dtypes == {"none": {torch.float32}, "dtype": {torch.float64}}
    assert torch.get_default_dtype() == torch.float32
    kinds = {
        key: [warning for warning in cell.warnings if warning.kind is Kind.PROCESS_SETTINGS]
        for key, cell in cells.items()
    }
    (warning,) = kinds["queued[fault=dtype]@1"]
    assert warning.fact == "it sets torch.set_default_dtype to torch.float64 (before: torch.float32)"
    assert kinds["queued[fault=none]@1"] == []


def test_what_the_check_established_is_in_the_cell(plain: Plain) -> None:
    assert [rank.found for rank in plain.cell.facts] == [{"launched": 1}]


def test_a_product_of_zeros_is_measured_and_doubted() -> None:
    cells = {cell.case: cell for cell in measured("zeros") if isinstance(cell, CellRecord)}
    plain, zeros = cells["queued[fault=none]@1"], cells["queued[fault=zeros]@1"]
    assert plain.status == zeros.status == "ok"
    assert Kind.CONSTANT_OPERANDS not in {warning.kind for warning in plain.warnings}
    (warning,) = [warning for warning in zeros.warnings if warning.kind is Kind.CONSTANT_OPERANDS]
    assert "multiplies 1 matrix" in warning.fact
    assert "random" in warning.kind.remedy
    assert zeros.facts[0].constant_operands == 1


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        ("check", "wrong", "not what was expected"),
        ("memory", "oom", "MemoryError: 17 TiB"),
        ("disk", "error", "the disk is full: OSError: [Errno 28] No space left on device: 'half'"),
        ("checkpoint", "error", "the disk is full: OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_failure_is_its_own_cell_and_the_others_are_measured(fault: str, status: str, message: str) -> None:
    closed.clear()
    cells = {cell.case: cell for cell in measured(fault) if isinstance(cell, CellRecord)}
    assert cells["queued[fault=none]@1"].status == "ok"
    broken = cells[f"queued[fault={fault}]@1"]
    assert (broken.status, broken.message, broken.rank, broken.samples) == (status, message, 0, None)
    assert "none" in closed
    assert (fault in closed) == (fault == "check")  # what was prepared is let go of


STRANGE = {
    "import": "must",
    "constructor": "ValueError: no such combination",
    "need": "TypeError: what memory() returns must be a number, but is NoneType",
    "property": "LookupError: nobody counted",
    "tensor": "TypeError: Work.flops must be a number, but is Tensor",
    "asymmetric": "ValueError: The truth value of an array",
}


def test_whatever_cannot_be_evaluated_of_a_scenario_is_an_error_of_its_case_alone() -> None:
    """On a device with memory of its own, where a case is asked for its need before it is tried."""
    cells = {cell.case: cell for cell in measured(*STRANGE) if isinstance(cell, CellRecord)}
    assert cells.pop("queued[fault=none]@1").status == "ok"
    assert {cell.status for cell in cells.values()} == {"error"}
    told = {case.removeprefix("queued[fault=").removesuffix("]@1"): cell.message or "" for case, cell in cells.items()}
    assert told.keys() == STRANGE.keys()
    for fault, words in STRANGE.items():
        assert words in told[fault]


def test_after_a_sticky_error_a_process_measures_nothing_more() -> None:
    (cell,) = [entry for entry in measured("sticky") if isinstance(entry, CellRecord)]
    assert (cell.case, cell.status) == ("queued[fault=sticky]@1", "error")
    assert cell.message == "AcceleratorError: CUDA error: an illegal memory access was encountered"


def test_on_a_gpu_every_failure_takes_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(0, 1, FakeGpu(torch=torch.device("cuda", 0)), "cuda:0", (0,), 1)  # type: ignore[arg-type]
    runner = CaseRunner(Case(scenario="x", reference="x:X", params={}, world_size=1), None, world)
    with pytest.raises(SpoiledError):
        recover(runner, Failure.of("oom", "full", 0))


@pytest.mark.parametrize("backend", ["nccl", "gloo"])
def test_a_case_that_all_ranks_refuse_costs_no_processes_on_gpus_and_one_that_some_refuse_does(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """Those that did not refuse may be in a collective for ever."""
    renewed: list[tuple[int, ...]] = []
    monkeypatch.setattr(World, "renew", lambda _, *sizes: renewed.append(sizes))
    world = World(0, 1, FakeGpu(torch=torch.device("cuda", 0)), "cuda:0", (0,), 1, backend=backend)  # type: ignore[arg-type]
    runner = CaseRunner(Case(scenario="x", reference="x:X", params={}, world_size=2), None, world)
    refusal = Failure.of("skipped", "no shared disk", 0)
    assert recover(runner, replace(refusal, refusals=2)) == []
    assert renewed == ([] if backend == "nccl" else [(2,)])
    with pytest.raises(SpoiledError):
        recover(runner, replace(refusal, refusals=1))


GANG: Any = SimpleNamespace(folder=Path("/nowhere"))


def test_who_runs_out_of_memory_tells_what_else_is_there() -> None:
    def breaks() -> None:
        raise MemoryError("17 TiB")

    runner = CaseRunner(
        Case(scenario="x", reference="x:X", params={}, world_size=1), GANG, World(0, 1, FakeGpu(), "cuda:0", (0,), 1)
    )  # type: ignore[arg-type]
    runner.resident_bytes = 3 * 2**30
    failure = attempt(runner, breaks)
    assert failure is not None
    assert failure.message == "MemoryError: 17 TiB (beside 3 GiB of the comparison's other cases: name fewer)"


@pytest.mark.parametrize(("backend", "size", "told"), [("nccl", 2, 1), ("nccl", 1, 0), ("gloo", 2, 1)])
def test_a_failure_that_peers_may_never_agree_on_is_told_at_once(backend: str, size: int, told: int) -> None:
    notes: list[Any] = []
    world = World(0, 2, FakeGpu(torch=torch.device("cuda", 0)), "cuda:0", (0,), 1, backend=backend)  # type: ignore[arg-type]
    runner = CaseRunner(Case(scenario="x", reference="x:X", params={}, world_size=size), GANG, world)

    def breaks() -> None:
        raise MemoryError("17 TiB")

    with world.watchdog.posted(0, 600, notes.append):
        failure = attempt(runner, breaks)
    assert failure is not None and (failure.status, failure.message) == ("oom", "MemoryError: 17 TiB")
    assert len(notes) == told
    for note in notes:
        assert (note.state, note.rank, note.status, note.at) == ("failed", 0, "oom", failure.message)
        assert "in breaks" in note.stack


def pair(world: World, lent: bool) -> CaseRunner:
    gang: Any = SimpleNamespace(folder=Path("/nowhere"), lent={2} if lent else set())
    return CaseRunner(Case(scenario="x", reference="x:X", params={}, world_size=2), gang, world)


@pytest.mark.parametrize("failed_holds", [False, True])
def test_cases_that_hold_the_group_of_a_failed_one_take_new_processes_and_are_given_up_where_there_are_none(
    monkeypatch: pytest.MonkeyPatch, failed_holds: bool
) -> None:
    renewed: list[tuple[int, ...]] = []
    notes: list[Any] = []
    monkeypatch.setattr(World, "renew", lambda _, *sizes: renewed.append(sizes))
    world = World(0, 1, CpuDevice(0), "cpu:0", (0,), 1, sizes=(2, 4))
    failed, free, holder = (pair(world, lent) for lent in (failed_holds, False, True))

    def breaks() -> None:
        raise ValueError("the twelfth step")

    with world.watchdog.posted(0, 600, notes.append):
        failure = attempt(failed, breaks)
        assert failure is not None and failure.released
        assert recover(failed, failure, [free]) == []  # that it held the group itself is over
        assert [note.state for note in notes] == ["failed", "settled"] and notes[0].when_s == notes[1].when_s
        with pytest.raises(SpoiledError):
            recover(failed, failure, [free, holder])
        world.replaced = False
        assert recover(failed, failure, [free, holder]) == [holder]
    assert renewed == [(2,), (2,)]
    assert len(notes) == 2


def test_a_check_that_says_wrong_is_told_to_the_parent_and_breaks_no_group() -> None:
    """A peer may wait in a collective of its own check for the rank that has judged."""
    notes: list[Any] = []
    world = World(0, 1, CpuDevice(0), "cpu:0", (0,), 1)
    runner = pair(world, lent=True)

    def rejects() -> None:
        raise AssertionError("another sum")

    with world.watchdog.posted(0, 600, notes.append):
        failure = attempt(runner, rejects, rejected="wrong")
        assert failure is not None and not failure.released and runner.failed_s is None
        assert recover(runner, failure, [runner]) == []
    assert [(note.state, note.status) for note in notes] == [("failed", "wrong"), ("settled", "hang")]


def test_one_rank_s_sticky_error_spoils_them_all_whoever_failed_first() -> None:
    class Two(ControlPlane):
        def greatest(self, values: object, among: object = None) -> list[float]:
            return [1.0, 0.0]  # it failed, and nobody asked for a halt

        def gather(self, value: object, kind: object) -> list[object]:
            return [value, replace(Failure.of("error", "CUDA error", 1, 2.0), sticky=True)]

    settled = Two().settle(Failure.of("error", "first", 0, 1.0))
    assert settled == replace(Failure.of("error", "first", 0, 1.0), sticky=True)


def test_a_message_cannot_steer_a_terminal() -> None:
    told = Failure.of("error", "\x1b[31mred\x1b[0m\nnext\tline ✓", 0).message
    assert told == "\ufffd[31mred\ufffd[0m\nnext\tline ✓"


def test_a_full_disk_is_given_back_before_the_cell_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the worker of this test has its scratch folder
    told: list[list[Path]] = []

    def tell(record: Record) -> None:
        if isinstance(record, CellRecord) and record.status == "error":
            told.append([path for path in tmp_path.rglob("*") if path.is_file()])

    measured("disk", tell=tell)
    assert told == [[]]
