"""Settings of the whole process that a case may change: each case has its own, and others are measured without them.

All cases of a comparison are alive in one process at once. So what one of them sets (a default dtype, a number of
threads, a seed) is put back whenever its code returns, and is in force again whenever its code is called.
"""

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch

from harness.journal.measurement_warnings import Kind, MeasurementWarning


@dataclass(frozen=True)
class Setting:
    """Something that is set once for the whole process."""

    name: str
    """The name of the setting in code."""
    read: Callable[[], Any]
    """Its value; None if it cannot be read."""
    write: Callable[[Any], object] | None
    """Sets it; None where that works only once in a process."""
    warned: bool = True
    """Whether a case that changes it gets a warning. Drawing random numbers changes nothing that others rely on."""

    def change(self, before: object, after: object) -> str:
        """A case's change of the setting, in words."""
        lasting = "" if self.write else ", for the cases after it too"
        return f"{self.name} to {after!s:.{LONGEST}} (before: {before!s:.{LONGEST}}{lasting})"


MISSING = object()
LONGEST = 60
"""Characters of a value in a warning."""
DEVICES = "cpu", "cuda"
PRECISIONS = "", ".cuda.matmul", ".cudnn.conv", ".cudnn.rnn", ".mkldnn.matmul", ".mkldnn.conv", ".mkldnn.rnn"
"""Below ``torch.backends``: where the precision of products of float32 is set."""
FLAGS = (
    "utils.deterministic.fill_uninitialized_memory",
    *(f"backends.cudnn.{name}" for name in ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")),
    *(f"backends.cuda.matmul.allow_{name}_reduced_precision_reduction" for name in ("fp16", "bf16")),
    *("backends.cuda.matmul.allow_fp16_accumulation", "backends.mkldnn.enabled", "backends.mkldnn.deterministic"),
    *("backends.opt_einsum.enabled", "backends.opt_einsum.strategy", "backends.quantized.engine"),
    *(f"backends{part}.fp32_precision" for part in PRECISIONS),
)
"""Attributes below ``torch``. Setting an older one changes newer ones: those come last."""
ATTENTION = "flash", "math", "mem_efficient", "cudnn"
"""Kernels of scaled dot-product attention."""


def _flag(path: str) -> Setting:
    """An attribute of a module of PyTorch's, or of an object in one."""
    owner, _, name = path.rpartition(".")
    holder = attrgetter(owner)(torch)

    def read() -> Any:
        try:
            return getattr(holder, name)
        except RuntimeError:  # PyTorch does not answer where old and new flags of precision contradict each other
            return None

    return Setting(f"torch.{path}", read, partial(setattr, holder, name))


def _matmul_precision() -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # as above
        return None


def _autocast(device: str) -> Iterator[Setting]:
    yield Setting(
        f"torch.set_autocast_enabled({device!r})",
        partial(torch.is_autocast_enabled, device),
        partial(torch.set_autocast_enabled, device),
    )
    yield Setting(
        f"torch.set_autocast_dtype({device!r})",
        partial(torch.get_autocast_dtype, device),
        partial(torch.set_autocast_dtype, device),
    )


def _attention(kernel: str) -> Setting:
    read = getattr(torch.backends.cuda, f"{kernel}_sdp_enabled")
    return Setting(
        f"torch.backends.cuda.enable_{kernel}_sdp", read, getattr(torch.backends.cuda, f"enable_{kernel}_sdp")
    )


def _default_device() -> torch.device | None:
    """The one that was set; ``cpu`` is not none, for whatever is set slows each call down."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # noqa: SLF001 - get_default_device() hides it
    return None if context is None else context.device


def _flushes_denormals(smallest: float = sys.float_info.min) -> bool:
    return smallest / 2 == 0


def _set_gc(on: bool) -> None:  # noqa: FBT001
    (gc.enable if on else gc.disable)()


def _set_filters(filters: Sequence[Any]) -> None:
    warnings.resetwarnings()  # so that what has been decided by others is forgotten
    warnings.filters[:] = filters  # type: ignore[index]


def _random_numbers() -> tuple[bytes, ...]:
    """The state of each of PyTorch's default generators: the CPU's, and the current GPU's where one is in use."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return tuple(state.numpy().tobytes() for state in states)


def _set_random_numbers(states: Sequence[bytes]) -> None:
    for state, write in zip(states, (torch.set_rng_state, torch.cuda.set_rng_state), strict=False):
        write(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _numpy_numbers() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - it is this one that everybody shares
    return name, bytes(memoryview(keys)), *rest  # type: ignore[arg-type]


def _set_numpy_numbers(state: tuple[Any, ...]) -> None:
    name, keys, *rest = state
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002


SETTINGS: tuple[Setting, ...] = (
    Setting("torch.set_default_dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch.set_default_device", _default_device, torch.set_default_device),
    Setting("torch.set_num_threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch.set_num_interop_threads", torch.get_num_interop_threads, None),
    Setting("torch.set_grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch.autograd.set_detect_anomaly", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Setting(
        "torch.use_deterministic_algorithms", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    ),
    Setting("torch.set_flush_denormal", _flushes_denormals, torch.set_flush_denormal),
    Setting("torch.set_autocast_cache_enabled", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    *(setting for device in DEVICES for setting in _autocast(device)),
    Setting("torch.set_float32_matmul_precision", _matmul_precision, torch.set_float32_matmul_precision),
    *map(_flag, FLAGS),
    *map(_attention, ATTENTION),
    Setting("os.sched_setaffinity", partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0)),
    Setting("gc.enable", gc.isenabled, _set_gc),
    Setting("gc.set_threshold", gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
    Setting("sys.setswitchinterval", sys.getswitchinterval, sys.setswitchinterval),
    Setting("warnings.filters", lambda: list(warnings.filters), _set_filters, warned=False),
    Setting("torch.manual_seed", _random_numbers, _set_random_numbers, warned=False),
    Setting("random.seed", random.getstate, random.setstate, warned=False),
    Setting("numpy.random.seed", _numpy_numbers, _set_numpy_numbers, warned=False),
)


@dataclass
class Settings:
    """One case's settings that differ from the process's."""

    values: dict[str, Any] = field(default_factory=dict)
    """Their values when the case's code last returned, by name."""
    changes: dict[str, str] = field(default_factory=dict)
    """The first change of each setting by the case, by name."""

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The case's code runs in the block; before and after it everything is as the process has it."""
        before = _values()
        _put(self.values)
        try:
            yield
        finally:
            after = _values()
            self.values = {name: value for name, value in after.items() if value != before[name]}
            for setting in SETTINGS:
                if setting.warned and setting.name in self.values:
                    self.changes.setdefault(setting.name, setting.change(before[setting.name], after[setting.name]))
            _put(before)


def _values() -> dict[str, Any]:
    return {setting.name: setting.read() for setting in SETTINGS}


def _put(values: dict[str, Any]) -> None:
    """Set those that are not so already; what reads as None cannot be set, but for the default device."""
    for setting in SETTINGS:
        value = values.get(setting.name, MISSING)
        known = value is not MISSING and (value is not None or setting.read is _default_device)
        if setting.write and known and value != setting.read():
            setting.write(value)


def warnings_of(ranks: Sequence[Sequence[str]]) -> list[MeasurementWarning]:
    """One for each rank of a case that changes settings of the process; one for all, where all change the same."""
    if len(set(ranks)) == 1:
        return (
            [MeasurementWarning(kind=Kind.PROCESS_SETTINGS, fact=f"it sets {'; '.join(ranks[0])}")] if ranks[0] else []
        )
    return [
        MeasurementWarning(kind=Kind.PROCESS_SETTINGS, fact=f"rank {rank} sets {'; '.join(changes)}", rank=rank)
        for rank, changes in enumerate(ranks)
        if changes
    ]
