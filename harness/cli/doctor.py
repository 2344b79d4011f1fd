"""The doctor: what this machine offers, what would disturb a measurement on it, and what is missing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.device import affinity, cpu_quota, host_limits, no_gpu, nvml, other_runs
from harness.device.device import cores, cpu_model
from harness.device.fingerprint import governor

BUSY = 0.05
"""Fraction of a core above which other processes would disturb a measurement."""


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor saw."""

    grade: Literal["good", "fact", "warn", "bad"]
    subject: str
    text: str


def examine() -> list[Finding]:
    """Everything that the doctor sees; takes about a second, to watch the machine's other load."""
    return [*_devices(), *_limits(), *_disturbances(), *_software()]


MARKS = {"good": ("ok", "green"), "fact": ("--", "dim"), "warn": ("!!", "yellow"), "bad": ("XX", "red")}
"""A sign for each grade, and its style."""


def show(console: Console) -> bool:
    """Print all findings; return whether none is bad."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    findings = examine()
    for finding in findings:
        table.add_row(Text(*MARKS[finding.grade]), finding.subject, Text(finding.text))
    console.print(table)
    return not any(finding.grade == "bad" for finding in findings)


def _devices() -> Iterator[Finding]:
    count = torch.cuda.device_count()
    for index in range(count):
        facts = torch.cuda.get_device_properties(index)
        yield Finding("good", f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")
        if strangers := nvml.state(index)["processes"]:
            text = f"{strangers} other process{'es' * (strangers > 1)} on it: stop them, or expect times that vary"
            yield Finding("warn", f"cuda:{index}", text)
    have = cores()
    if not count:
        why, remedy = no_gpu.diagnosis()
        yield Finding("fact", "GPU", f"none: {why} ({remedy}); CPU cores stand in as devices")
    grade: Literal["good", "warn"] = "good" if len(have) > 1 else "warn"
    alone = "" if len(have) > 1 else ": with one device there is no scaling to measure"
    yield Finding(grade, "CPU", f"{cpu_model()}, {len(have)} usable core{'s' * (len(have) != 1)}{alone}")


def _limits() -> Iterator[Finding]:
    enough = host_limits.ranks() >= max(torch.cuda.device_count(), len(cores()))
    yield Finding("good" if enough else "warn", "open files", host_limits.open_files())
    if missing := host_limits.shared_memory():
        yield Finding("warn", "shared memory", missing)
    if unfit := host_limits.temporary_files():
        yield Finding("fact", "temporary files", unfit)
    folder = Path("runs") if Path("runs").is_dir() else Path()
    if refused := host_limits.locks(folder):
        yield Finding("warn", "run directories", refused)


def _disturbances() -> Iterator[Finding]:
    if short := cpu_quota.shortage(len(cores())):
        yield Finding("warn", "CPU quota", short)
    if often := cpu_quota.throttled_periods(cpu_quota.limited()):
        held_s = cpu_quota.throttled_s(cpu_quota.limited())
        yield Finding("warn", "CPU quota", f"has held processes back {often} times so far, {held_s:.3g} s in all")
    if ignored := affinity.dropped():
        yield Finding("fact", "binding", ignored)
    current_governor = governor()
    if current_governor not in (None, "performance"):
        yield Finding(
            "warn",
            "frequency",
            f"governor {current_governor!r}: clocks will move; `cpupower frequency-set -g performance`",
        )
    if other := other_runs.warning():
        yield Finding("warn", "other runs", other)
    busy, names = _others()
    if busy > BUSY:
        who = ", ".join(names) or "with processes that end too soon, or are too many, to be named"
        text = f"{busy:.2f} cores are busy now ({who}): stop them, or expect foreign-load warnings"
        yield Finding("warn", "other load", text)
    else:
        yield Finding("good", "other load", f"{busy:.2f} cores busy: quiet")


def _others() -> tuple[float, list[str]]:
    """Cores' worth of load by other processes over half a second, and the busiest of them."""
    watched = [process for process in psutil.process_iter(["name"]) if process.pid != os.getpid()]
    for process in watched:
        _share(process)
    total = psutil.cpu_percent(interval=0.5) / 100 * (psutil.cpu_count() or 1)
    shares = sorted(((_share(process), process.info["name"] or "?") for process in watched), reverse=True)
    return total, [name for share, name in shares[:3] if share > BUSY]


def _share(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent()) / 100
    except psutil.Error:
        return 0.0


def _software() -> Iterator[Finding]:
    yield Finding("good", "PyTorch", f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}")
    if dist.is_available() and dist.is_gloo_available():
        yield Finding("good", "gloo", "available: carries agreement between ranks, and collectives on CPU")
    else:
        yield Finding("bad", "gloo", "missing from this PyTorch: no run with more than one rank is possible")
    nccl = dist.is_nccl_available()
    if nccl or torch.cuda.is_available():
        yield Finding("good" if nccl else "bad", "NCCL", "available" if nccl else "missing: GPUs cannot work together")
    if not Path("/proc/self/schedstat").exists():
        yield Finding("warn", "foreign load", "the kernel keeps no run-queue times: only processor time tells of it")
