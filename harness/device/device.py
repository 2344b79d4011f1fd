"""Devices: CUDA GPUs, CPU cores or emulated ones; what a user asked for, and what a rank holds."""

import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from harness.common.errors import UsageError
from harness.device import affinity, no_gpu, nvml, precision
from harness.device.cuda import CudaDevice
from harness.device.emulated.device import EmulatedDevice, use
from harness.journal.emulation import Emulation

PASSES = 100
"""How often at most this process's threads are listed to pin them: a library may start and end them without pause."""


class Device(Protocol):
    """What the timing loop needs of a device. A fake one proves in the tests that nothing is timed unsynchronised."""

    @property
    def torch(self) -> torch.device:
        """The device of a rank's tensors."""
        ...

    @property
    def memory_bytes(self) -> int | None:
        """Memory of its own; None where it has the host's."""
        ...

    @property
    def free_bytes(self) -> int | None:
        """How much of it this process could still allocate; None if the memory is the host's."""
        ...

    @property
    def queues(self) -> bool:
        """Whether work on it is done later than its launch returns."""
        ...

    def synchronize(self) -> None:
        """Wait until everything that was launched on it has ended."""

    def stream(self) -> Any:
        """The stream on which work is launched now; None where there are none."""

    def mark(self) -> Any:
        """Launch a time mark behind what was launched before; None where the host's clock is the only one."""

    def new_mark(self) -> Any:
        """A mark that stays good however many others follow."""

    def reached(self, mark: Any) -> bool:
        """Whether it has come to a mark."""
        ...

    def between(self, start: Any, end: Any) -> float | None:
        """Seconds between two marks that have been reached; None where marks are None."""

    def least(self) -> float | None:
        """Seconds between two marks with nothing in between; None where marks are None."""

    def hold(self, seconds: float) -> Any:
        """Set a mark and launch a pause of about so long behind it; it ends by itself."""

    def fork(self, streams: Iterable[Any]) -> None:
        """Let what is launched on ``streams`` from now on wait for all that was launched on the current one."""

    def join(self, streams: Iterable[Any]) -> None:
        """Let what is launched from now on wait for all that was launched on ``streams``."""

    def flush(self) -> None:
        """Launch what drives everything else out of its cache."""


@dataclass(frozen=True)
class CpuDevice:
    """One or more CPU cores. Work on them is done when the call returns."""

    index: int
    queues: ClassVar[bool] = False
    memory_bytes: ClassVar[None] = None
    free_bytes: ClassVar[None] = None

    @property
    def torch(self) -> torch.device:
        """Always the CPU: which cores is a matter of affinity."""
        return torch.device("cpu")

    @property
    def model(self) -> str:
        """The processor's model."""
        return cpu_model()

    def synchronize(self) -> None:
        """Do nothing: work is never pending."""

    def stream(self) -> None:
        """Work on it is done in one order."""

    def mark(self) -> None:
        """No clock but the host's."""

    def new_mark(self) -> None:
        """No clock but the host's."""

    def reached(self, mark: None) -> bool:
        """True: work is never pending."""
        del mark
        return True

    def between(self, start: None, end: None) -> None:
        """No clock but the host's."""

    def least(self) -> None:
        """No clock but the host's."""

    def hold(self, seconds: float) -> None:
        """Nothing is ever launched ahead of it."""

    def fork(self, streams: Iterable[Any]) -> None:
        """It has no streams."""

    def join(self, streams: Iterable[Any]) -> None:
        """It has no streams."""

    def flush(self) -> None:
        """Do nothing: samples are taken with warm caches."""


