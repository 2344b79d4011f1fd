"""Why there is no GPU: what is missing between PyTorch and the hardware, and what to do about it."""

import os

import torch

HIDING = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Variables that hide GPUs from a process, and from a container."""


def diagnosis() -> tuple[str, str]:
    """Why PyTorch sees no GPU, and the remedy, in a few words each."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA", "install a build of PyTorch with CUDA"
    for name in HIDING:
        if os.environ.get(name, "unset").strip() in ("", "-1", "void", "none", "NoDevFiles"):
            return f"{name}={os.environ[name]!r} hides every GPU", f"unset {name}"
    return _driver() or _runtime()


def _driver() -> tuple[str, str] | None:
    """The error of the driver's library; None if it sees a GPU."""
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            remedy = "install NVIDIA's driver, or start the container with its GPUs"
            return "no NVIDIA driver is installed here", remedy
        if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return "the NVIDIA driver and its library are of different versions", "reboot after the driver's update"
        return f"the NVIDIA driver does not answer: {error}", "see what `nvidia-smi` says"
    return None if count else ("the NVIDIA driver sees no GPU", "see what `nvidia-smi` and `lspci` say")


def _runtime() -> tuple[str, str]:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        remedy = "update the driver, or install a build of PyTorch for its CUDA"
        return f"the driver sees a GPU, but PyTorch cannot use it: {reason}", remedy
    return "PyTorch finds no GPU", "see `rankbench doctor`"
