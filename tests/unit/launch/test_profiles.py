"""Profiles: what a rank traces and how it is bounded; and how the parent of a run keeps what gangs hand over."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
from pydantic import ValidationError

from harness.device.device import CpuDevice
from harness.journal.log import Journal
from harness.journal.plan import Case, Comparison, Plan, Record, Side
from harness.journal.protocol import Order, TraceNote, VisitNote
from harness.journal.records import CellRecord, ProfileRecord
from harness.journal.run_directory import RunDir
from harness.measure import profiler
from harness.measure.case_runner import CaseRunner
from harness.measure.worker import run as work
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.scenario import Gang, Work, Workload
from harness.world.world import World
from launch.launcher import Ending, Launcher
from launch.supervision.profiling import Profiling
from tests.gpus import FakeGpu


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A product; it can be refused a graph, for it reads to the host."""

    scaling: ClassVar = "none"

    def prepare(self, gang: Gang) -> Workload:
        a = torch.randn(8, 8)
        return Workload(lambda: (a @ a).sum().item(), check=lambda _: None, work=Work())


CASE = Case(scenario="noted", reference=f"{__name__}:Noted", params={"a/b": "<x>"}, world_size=1)


def order(folder: Path, **changes: Any) -> Order:
    compared = Comparison(scenario="noted", title="", scaling="none", params={}, cases=(CASE,))
    plan = Plan(
        version="0", command="", sides=(Side(name="a"),), devices=("cpu:0",), world_sizes=(1,), launches=1,
        budget_s=1, regime={}, comparisons=(compared,), profile=True, **changes,
    )  # fmt: skip
    told = {"plan": plan, "launch": 0, "attempt": 0, "todo": {0: (CASE,)}, "budget_s": 0, "fingerprint": ""}
    return Order(**told, scratch=str(folder), profile=True)


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Record]]:
    monkeypatch.setattr(Noted, "__init__", lambda self, **_: None)  # whatever its parameters are called
    sys.modules.setdefault(__name__, sys.modules[Noted.__module__])

    def trace(**changes: Any) -> list[Record]:
        told: list[Record] = []
        assert work(order(tmp_path, **changes), World(0, 1, CpuDevice(0), "cpu:0", (0,), 1), told.append)
        assert not any(tmp_path.iterdir())
        return told

    return trace


def test_a_rank_hands_over_its_trace_and_then_says_so(trace: Callable[..., list[Record]]) -> None:
    visit, note, record = trace()
    assert isinstance(visit, VisitNote) and isinstance(note, TraceNote) and isinstance(record, ProfileRecord)
    assert visit.case == record.case == CASE.key
    assert record.files == (note.file,) == ("00-00-noted-a-b-x@1-rank0.json.gz",)
    assert (record.bytes, record.steps, record.message) == (len(note.content), 3, None)
    seen = [event["name"] for event in json.loads(gzip.decompress(note.content))["traceEvents"]]
    assert seen.count("aten::mm") == 3
    through = TraceNote.model_validate_json(note.model_dump_json())
    assert through == note


