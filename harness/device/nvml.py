"""What the driver tells of this host's GPUs: what they are, how they are connected, and which cores are near them.

NVML tells of the hardware, whatever a process may use of it; GPUs here are those that PyTorch sees, by its numbers.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pynvml
import torch

PCI = Path("/sys/bus/pci/devices")
PATHS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "on one board",
    pynvml.NVML_TOPOLOGY_SINGLE: "one PCIe switch",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "several PCIe switches",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "a host bridge",
    pynvml.NVML_TOPOLOGY_NODE: "host bridges of one NUMA node",
    pynvml.NVML_TOPOLOGY_SYSTEM: "NUMA nodes",
}
"""Connections between two GPUs other than NVLink."""

Asks = Mapping[str, Callable[[Any], Any]]


def handle(index: int) -> Any:
    """NVML's handle of the GPU that PyTorch numbers so, or of the one of which it is an instance. Raises NVMLError."""
    pynvml.nvmlInit()
    name = torch.cuda.get_device_properties(index).uuid
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{name}")
    except pynvml.NVMLError:
        instance = pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{name}")
        return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)


def uuid(index: int) -> str | None:
    """The UUID as NVML writes it; None if the driver does not report it."""
    value: str | None = _ask(index, {"uuid": pynvml.nvmlDeviceGetUUID})["uuid"]
    return value


def facts(index: int) -> dict[str, Any]:
    """Constant facts of a GPU by name; None for a fact that the driver does not report."""
    seen = torch.cuda.get_device_properties(index)
    identity = {
        "model": seen.name,
        "memory_bytes": seen.total_memory,
        "processors": seen.multi_processor_count,
        "capability": f"{seen.major}.{seen.minor}",
        "l2_bytes": seen.L2_cache_size,
    }
    return identity | _ask(index, _stays())


def state(index: int) -> dict[str, Any]:
    """Facts that change from minute to minute."""
    return _ask(index, _changes())


def links(indices: list[int]) -> list[dict[str, Any]]:
    """How each pair of GPUs is connected; empty if the driver does not report it."""
    try:
        handles = {index: handle(index) for index in indices}
    except pynvml.NVMLError:
        return []
    return [
        {
            "between": [f"cuda:{one}", f"cuda:{other}"],
            "path": _asked(_path, handles[one], handles[other]),
            "nvlink": _asked(_nvlink, handles[one], handles[other]),
            "peer": torch.cuda.can_device_access_peer(one, other),
        }
        for one, other in combinations(indices, 2)
    ]


def near() -> list[frozenset[int]]:
    """The logical CPUs near each GPU that PyTorch sees; an empty set if the kernel does not report them."""
    return [_ask(index, {"near": _near})["near"] or frozenset() for index in range(torch.cuda.device_count())]


def _ask(index: int, asks: Asks) -> dict[str, Any]:
    try:
        gpu = handle(index)
    except pynvml.NVMLError:
        return dict.fromkeys(asks)
    return {name: _asked(ask, gpu) for name, ask in asks.items()}


def _asked(ask: Callable[..., Any], *of: Any) -> Any:
    try:
        return ask(*of)
    except (pynvml.NVMLError, OSError, ValueError):
        return None


def _sysfs(gpu: Any) -> Path:
    """NVML writes ``00000000:3B:00.0`` where the kernel has ``0000:3b:00.0``."""
    bus = pynvml.nvmlDeviceGetPciInfo(gpu).busId
    domain, _, rest = (bus.decode() if isinstance(bus, bytes) else bus).lower().partition(":")
    return PCI / f"{int(domain, 16):04x}:{rest}"


def _numa_node(gpu: Any) -> int | None:
    node = int((_sysfs(gpu) / "numa_node").read_text())
    return None if node < 0 else node


def _near(gpu: Any) -> frozenset[int]:
    return cpus((_sysfs(gpu) / "local_cpulist").read_text())


def cpus(text: str) -> frozenset[int]:
    """The numbers in a kernel's list such as ``0-3,8,10-11``."""
    spans = (part.partition("-") for part in text.strip().split(",") if part)
    return frozenset(cpu for first, _, last in spans for cpu in range(int(first), int(last or first) + 1))


def _nvlinks(gpu: Any) -> int:
    """Number of active NVLinks."""
    up = 0
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            up += pynvml.nvmlDeviceGetNvLinkState(gpu, link) == pynvml.NVML_FEATURE_ENABLED
        except pynvml.NVMLError:  # it has no such link
            break
    return up


def _path(one: Any, other: Any) -> str | None:
    return PATHS.get(pynvml.nvmlDeviceGetTopologyCommonAncestor(one, other))


def _nvlink(one: Any, other: Any) -> bool:
    status = pynvml.nvmlDeviceGetP2PStatus(one, other, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
    return bool(status == pynvml.NVML_P2P_STATUS_OK)


def _stays() -> Asks:
    return {
        "uuid": pynvml.nvmlDeviceGetUUID,
        "power_limit_mw": pynvml.nvmlDeviceGetEnforcedPowerLimit,
        "max_sm_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM),
        "max_memory_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
        "ecc": lambda gpu: bool(pynvml.nvmlDeviceGetEccMode(gpu)[0]),
        "mig": lambda gpu: bool(pynvml.nvmlDeviceGetMigMode(gpu)[0]),
        "persistence": lambda gpu: bool(pynvml.nvmlDeviceGetPersistenceMode(gpu)),
        "pci": lambda gpu: _sysfs(gpu).name,
        "pcie_generation": pynvml.nvmlDeviceGetMaxPcieLinkGeneration,
        "pcie_width": pynvml.nvmlDeviceGetMaxPcieLinkWidth,
        "nvlinks": _nvlinks,
        "numa_node": _numa_node,
        "near": lambda gpu: (_sysfs(gpu) / "local_cpulist").read_text().strip(),
    }


def _changes() -> Asks:
    return {
        "sm_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
        "temperature_c": lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
        "power_mw": pynvml.nvmlDeviceGetPowerUsage,
        "pcie_generation_now": pynvml.nvmlDeviceGetCurrPcieLinkGeneration,
        "pcie_width_now": pynvml.nvmlDeviceGetCurrPcieLinkWidth,
        "processes": lambda gpu: len(pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
    }