def parse(text: str | None, threads: int = 1, *, share: bool = False) -> tuple[str, ...]:
    """The devices that ``--devices`` means, one a rank: ``cpu``, ``cpu:2``, ``cuda``, ``cuda:0,1``; None for the best.

    Of emulated ones ``harness.planning.emulation`` judges what is asked for.

    ``share``: more ranks than there are CPU devices take them in turn. Raises UsageError for those that are not there.
    """
    kind, _, detail = (text or ("cuda" if torch.cuda.is_available() else "cpu")).partition(":")
    if kind == "cpu":
        return _cpus(detail, threads, share=share)
    if kind == "cuda":
        return _gpus(detail)
    if kind == "emulated":
        return tuple(f"emulated:{index}" for index in range(math.prod(map(int, detail.split("x")))))
    rule = "be cpu, cpu:N, cuda, cuda:I,J, emulated:N or emulated:HxN"
    raise UsageError("--devices", rule, repr(text), "e.g. --devices cpu:2")


def of_cluster(text: str | None, threads: int, nodes: Sequence[Mapping[str, int]]) -> tuple[str, ...]:
    """What ``--devices`` means on a cluster; ``nodes`` tell how many ``cpu`` cores and ``cuda`` GPUs each has.

    Which of them a rank gets is the cluster's choice; the names only count. Raises UsageError.
    """
    has = {"cuda": sum(node["cuda"] for node in nodes), "cpu": sum(node["cpu"] // threads for node in nodes)}
    kind, _, detail = (text or ("cuda" if has["cuda"] else "cpu")).partition(":")
    if kind not in has or (detail and not detail.isdecimal()):
        raise UsageError("--devices", "be cpu, cpu:N, cuda or cuda:N on a cluster", repr(text), "e.g. --devices cuda:8")
    count = int(detail) if detail else has[kind]
    if not 1 <= count <= has[kind]:
        capacity = f"the cluster's {len(nodes)} nodes have {has['cuda']} GPUs and room for {has['cpu']} CPU devices"
        raise UsageError("--devices", f"name 1 to {has[kind]} {kind} devices", text or kind, capacity)
    return tuple(f"{kind}:{index}" for index in range(count))


def _cpus(detail: str, threads: int, *, share: bool) -> tuple[str, ...]:
    have = len(cores()) // threads
    if have < 1:
        raise UsageError("--threads", f"be at most the {len(cores())} cores of this machine", threads, "lower it")
    count = _number(detail) if detail else have
    if share and count > have:
        return tuple(f"cpu:{index % have}" for index in range(count))
    if not 1 <= count <= have:
        of_cores = "" if threads == 1 else f" of {threads} cores each"
        remedy = f"use cpu:{have} or fewer, or add --share-device to test more ranks, without any scaling figure"
        raise UsageError("--devices", f"name 1 to {have} CPU devices{of_cores}", f"cpu:{detail}", remedy)
    return tuple(f"cpu:{index}" for index in range(count))


def _gpus(detail: str) -> tuple[str, ...]:
    have = torch.cuda.device_count()
    if not have:
        why, remedy = no_gpu.diagnosis()
        raise UsageError("--devices", "name GPUs that are there", f"cuda ({why})", f"{remedy}, or use --devices cpu")
    chosen = [_number(part) for part in detail.split(",")] if detail else list(range(have))
    if missing := [index for index in chosen if not 0 <= index < have]:
        raise UsageError("--devices", f"name GPUs from 0 to {have - 1}", f"cuda:{missing[0]}", "see rankbench doctor")
    return tuple(f"cuda:{index}" for index in chosen)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def cores() -> list[int]:
    """The logical CPUs that this process may use: one of each physical core first, then their siblings."""
    physical = siblings()
    return [group[turn] for turn in range(max(map(len, physical))) for group in physical if turn < len(group)]


def siblings() -> list[tuple[int, ...]]:
    """The logical CPUs that this process may use, those of one physical core together."""
    groups: dict[str, list[int]] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        groups.setdefault(path.read_text().strip() if path.exists() else str(cpu), []).append(cpu)
    return [tuple(group) for group in groups.values()]


AnyDevice = CpuDevice | CudaDevice | EmulatedDevice


def claim(
    name: str, threads: int, before: int = 0, among: int = 1, emulation: Emulation | None = None
) -> tuple[AnyDevice, tuple[int, ...]]:
    """Make this process the holder of a device: pin every thread of it, and set how many threads torch uses.

    A CPU device gets ``threads`` cores of its own; a GPU its share of the cores near it, to be shared once more where
    ``among`` ranks hold it, of which ``before`` come first. One that comes bound to cores of
    its own keeps to those. An emulated device, of ``emulation``, gets all of them: no time depends on where it runs.
    Returns the device, and this process's CPUs.
    Raises UsageError where this host has too few, or where a variable decides on a GPU's precision.
    """
    kind, _, text = name.partition(":")
    index = int(text)
    if emulation is not None:
        torch.set_num_threads(threads)
        precision.set_defaults()
        return use(EmulatedDevice(index, emulation)), tuple(cores())
    if kind == "cuda":
        precision.refuse_override()
    mine = cpus_of(name, threads, before, among)
    pin(mine)
    torch.set_num_threads(threads)
    precision.set_defaults()
    if kind == "cuda":
        torch.cuda.set_device(index)  # now that the host's memory for it comes from near it
        return CudaDevice(index), mine
    return CpuDevice(index), mine


def cpus_of(name: str, threads: int, before: int = 0, among: int = 1) -> tuple[int, ...]:
    """The CPUs of a device's holder, as :func:`claim` pins it. Raises UsageError where this host has too few."""
    kind, _, text = name.partition(":")
    index = int(text)
    if kind == "cuda":
        physical = siblings()
        cpus = tuple(cpu for core in physical for cpu in core)
        return cpus if affinity.bound() else seat(physical, nvml.near(), index, before, among)
    have = cores()
    place = index * threads
    if affinity.bound() and place + threads > len(have):  # cores of its own, and not shared with the others
        place = 0
    mine = tuple(have[place : place + threads])
    if len(mine) < threads:
        rule = f"have {threads} of its host's cores for each rank"
        remedy = "tell Ray what each node may use: ray start --num-cpus=N"
        raise UsageError("--devices", rule, f"{name} where {len(have)} may be used", remedy)
    return mine


def pin(cpus: Iterable[int]) -> None:
    """Let every thread of this process run on these CPUs alone.

    Threads come and go meanwhile: one that a pinned thread starts inherits, so it is done once none is found anew.
    """
    pinned = set[int]()
    for _ in range(PASSES):
        if not (new := _threads() - pinned):
            return
        for thread in new:
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(thread, cpus)
        pinned |= new


def _threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


@contextmanager
def borrowed() -> Iterator[set[int]]:
    """The CPUs of the calling thread; after the block each thread has those again that it had, and torch its settings.

    Those that were started meanwhile get the calling thread's.
    """
    cpus, threads = dict[int, set[int]](), torch.get_num_threads()
    for thread in _threads():
        with suppress(ProcessLookupError):
            cpus[thread] = os.sched_getaffinity(thread)
    mine = os.sched_getaffinity(0)
    try:
        with precision.kept():
            yield mine
    finally:
        torch.set_num_threads(threads)
        for thread in _threads():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cpus.get(thread, mine))


def seat(
    physical: Sequence[tuple[int, ...]], near: Sequence[frozenset[int]], index: int, before: int = 0, among: int = 1
) -> tuple[int, ...]:
    """The CPUs of a rank on GPU ``index``, in whole physical cores: the same ones however many ranks there are.

    ``near`` has the CPUs near each GPU of the host. Where there are more cores than GPUs, the last is left to others.
    """
    free = list(physical[:-1] if len(physical) > len(near) else physical)
    within = [[core for core in free if near_by.intersection(core)] or free for near_by in near]
    peers = [gpu for gpu, gpu_node in enumerate(within) if gpu_node == within[index]]
    mine = _slice(within[index], peers.index(index), len(peers))
    return tuple(cpu for core in _slice(mine, before, among) for cpu in core)


def _slice(cores: list[tuple[int, ...]], place: int, among: int) -> list[tuple[int, ...]]:
    """One of ``among`` equal parts of the cores; if there are fewer cores than parts, one shared core."""
    share = len(cores) // among
    return cores[place * share : (place + 1) * share] if share else [cores[place % len(cores)]]


def cpu_model() -> str:
    """The processor's model, as the kernel reports it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
