"""The runner of one planned case in one launch, on one rank."""

import gc
import shutil
import traceback
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from harness.common.errors import CollectiveError, RefusedError
from harness.device.kinds import kind_of
from harness.device.telemetry.case_telemetry import CaseTelemetry
from harness.device.telemetry.cpu_load import CpuTime
from harness.device.timing import QueueTimer, RankSample, StartLine, Timer
from harness.gang import Gang
from harness.journal.plan import Case, Value
from harness.journal.records import LONGEST, RankFacts, Status
from harness.measure import compiled, cuda_graphs, failures
from harness.measure.altered_output import altered
from harness.measure.collective_times import Watched
from harness.measure.launch_ahead import QueueDepth, head_start_s, room
from harness.measure.message_watcher import watched
from harness.measure.process_settings import Settings
from harness.measure.timing_loop import sample
from harness.plugins.registry import load as load_scenario
from harness.plugins.source_digest import digest
from harness.scenario import Workload
from harness.work import contract, memory
from harness.work.counting import Count, count
from harness.work.memory import Peak, peak
from harness.world import flight_recorder
from harness.world.control import Failure
from harness.world.world import World

UNSEEN = "code that PyTorch does not see"
"""The uncounted work of a scenario that says so itself."""
DEFAULT_GROUP = (
    " (a collective on the default process group, which is of all ranks and cannot be used here: pass"
    " process_group=gang.group, or mesh=gang.mesh; of DTensor's random numbers on GPUs call"
    " torch.distributed.tensor._random.manual_seed(seed, mesh) first)"
)


@cache
def _digest(reference: str) -> str:
    return digest(load_scenario(reference).cls)