def test_what_would_be_too_large_is_traced_for_one_step_or_not_at_all(
    trace: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([100, 10])
    taken = profiler.Tracer._take

    def take(self: profiler.Tracer, runner: CaseRunner, steps: int) -> None:
        taken(self, runner, steps)
        self._taken = b"x" * next(sizes)

    monkeypatch.setattr(profiler.Tracer, "_take", take)
    monkeypatch.setattr(profiler, "MOST_BYTES", 10)
    record = trace()[-1]
    assert isinstance(record, ProfileRecord)
    assert (record.bytes, record.steps) == (10, 1)
    sizes = iter([100, 11])
    _, record = trace()
    assert isinstance(record, ProfileRecord)
    assert not record.files and "takes more than" in str(record.message)


def test_who_is_to_end_traces_no_further_case(trace: Callable[..., list[Record]], tmp_path: Path) -> None:
    told: list[Record] = []
    twice = order(tmp_path).model_copy(update={"todo": {0: (CASE, CASE)}})
    world = World(0, 1, CpuDevice(0), "cpu:0", (0,), 1)

    def tell(record: Record) -> None:
        told.append(record)
        world.control.stop_request.asked = True

    assert work(twice, world, tell)
    assert [type(record) for record in told] == [VisitNote, TraceNote, ProfileRecord]


def test_all_traces_of_a_run_are_bounded_too(trace: Callable[..., list[Record]], tmp_path: Path) -> None:
    told: list[Record] = []
    twice = order(tmp_path).model_copy(update={"todo": {0: (CASE, CASE)}})
    here = World(0, 1, CpuDevice(0), "cpu:0", (0,), 1, scratch=tmp_path)
    tracer = profiler.Tracer(twice, here, told.append, left=1)
    tracer.trace()
    first, second = [record for record in told if isinstance(record, ProfileRecord)]
    assert first.files and not second.files
    assert second.message == "the traces before it take 256 MiB (limit): run fewer cases"


def test_what_cannot_be_captured_has_no_profile_of_its_replay(trace: Callable[..., list[Record]]) -> None:
    record = trace(execution="graph")[-1]
    assert isinstance(record, ProfileRecord)
    assert "read" in str(record.message)


def test_on_cuda_steps_are_nvtx_ranges_and_all_work_is_done_before_the_profiler_stops(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu = FakeGpu(torch=torch.device("cuda", 0))
    asked: list[Any] = []

    class Profiler:
        def __init__(self, *, activities: list[Any], **_: Any) -> None:
            asked.extend(activities)

        def __enter__(self) -> Self:
            gpu.told.append("start")
            return self

        def step(self) -> None:
            gpu.told.append("next")

        def __exit__(self, *error: object) -> None:
            gpu.told.append("stop")

    @contextlib.contextmanager
    def ranged(name: str) -> Iterator[None]:
        gpu.told.append(name)
        yield
        gpu.told.append("end")

    monkeypatch.setattr(profiler, "profile", Profiler)
    monkeypatch.setattr(torch.cuda.nvtx, "range", ranged)
    runner = CaseRunner(CASE, None, World(0, 1, gpu, "cuda:0", (0,), 1))  # type: ignore[arg-type]
    runner.workload = Workload(
        lambda: gpu.launch(1e-3), check=lambda _: None, work=Work(), reset=lambda: gpu.told.append("reset")
    )
    profiler.traced(runner, 1, tmp_path / "trace.json.gz")
    steps = [[f"{CASE.key} step {number}", "launch", "end", "synchronize", "next"] for number in (0, 1)]
    assert gpu.told == ["reset", "start", *steps[0], *steps[1], "stop"]
    assert asked == [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]


@pytest.mark.parametrize("name", ["../x.json.gz", "/etc/x.json.gz", "a b.json.gz", ".x.json.gz", "x.html"])
def test_a_name_that_leads_elsewhere_is_no_name_of_a_file(name: str) -> None:
    with pytest.raises(ValidationError):
        TraceNote(file=name, content=b"")
    with pytest.raises(ValidationError):
        ProfileRecord(comparison=0, case="c", files=(name,))


Act = Callable[[Order, Callable[[Record], None]], Ending | None]


class Script(Launcher):
    """A launcher that does what a test says, gang by gang."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.orders: list[Order] = []

    def launch(self, order: Order, hear: Callable[[Record], None]) -> Ending | None:
        self.orders.append(order)
        return self.acts.pop(0)(order, hear)


def well(order: Order, hear: Callable[[Record], None]) -> None:
    for index, cases in order.todo.items():
        for place, case in enumerate(cases):
            name = f"{index}-{place}@{case.world_size}-rank0.json.gz"
            hear(TraceNote(file=name, content=base64.b64encode(b"trace")))
            hear(ProfileRecord(comparison=index, case=case.key, files=(name,), bytes=5, steps=3))


def dies(order: Order, hear: Callable[[Record], None]) -> Ending:
    (index, cases), *_ = order.todo.items()
    hear(VisitNote(comparison=index, case=cases[0].key, round=0, rounds=0))
    return Ending("died", "rank 1 was killed by SIGKILL", 1)


def spoiled(order: Order, hear: Callable[[Record], None]) -> None:
    """What a gang on GPUs does after an error: it ends well, and leaves the rest to another."""
    (index, cases), *_ = order.todo.items()
    hear(ProfileRecord(comparison=index, case=cases[0].key, message="CUDA error"))


def silent(order: Order, hear: Callable[[Record], None]) -> Ending:
    return Ending("hang", "no sign of life for 150 s")


def keep(folder: Path, *acts: Act, plan: Plan | None = None) -> tuple[Script, list[ProfileRecord]]:
    """Profile a run of one launch in which all variants but ``inner`` were ok."""
    plan = plan or make(RunRequest(names=["split"], devices="cpu:1", launches=1, profile=True))
    run, script = RunDir(folder / "run"), Script(*acts)
    if not run.exists():
        run.create(plan)
    with Journal(run.journal_path) as journal:
        for _, index, case in plan.cells():
            status = "error" if case.variant == "inner" else "ok"
            journal.append(CellRecord(launch=0, comparison=index, case=case.key, status=status))
        Profiling(run, plan, journal, lambda _: None).run(script, str(folder))
    return script, [entry for entry in run.entries() if isinstance(entry, ProfileRecord)]


def test_each_case_that_was_ok_is_traced_once_and_probes_are_not(tmp_path: Path) -> None:
    script, told = keep(tmp_path, well)
    assert [case.variant for case in script.orders[0].todo[0]] == ["whole", "columns"]
    assert script.orders[0].profile
    assert sorted(path.name for path in (tmp_path / "run/profiles").iterdir()) == sorted(
        name for record in told for name in record.files
    )
    assert {path.read_bytes() for path in (tmp_path / "run/profiles").iterdir()} == {b"trace"}
    again, _ = keep(tmp_path)
    assert again.orders == []  # a run that is resumed makes none twice


def test_what_was_ok_on_another_side_only_is_not_traced(tmp_path: Path) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=1, sides=(Side(name="a"), Side(name="b"))))
    run, script = RunDir(tmp_path / "run"), Script()
    run.create(plan)
    with Journal(run.journal_path) as journal:
        for launch, index, case in plan.cells():
            status = "ok" if plan.side_of(launch).name == "b" else "error"
            journal.append(CellRecord(launch=launch, comparison=index, case=case.key, status=status))
        Profiling(run, plan, journal, lambda _: None).run(script, str(tmp_path))
    assert plan.launches == 2 and script.orders == []


@pytest.mark.parametrize(("act", "why"), [(dies, "rank 1 was killed by SIGKILL"), (spoiled, "CUDA error")])
def test_after_a_case_that_ends_its_gang_another_gang_does_the_rest(tmp_path: Path, act: Act, why: str) -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=1, profile=True))
    RunDir(tmp_path / "run").create(plan)
    (tmp_path / "run/logs/profile-0-3").mkdir(parents=True)
    script, told = keep(tmp_path, act, well, plan=plan)
    assert [len(order.todo[0]) for order in script.orders] == [2, 1]
    assert [record.message for record in told] == [why, None]
    assert [order.attempt for order in script.orders] == [4, 5]  # each has logs of its own, also beside earlier ones


def test_gangs_that_tell_nothing_are_not_started_for_ever(tmp_path: Path) -> None:
    script, told = keep(tmp_path, silent)
    assert len(script.orders) == 1
    assert [record.message for record in told] == ["no sign of life for 150 s"] * 2


def test_files_that_cannot_be_written_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    plan = make(RunRequest(names=["split"], devices="cpu:1", launches=1, profile=True))
    RunDir(tmp_path / "run").create(plan)
    (tmp_path / "run/profiles").write_text("in the way")
    _, told = keep(tmp_path, well, plan=plan)
    assert [record.files for record in told] == [(), ()]
    assert all("could not be written" in str(record.message) for record in told)


def test_figures_of_a_run_with_profiles_are_those_of_one_without() -> None:
    plain = make(RunRequest(names=["split"], devices="cpu:1"))
    assert plain.identity == make(RunRequest(names=["split"], devices="cpu:1", profile=True)).identity
    assert replace(RunRequest(), profile=True) != RunRequest()
