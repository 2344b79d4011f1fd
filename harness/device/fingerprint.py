"""The fingerprint: everything but the measured code that a figure depends on."""

import hashlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pynvml
import torch
import torch.distributed as dist

from harness.common import packages
from harness.common.errors import UsageError
from harness.common.packages import entries, inherited, linked, within_reach
from harness.common.startup import refuse_without_asserts
from harness.device import nvml
from harness.device.affinity import CORES
from harness.device.device import cpu_model
from harness.device.emulated.device import MODEL
from harness.journal.plan import Plan, Side

ALLOWED = re.compile(
    r"(CUDA|CUBLAS|CUBLASLT|CUDNN|NVIDIA_TF32|NCCL|TORCH|TORCHINDUCTOR|TRITON|PYTORCH|GLOO|UCX|FI|OMP|MKL|KMP|RAY)"
    r"_[A-Z0-9_]+|PYTHON(HASHSEED|OPTIMIZE|MALLOC)|LD_PRELOAD"
)
"""Environment variables that may be recorded: those that change figures."""
SECRET = re.compile(r"TOKEN|SECRET|PASS|PWD|CREDENTIAL|KEY|AUTH|JOB_CONFIG", re.IGNORECASE)
"""What is never recorded, whatever its prefix; Ray keeps all variables of a job in the configuration of that."""
LOGIN = re.compile(r"(?<=://)\S*@")
"""A name and password within an address."""
ANSWER_S = 120.0
"""Another interpreter must describe its environment within this time: PyTorch may be read from a slow disk."""
LIBRARIES = "LD_LIBRARY_PATH"
SYSTEM = "/usr", "/usr/local"
"""Prefixes of interpreters that belong to the system."""
OWN = ("name", "uuid", "pci")
"""Facts that differ between any two devices."""
FLEETING = ("load_average", "gpus_now", "hash")
"""What may differ where nothing does, and what only says that something does."""
PACKAGES = ("torch", "numpy", "ray", "triton", "nvidia-nccl-cu12", "nvidia-nccl-cu13")


def describe(devices: Sequence[str]) -> dict[str, Any]:
    """The content of environment.json. ``hash`` covers everything that does not change from minute to minute."""
    description: dict[str, Any] = {
        "host": {
            "name": socket.gethostname(),
            "system": platform.platform(),
            "cpu": cpu_model(),
            "cores": CORES,
            "gpus": torch.cuda.device_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "governor": governor(),
        },
        "devices": [_device(name) for name in dict.fromkeys(devices)],
        "software": {
            "python": platform.python_version(),
            **{name: version for name in PACKAGES if (version := _version(name))},
            "cuda": torch.version.cuda,
            "nccl": _nccl(),
            "blas": _blas(),
            "driver": _driver(),
        },
        "variables": variables(),
        "git": _git(),
    }
    seen = _visible(devices)
    if links := nvml.links(seen):
        description["links"] = links
    now = {f"cuda:{index}": nvml.state(index) for index in seen}
    fleeting = {"load_average": list(os.getloadavg())} | ({"gpus_now": now} if now else {})
    return {**description, "hash": _hash(description), **fleeting}


def of_host(description: Mapping[str, Any]) -> dict[str, Any]:
    """Of a description, what has to be alike on all hosts of a run: what runs there, and on what; no names."""
    host = {name: description["host"][name] for name in ("system", "cpu", "governor")}
    devices = {
        device["name"]: {name: fact for name, fact in device.items() if name not in OWN}
        for device in description["devices"]
    }
    return {
        "host": host,
        "devices": devices,
        "software": description["software"],
        "variables": _of_user(description["variables"]),
    }


def of_hosts(fingerprint: str, others: Mapping[str, Mapping[str, Any]]) -> str:
    """The fingerprint of a run on several hosts: rank 0's, and how the other hosts differ, whatever their names."""
    strange = sorted(json.dumps(description, sort_keys=True) for description in others.values() if description)
    return _hash({"first": fingerprint, "others": strange}) if strange else fingerprint


