"""Without a GPU: what is missing and what to do, in one line; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest
import torch

from harness.cli.app import run_app
from harness.device.no_gpu import diagnosis


@pytest.fixture(autouse=True)
def none_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build with CUDA, and a driver that sees a GPU: what is missing is up to the test."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def failing(code: int) -> object:
    def call() -> None:
        raise pynvml.NVMLError(code)

    return call


def test_a_build_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    why, remedy = diagnosis()
    assert why == f"PyTorch {torch.__version__} is built without CUDA"
    assert "with CUDA" in remedy


@pytest.mark.parametrize("value", ["", "-1", " "])
def test_a_variable_that_hides_them(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert diagnosis() == (f"CUDA_VISIBLE_DEVICES={value!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "hides" not in diagnosis()[0]


@pytest.mark.parametrize(
    ("code", "why", "remedy"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver is installed", "install NVIDIA's driver"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "different versions", "reboot"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "does not answer: Driver Not Loaded", "nvidia-smi"),
    ],
)
def test_a_driver_that_is_not_there(monkeypatch: pytest.MonkeyPatch, code: int, why: str, remedy: str) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", failing(code))
    told = diagnosis()
    assert why in told[0] and remedy in told[1]


def test_a_driver_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 0)
    assert diagnosis()[0] == "the NVIDIA driver sees no GPU"


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update")

    monkeypatch.setattr(torch.cuda, "init", init)
    why, remedy = diagnosis()
    assert "too old (found version 11040)" in why and "Please" not in why
    assert remedy.startswith("update the driver")


def test_it_is_one_line_with_exit_code_2_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", failing(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert run_app(["run", "split", "--devices", "cuda", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr()
    complaint, remedy = told.err.removesuffix("\n").split("; ")
    assert complaint == (
        "rankbench: --devices must name GPUs that are there, but is cuda (no NVIDIA driver is installed here)"
    )
    assert remedy == "install NVIDIA's driver, or start the container with its GPUs, or use --devices cpu"
    assert not (tmp_path / "run").exists()