@dataclass
class CaseRunner:
    """A case's state on this rank. A rank that has no part in the case has no gang."""

    case: Case
    gang: Gang | None
    world: World
    step_s: float = 0.0
    """Seconds of a step, as far as known."""
    inner: int = 1
    """Steps in a sample."""
    warm: int = 1
    """Untimed steps at the start of a visit."""
    code: str = ""
    """Digest of the scenario's source when the run was planned; empty where there is none."""
    cold: bool = False
    """Whether the device's cache is cleared before each sample."""
    room: QueueDepth = field(default_factory=QueueDepth)
    """How many of its steps can be launched ahead of the device."""
    ahead: bool = False
    """Whether the device's own time is taken too, with steps launched ahead of it."""
    visits: list[tuple[int, int, int]] = field(default_factory=list)
    """(round, position, samples) of each visit, on every rank of the launch alike."""
    laps: list[RankSample] = field(default_factory=list)
    queued: list[RankSample] = field(default_factory=list)
    """Samples of the device's own time."""
    watched: list[Watched] = field(default_factory=list)
    """Samples that do not count, with their collectives."""
    telemetry: CaseTelemetry = field(default_factory=CaseTelemetry)
    """Telemetry of the device during the case's visits."""
    load: CpuTime = field(default_factory=CpuTime)
    retries: int = 0
    """How often the device's memory was full in the visits."""
    resident_bytes: int = 0
    """Device memory that other cases held before this one was prepared."""
    failed_s: float | None = None
    """Host clock when this rank failed."""
    lost: Failure | None = None
    """Why it cannot go on, though it has not failed itself: the same on every rank."""
    workload: Workload | None = None
    settings: Settings = field(default_factory=Settings)
    """Those of the process that it has changed: whoever calls its code puts them in force."""
    _first_s: float = 0.0
    _count: Count = field(default_factory=Count)
    _peak: Peak = field(default_factory=Peak)
    _before: int | None = None
    """Bytes of memory in use before it was prepared."""
    _found: dict[str, Value] = field(default_factory=dict)
    _output: Any = None
    _steps: int = 0
    """Number of steps in the last sample."""

    def shortage(self) -> str | None:
        """Why the case does not fit into the device's memory, if the scenario tells its need; else None."""
        device = self.world.device
        if self.gang is None or device.memory_bytes is None:
            return None
        return memory.shortage(self._scenario(), self.gang.size, device.memory_bytes, device.free_bytes)

    def prepare(self) -> None:
        """Make the state, do the first steps, count what a step does, and see what memory one needs."""
        compiled.make_room()
        self.resident_bytes = memory.allocated(self.world.device.torch)
        self._before = memory.in_use(self.world.device.torch)
        self.workload = workload = contract.validated(self._scenario().prepare(self._my_gang))
        self.world.yield_to_step()
        workload.reset()
        clock = self.world.clock.read
        start_s = clock()
        workload.step()
        self.world.device.synchronize()
        self._first_s = clock() - start_s
        self.world.yield_to_step()  # of groups that a first step makes
        self.world.watchdog.beat()
        workload.reset()
        workload.step()  # the second is no step like others either: DDP arranges its buckets anew
        self.world.watchdog.beat()
        workload.reset()
        self._count = count(workload.step, self.world.device.stream)
        workload.reset()
        gc.collect()  # the collector is off: what is left in cycles is not held
        with peak(self.world.device.torch) as self._peak:  # of a plain step: counting needs memory of its own
            workload.step()

    def _scenario(self) -> Any:
        """The scenario with the case's parameters. Raises RefusedError where its code is not what was planned."""
        if self.code and _digest(self.case.reference) != self.code:
            why = "it has changed since, or this side's environment has another version"
            raise RefusedError(f"the code of {self.case.scenario} is not what was planned: {why}")
        return load_scenario(self.case.reference).cls(**self.case.params)

    def refusal(self) -> str | None:
        """Why its step cannot be captured, as far as counting shows; else None."""
        return None if self.gang is None else cuda_graphs.refusal(self._count, self.world.backend)

    def capture(self) -> None:
        """Have the step captured once, and from now on replayed."""
        workload, gang = self._my_workload, self._my_gang
        workload.reset()
        step = cuda_graphs.captured(workload.step, gang.device, (gang.generator, gang.shared_generator))
        self.workload = replace(workload, step=step)
        self._count = replace(self._count, streams=frozenset())  # they are inside the graph

    def look_ahead(self, steps: int) -> None:
        """Measure how far ahead of the device this many steps can be launched."""
        workload = self._my_workload
        workload.reset()
        depth = room(workload.step, steps, self.world.device, self.world.clock.read)
        self.room = QueueDepth(0) if self._count.host_reads or workload.waits else depth

    @property
    def queued_inner(self) -> int:
        """Steps in a sample of the device's own time."""
        return min(self.inner, int(self.room.steps)) if self.ahead else 0

    @property
    def head_start_s(self) -> float:
        """For how long the device is held before such a sample."""
        return head_start_s(self.queued_inner, self.room) if self.ahead else 0.0

    def visit(self, samples: int, queued: int = 0) -> list[RankSample]:
        """Warm up and take ``samples`` samples, in step with the other ranks of the case.

        ``queued`` samples of the device's own time come before them: what is checked is the output of the others.
        """
        line = self.world.line(self.case)
        try:
            laps = self._visit(samples, queued, line)
        except CollectiveError:
            raise
        except BaseException as error:
            self.fail(error)
            line.give_up()
            raise
        line.finish()
        gc.collect(0)  # the collector is off: cycles that steps leave behind go here, between visits
        return laps

    def watch(self, samples: int) -> None:
        """A visit that does not count, each message of which is noted."""
        with watched(self.world.device, self.world.clock.read) as seen:
            laps = self.visit(samples)
        self.watched = [Watched.of(lap, seen) for lap in laps]

    def failure(self, error: BaseException, rejected: Status = "error") -> Failure:
        """The failure that an exception means; ``rejected`` is the status that an AssertionError means."""
        cause, rank = failures.culprit(error, self.world.rank, self.case)
        failed = failures.failure(cause, rank, rejected, self.failed_s or self.world.wall_clock())
        if failed.status not in ("wrong", "skipped"):  # those say all there is
            failed = replace(failed, stack="".join(traceback.format_exception(cause))[-LONGEST:])
        return replace(failed, message=failed.message + self._hint(failed, cause))

    def _hint(self, failure: Failure, cause: BaseException) -> str:
        """Further information about a failure."""
        if failure.status == "oom":
            return memory.resident(self.resident_bytes)
        if isinstance(cause, RuntimeError) and flight_recorder.used_default_group(self.world.watchdog.quiet_s):
            return DEFAULT_GROUP
        return ""

    def fail(self, error: BaseException) -> None:
        """Note when this rank failed first, and let peers go that wait for it in a collective.

        Its files go at once: on a disk that they have filled, the journal must find room for what became of the case.
        """
        if self.failed_s is None:
            self.failed_s = self.world.wall_clock()
            self.report(error, self.failure(error))
            traceback.clear_frames(error.__traceback__)  # they may refer to much of its state
            self.remove_files()
            self.world.release(self.case.gang_size)

    def report(self, error: BaseException, failure: Failure) -> None:
        """Tell the run's parent, where there is one: what a peer waits for may be nothing that this rank can end."""
        if self.case.gang_size > 1:
            self.world.watchdog.report(failure, error)

    @property
    def holds_group(self) -> bool:
        """Whether the scenario may hold the gang's process group on this rank."""
        return self.gang is not None and bool(self.gang.lent)

    def _visit(self, samples: int, queued: int, line: StartLine) -> list[RankSample]:
        workload = self._my_workload
        device, streams = self.world.device, tuple(self._count.streams)
        watch = Timer(device, self.world.clock.read, streams=streams)
        before, tried = CpuTime.now(), memory.retries(device.torch)
        workload.reset()
        self._output = None
        for _ in range(self.warm):
            self._output = workload.step()
        if queued:
            timer = QueueTimer(device, self.world.clock.read, head_start_s=self.head_start_s, streams=streams)
            self.queued += self._take(queued, self.queued_inner, line, timer)
        laps = self._take(samples, self.inner, line, watch)
        if kind_of(self.world.name).clock_moves:  # else nobody takes time from it
            self.load += CpuTime.now() - before
        self.retries += memory.retries(device.torch) - tried
        return laps

    def _take(self, samples: int, inner: int, line: StartLine, timer: Timer) -> list[RankSample]:
        laps, self._steps = list[RankSample](), inner
        for _ in range(samples):
            self._output = None  # the last sample's takes no memory from this one
            lap, self._output = sample(self._my_workload, inner, self.world.device, line, timer, cold=self.cold)
            laps.append(lap)
            self.world.watchdog.beat()
        return laps

    def check(self) -> None:
        """Hand the output of the last timed step to the scenario's check. Raises AssertionError where it is wrong."""
        self._found = contract.checked_facts(contract.check(self._my_workload, self._output, self._steps) or {})

    def accepts_altered_output(self) -> bool:
        """Whether the check takes an output in which every number is another; False where it has no number.

        For a gang of one: a check may do collectives, and one that is refused leaves its peers waiting.
        """
        try:
            other = altered(self._output)
            if other is None:
                return False
            contract.check(self._my_workload, other, self._steps)
        except Exception:  # noqa: BLE001 - however a plugin refuses
            return False
        return True

    def close(self) -> None:
        """Let go of the state. The gang's files stay until its other ranks have closed too."""
        workload, self.workload, self._output = self.workload, None, None
        if workload is not None:
            workload.close()

    def remove_files(self) -> None:
        """Remove what is in the gang's folder."""
        if self.gang is not None:
            shutil.rmtree(self.gang.folder, ignore_errors=True)

    def facts(self) -> RankFacts:
        """This rank's declared work, counted work and side effects."""
        work = self._my_workload.work
        return RankFacts(
            flops=work.flops,
            bytes=work.bytes,
            items=work.items,
            wire=work.wire,
            counted_flops=self._count.flops,
            host_reads=self._count.host_reads,
            traffic_bytes=self._count.traffic_bytes,
            messages=self._count.messages,
            allocated_bytes=self._count.allocated_bytes,
            products=tuple(sorted(self._count.products)),
            uncounted=tuple(sorted(self._count.uncounted | ({UNSEEN} if self._my_workload.uncounted else set()))),
            constant_operands=self._count.constant_operands,
            asymmetric=self._my_workload.asymmetric and self._my_gang.size > 1,
            settings=tuple(self.settings.changes.values()),
            held_bytes=self.held_bytes,
            peak_bytes=self._peak.bytes,
            reserved_bytes=self._peak.reserved,
            alloc_retries=self.retries,
            watts=None if self.telemetry.watts is None else round(self.telemetry.watts, 2),
            found=self._found,
            first_s=round(self._first_s, 9),
            cpu_s=round(self.load.cpu_s, 6),
            wall_s=round(self.load.wall_s, 6),
            busy_s=None if self.load.busy_s is None else round(self.load.busy_s, 6),
            delay_s=None if self.load.delay_s is None else round(self.load.delay_s, 9),
            throttled_s=None if self.load.throttled_s is None else round(self.load.throttled_s, 6),
            main_s=None if self.load.main_s is None else round(self.load.main_s, 9),
            messages_s=None if self.load.messages_s is None else round(self.load.messages_s, 9),
        )

    @property
    def held_bytes(self) -> int | None:
        """Memory that it has in use between steps."""
        if self._before is None or self._peak.before is None:
            return None
        return max(0, self._peak.before - self._before)

    @property
    def unit(self) -> str:
        """The name of one item of the declared work."""
        return self._my_workload.work.unit

    @property
    def _my_gang(self) -> Gang:
        assert self.gang is not None
        return self.gang

    @property
    def _my_workload(self) -> Workload:
        assert self.workload is not None
        return self.workload