def _of_user(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables but for those that a launcher or the network's interfaces make different on each host."""
    return {
        name: value for name, value in variables.items() if not re.match(r"TORCHELASTIC_|RAY_|GLOO_|.*IFNAME", name)
    }


def variables() -> dict[str, str]:
    """This process's environment variables that change figures, without what is secret in them."""
    names = (name for name in sorted(os.environ) if ALLOWED.fullmatch(name) and not SECRET.search(name))
    return {name: LOGIN.sub("…@", os.environ[name]) for name in names}


def described_by(side: Side, devices: Sequence[str], code: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The same as a side of a duel sees it, told by its own interpreter.

    ``code`` has the digest of each scenario, by its reference, as it was planned. Raises UsageError where the side
    cannot run rankbench, would measure what belongs to this interpreter, or has another version of a scenario.
    """
    python, planned = side.python or sys.executable, dict(code or {})
    answer, why = _answer_of(python, tuple(side.variables.items()), tuple(devices), tuple(planned))
    if answer is None:
        remedy = "correct that, or install there what rankbench needs"
        raise UsageError(f"--{side.name}", "be able to run rankbench", f"{side.python or 'this one'} ({why})", remedy)
    for reference, digest in planned.items():
        if answer["code"][reference] != digest:
            value = f"{python}, where {reference} has other code"
            raise UsageError(f"--{side.name}", "measure the same", value, "install the same version there and here")
    if side.python:
        _refuse_loans(side, answer)
    described: dict[str, Any] = answer["environment"]
    return described


def code_of(plan: Plan) -> dict[str, str]:
    """The digest of each scenario, by its reference; of ours there is none: every side is given these."""
    return {
        case.reference: comparison.code
        for comparison in plan.comparisons
        for case in comparison.cases
        if comparison.code and not case.probe and case.reference.partition(".")[0] not in packages.PACKAGES
    }


def _refuse_loans(side: Side, answer: Mapping[str, Any]) -> None:
    """Raise UsageError where another interpreter has something of this one's, which the side's words do not ask for."""
    mine, foreign = Path(sys.prefix), [Path(prefix) for prefix in answer["prefixes"]]
    loans = {"PYTHONPATH": ("PyTorch", [Path(answer["torch"]).parent], entries(os.environ))}
    if str(mine) not in SYSTEM:  # whose libraries are everybody's
        folders = [folder for folder in entries(os.environ, LIBRARIES) if Path(folder).absolute().is_relative_to(mine)]
        theirs = [folder for folder in folders if not any(Path(folder).is_relative_to(each) for each in foreign)]
        loans[LIBRARIES] = ("libraries", answer["libraries"], theirs)
    for variable, (what, files, folders) in loans.items():
        places = {Path(file).resolve().parent for file in files}
        lenders = (folder for folder in folders if Path(folder).resolve() in places)
        if variable not in side.variables and (lender := next(lenders, None)):
            value = f"{side.python}, which has {'the ' if what == 'PyTorch' else ''}{what} of {lender}"
            raise UsageError(f"--{side.name}", f"measure its own {what}", value, f"take that folder out of {variable}")


@cache
def _answer_of(
    python: str, variables: tuple[tuple[str, str], ...], devices: tuple[str, ...], references: tuple[str, ...]
) -> tuple[dict[str, Any] | None, str]:
    """The description, or why there is none. It comes in a file: anything may print when an interpreter starts."""
    with TemporaryDirectory(prefix="rankbench-") as folder:
        answer = Path(folder, "answer.json")
        try:
            done = subprocess.run(  # noqa: S603
                [python, "-P", "-m", "harness.device.fingerprint", str(answer), ",".join(devices), *references],
                env=within_reach(inherited(python) | dict(variables), linked(folder)),
                capture_output=True,
                check=False,
                timeout=ANSWER_S,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            return None, f"it said nothing within {ANSWER_S:g} s" if isinstance(error, TimeoutExpired) else str(error)
        if done.returncode or not answer.exists():
            return None, (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        described: dict[str, Any] = json.loads(answer.read_bytes())
    return described, ""


def _answer(path: str, devices: str, *references: str) -> None:
    """Write to a file this interpreter's description, what it has from where, and its scenarios' digests."""
    from harness.plugins import registry, source_digest

    refuse_without_asserts()
    answer = {
        "environment": describe(devices.split(",")),
        "torch": torch.__file__,
        "libraries": sorted(set(re.findall(r"/\S+\.so\S*", Path("/proc/self/maps").read_text()))),
        "prefixes": [sys.prefix, sys.base_prefix],
        "code": {reference: source_digest.digest(registry.load(reference).cls) for reference in references},
    }
    Path(path).write_text(json.dumps(answer), encoding="utf-8")


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """How ``other`` differs from ``one``, in the same nesting; None for a fact that only ``one`` has."""
    differing = {}
    for name in {**one, **other}:
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            mine, theirs = {}, differences(mine, theirs)
        if mine != theirs and name not in FLEETING:
            differing[name] = theirs
    return differing


def _hash(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def governor() -> str | None:
    """The frequency governor of the first CPU, if the kernel reports it."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _blas() -> str:
    match = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return f"{match.group(1) if match else 'unknown'}, {torch.backends.cpu.get_cpu_capability()}"


def _device(name: str) -> dict[str, Any]:
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return {"name": name, "model": cpu_model()}
    if kind == "emulated":
        return {"name": name, "model": MODEL}
    return {"name": name} | (nvml.facts(int(index)) if int(index) in _visible((name,)) else {})


def _visible(devices: Sequence[str]) -> list[int]:
    """The GPUs among them that this host has; others are on other hosts."""
    numbers = (int(index) for kind, _, index in (name.partition(":") for name in devices) if kind == "cuda")
    return [number for number in dict.fromkeys(numbers) if number < torch.cuda.device_count()]


def _nccl() -> str | None:
    """The version that PyTorch calls, which may be another than the package's."""
    if torch.version.cuda is None or not dist.is_nccl_available():
        return None
    return ".".join(map(str, torch.cuda.nccl.version()))


def _driver() -> str | None:
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def _git() -> dict[str, Any] | None:
    """The commit of the folder that the run was started in, and whether it has changes."""
    try:
        ask = ("git", "status", "--porcelain=v2", "--branch", "--untracked-files=no")
        output = subprocess.run(ask, capture_output=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    status = output.decode(errors="replace")  # a branch may be called in any bytes
    commit = re.search(r"^# branch\.oid (\S+)", status, re.MULTILINE)
    return {"commit": commit.group(1) if commit else None, "changed": bool(re.search(r"^[^#]", status, re.MULTILINE))}


if __name__ == "__main__":
    try:
        _answer(*sys.argv[1:])
    except UsageError as error:
        sys.exit(str(error))
