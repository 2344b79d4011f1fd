"""NVML as documented: handles by UUID, an error where something is not supported, and two GPUs behind it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from harness.device import nvml

UUIDS = ("aaaa", "bbbb")
NVLINKS = 4


def installed(monkeypatch: pytest.MonkeyPatch, sysfs: Path) -> None:
    """Two GPUs, the second without ECC, on the two nodes of a host; a folder stands in for the kernel's."""

    def by_uuid(uuid: str) -> int:
        names = [f"GPU-{each}" for each in UUIDS]
        if uuid not in names:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return names.index(uuid)

    def ecc(gpu: int) -> list[int]:
        if gpu:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [1, 0]  # now, and after a reboot

    def clock(_: int, kind: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[kind]

    def link(_: int, number: int) -> int:
        if number >= NVLINKS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return int(number != 1)  # one is down

    answers: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetPciInfo": lambda gpu: SimpleNamespace(busId=f"0000000{gpu}:3B:00.0"),
        "nvmlDeviceGetTopologyCommonAncestor": lambda *_: pynvml.NVML_TOPOLOGY_SYSTEM,
        "nvmlDeviceGetP2PStatus": lambda *_: pynvml.NVML_P2P_STATUS_OK,
        "nvmlDeviceGetNvLinkState": link,
        "nvmlDeviceGetUUID": lambda gpu: f"GPU-{UUIDS[gpu]}",
        "nvmlDeviceGetEnforcedPowerLimit": lambda _: 700_000,
        "nvmlDeviceGetMaxClockInfo": clock,
        "nvmlDeviceGetClockInfo": clock,
        "nvmlDeviceGetEccMode": ecc,
        "nvmlDeviceGetMigMode": lambda _: [0, 1],
        "nvmlDeviceGetPersistenceMode": lambda _: pynvml.NVML_FEATURE_ENABLED,
        "nvmlDeviceGetMaxPcieLinkGeneration": lambda _: 5,
        "nvmlDeviceGetMaxPcieLinkWidth": lambda _: 16,
        "nvmlDeviceGetCurrPcieLinkGeneration": lambda _: 1,
        "nvmlDeviceGetCurrPcieLinkWidth": lambda _: 16,
        "nvmlDeviceGetTemperature": lambda *_: 41,
        "nvmlDeviceGetPowerUsage": lambda gpu: 90_000 + gpu,
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: ["another"] * gpu,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.setattr(nvml, "PCI", sysfs)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(UUIDS))
    monkeypatch.setattr(torch.cuda, "get_device_properties", _properties)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: one != other)
    for node, cpus in enumerate(("0-3,8", "4-7")):
        folder = sysfs / f"000{node}:3b:00.0"
        folder.mkdir(parents=True)
        (folder / "numa_node").write_text(f"{node}\n")
        (folder / "local_cpulist").write_text(f"{cpus}\n")


def _properties(index: int) -> SimpleNamespace:
    return SimpleNamespace(
        name="Fake H100",
        total_memory=80 * 2**30,
        multi_processor_count=132,
        major=9,
        minor=0,
        L2_cache_size=50 * 2**20,
        uuid=UUIDS[index],
    )
