"""The precision of products on GPUs: set for every rank, given back inline, and never decided below PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from harness.common.errors import UsageError
from harness.device import device, precision
from harness.device.fingerprint import variables
from harness.journal.plan import Plan
from harness.measure.process_settings import SETTINGS
from harness.planning.builder import make
from harness.planning.request import RunRequest


def values() -> dict[str, object]:
    return {each.name: each.read() for each in SETTINGS if "precision" in each.name or "cudnn" in each.name}


@pytest.fixture
def settings() -> Iterator[None]:
    with precision.kept():
        yield


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_what_the_process_had_is_given_back(settings: None, before: str) -> None:
    torch.set_float32_matmul_precision(before)
    torch.backends.cudnn.benchmark = True
    had = values()
    with device.borrowed():
        precision.set_defaults()
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert not torch.backends.cudnn.benchmark
    assert values() == had


def test_a_rank_multiplies_float32_as_float32_whatever_its_environment_says() -> None:
    """Images of NVIDIA's for PyTorch set this variable."""
    code = (
        "import torch; from harness.device import device;"
        "print(torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.fp32_precision);"
        "device.claim('cpu:0', 1);"
        "print(torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.fp32_precision)"
    )
    env = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["high tf32", "highest ieee"]


def test_newer_flags_that_contradict_the_older_are_overruled_and_given_back(settings: None) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with precision.kept():
        precision.set_defaults()
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.parametrize("value", ["0", "1"])
def test_what_decides_below_pytorch_is_refused_in_one_line(
    gpus: None, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    def planned() -> Plan:
        return make(RunRequest(names=["split"], devices="cuda"))

    assert planned().regime["precision"] == precision.WORDS
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
    for refused in (planned, lambda: device.claim("cuda:0", 1)):
        with pytest.raises(UsageError) as raised:
            refused()
        assert str(raised.value).startswith("NVIDIA_TF32_OVERRIDE must be unset") and "\n" not in str(raised.value)
    assert "precision" not in make(RunRequest(names=["split"], devices="cpu:1")).regime


@pytest.mark.parametrize(
    "name",
    ["NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "CUDNN_LOGLEVEL_DBG", "TORCHINDUCTOR_MAX_AUTOTUNE",
     "TRITON_CACHE_DIR", "UCX_TLS", "FI_PROVIDER"],
)  # fmt: skip
def test_variables_that_change_figures_on_gpus_are_recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert variables()[name] == "1"
