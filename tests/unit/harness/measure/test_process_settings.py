"""Settings of the process: whatever a case sets is put back, and is in force again when its code is called again."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from harness.journal.measurement_warnings import Kind
from harness.measure.process_settings import SETTINGS, Settings, warnings_of

BY_NAME = {setting.name: setting for setting in SETTINGS}
BACKENDS = torch.backends


def flip(holder: object, name: str) -> Callable[[], None]:
    """What sets a flag to its opposite."""
    return lambda: setattr(holder, name, not getattr(holder, name))


def fp32(holder: object, value: str = "tf32") -> Callable[[], None]:
    return lambda: setattr(holder, "fp32_precision", value)


CHANGES: dict[str, Callable[[], Any]] = {
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_default_device": lambda: torch.set_default_device("cpu"),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.autograd.set_detect_anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch.set_flush_denormal": lambda: torch.set_flush_denormal(True),
    "torch.set_autocast_cache_enabled": lambda: torch.set_autocast_cache_enabled(False),
    "torch.set_autocast_enabled('cpu')": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.set_autocast_enabled('cuda')": lambda: torch.set_autocast_enabled("cuda", True),
    "torch.set_autocast_dtype('cpu')": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "torch.set_autocast_dtype('cuda')": lambda: torch.set_autocast_dtype("cuda", torch.bfloat16),
    "torch.set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("high"),
    "torch.utils.deterministic.fill_uninitialized_memory": flip(torch.utils.deterministic, "fill_uninitialized_memory"),
    "torch.backends.cudnn.enabled": flip(BACKENDS.cudnn, "enabled"),
    "torch.backends.cudnn.benchmark": flip(BACKENDS.cudnn, "benchmark"),
    "torch.backends.cudnn.deterministic": flip(BACKENDS.cudnn, "deterministic"),
    "torch.backends.cudnn.allow_tf32": flip(BACKENDS.cudnn, "allow_tf32"),
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction": flip(
        BACKENDS.cuda.matmul, "allow_fp16_reduced_precision_reduction"
    ),
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction": flip(
        BACKENDS.cuda.matmul, "allow_bf16_reduced_precision_reduction"
    ),
    "torch.backends.cuda.matmul.allow_fp16_accumulation": flip(BACKENDS.cuda.matmul, "allow_fp16_accumulation"),
    "torch.backends.mkldnn.enabled": flip(BACKENDS.mkldnn, "enabled"),
    "torch.backends.mkldnn.deterministic": flip(BACKENDS.mkldnn, "deterministic"),
    "torch.backends.quantized.engine": lambda: setattr(
        BACKENDS.quantized,
        "engine",
        next(each for each in BACKENDS.quantized.supported_engines if each != BACKENDS.quantized.engine),
    ),
    "torch.backends.fp32_precision": fp32(BACKENDS),
    "torch.backends.cuda.matmul.fp32_precision": fp32(BACKENDS.cuda.matmul),
    "torch.backends.cudnn.conv.fp32_precision": fp32(BACKENDS.cudnn.conv, "ieee"),
    "torch.backends.cudnn.rnn.fp32_precision": fp32(BACKENDS.cudnn.rnn, "ieee"),
    "torch.backends.mkldnn.matmul.fp32_precision": fp32(BACKENDS.mkldnn.matmul, "bf16"),
    "torch.backends.mkldnn.conv.fp32_precision": fp32(BACKENDS.mkldnn.conv),
    "torch.backends.mkldnn.rnn.fp32_precision": fp32(BACKENDS.mkldnn.rnn),
    "torch.backends.cuda.enable_flash_sdp": lambda: BACKENDS.cuda.enable_flash_sdp(False),
    "torch.backends.cuda.enable_math_sdp": lambda: BACKENDS.cuda.enable_math_sdp(False),
    "torch.backends.cuda.enable_mem_efficient_sdp": lambda: BACKENDS.cuda.enable_mem_efficient_sdp(False),
    "torch.backends.cuda.enable_cudnn_sdp": lambda: BACKENDS.cuda.enable_cudnn_sdp(False),
    "os.sched_setaffinity": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    "gc.enable": lambda: gc.disable() if gc.isenabled() else gc.enable(),
    "gc.set_threshold": lambda: gc.set_threshold(123, 4, 5),
    "sys.setswitchinterval": lambda: sys.setswitchinterval(0.123),
    "warnings.filters": lambda: warnings.simplefilter("ignore"),
    "torch.manual_seed": lambda: torch.manual_seed(5),
    "random.seed": lambda: random.seed(5),
    "numpy.random.seed": lambda: np.random.seed(5),  # noqa: NPY002
}
"""Something else, for each setting that can be put back."""
ABSENT = {
    "torch.backends.cudnn.benchmark_limit",
    "torch.backends.opt_einsum.enabled",
    "torch.backends.opt_einsum.strategy",
}
"""Set where cuDNN is, or opt_einsum."""
ONCE = {"torch.set_num_interop_threads"}


def values() -> dict[str, Any]:
    return {name: setting.read() for name, setting in BY_NAME.items()}


def test_every_setting_is_tried() -> None:
    assert CHANGES.keys() | ABSENT | ONCE == BY_NAME.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_case_sets_is_put_back_and_in_force_when_it_is_called_again(name: str) -> None:
    before, mine, others = values(), Settings(), Settings()
    with mine.in_force():
        CHANGES[name]()
        changed = values()
    assert values() == before
    with others.in_force():
        assert values() == before
    if changed[name] == before[name]:
        assert name == "os.sched_setaffinity" and len(before[name]) == 1  # there is no other
        return
    with mine.in_force():
        assert values() == changed
    assert values() == before
    assert (name in mine.changes) == BY_NAME[name].warned
    assert others.changes == {}


def test_a_failing_case_leaves_nothing_behind() -> None:
    before = values()
    with contextlib.suppress(ValueError), Settings().in_force():
        torch.set_default_dtype(torch.float64)
        raise ValueError
    assert values() == before


def test_every_case_starts_with_the_same_random_numbers_and_goes_on_with_its_own() -> None:
    first, second = Settings(), Settings()

    def draw(settings: Settings) -> tuple[float, float, float]:
        with settings.in_force():
            return float(torch.rand(())), random.random(), float(np.random.rand())  # noqa: NPY002

    once, again = draw(first), draw(first)
    assert [draw(second), draw(second)] == [once, again]
    assert once != again


def test_what_can_be_set_only_once_is_told_with_what_that_means() -> None:
    lines = (
        "import torch; from harness.measure.process_settings import Settings; mine = Settings()",
        "with mine.in_force(): torch.set_num_interop_threads(7)",
        "print(*mine.changes.values())",
    )
    told = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout
    assert told.startswith("torch.set_num_interop_threads to 7 (before: ")
    assert told.endswith(", for the cases after it too)\n")


def test_ranks_that_set_the_same_have_one_warning() -> None:
    assert warnings_of([(), ()]) == []
    (both,) = warnings_of([("a to 1 (before: 0)", "b to 2 (before: 0)")] * 2)
    assert (both.kind, both.rank, both.fact) == (
        Kind.PROCESS_SETTINGS, None, "it sets a to 1 (before: 0); b to 2 (before: 0)",
    )  # fmt: skip
    (one,) = warnings_of([(), ("a to 1 (before: 0)",)])
    assert (one.rank, one.fact) == (1, "rank 1 sets a to 1 (before: 0)")
