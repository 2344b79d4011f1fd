"""What is told of GPUs: by NVML as documented, which knows more of some than of others, and by the kernel."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest
import torch

from harness.cli import doctor
from harness.common.errors import UsageError
from harness.device import fingerprint
from harness.device import nvml as gpus
from harness.device.cuda import CudaDevice
from harness.world.world import one_rank_each
from tests import nvml


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvml.installed(monkeypatch, tmp_path)


def test_each_gpu_is_answer_of_what_it_is_and_what_it_does_not_tell_is_none(two: None) -> None:
    first, second = gpus.facts(0), gpus.facts(1)
    assert first["uuid"] == "GPU-aaaa"
    assert (first["ecc"], second["ecc"]) == (True, None)
    assert (first["mig"], first["persistence"]) == (False, True)
    assert (first["power_limit_mw"], first["max_sm_clock_mhz"], first["max_memory_clock_mhz"]) == (700_000, 1980, 2619)
    assert (first["pcie_generation"], first["pcie_width"]) == (5, 16)
    assert (first["pci"], first["numa_node"], first["near"]) == ("0000:3b:00.0", 0, "0-3,8")
    assert second["pci"] == "0001:3b:00.0"
    assert first["nvlinks"] == 3
    assert (first["capability"], first["l2_bytes"]) == ("9.0", 50 * 2**20)


def test_the_cores_near_a_gpu_are_the_kernels(two: None, tmp_path: Path) -> None:
    assert gpus.near() == [{0, 1, 2, 3, 8}, {4, 5, 6, 7}]
    (tmp_path / "0001:3b:00.0" / "local_cpulist").unlink()  # as in a container without it
    assert gpus.near() == [{0, 1, 2, 3, 8}, frozenset()]


def test_a_kernel_that_knows_no_node_says_minus_one(two: None, tmp_path: Path) -> None:
    (tmp_path / "0000:3b:00.0" / "numa_node").write_text("-1\n")
    assert gpus.facts(0)["numa_node"] is None


def test_how_a_pair_is_connected(two: None) -> None:
    assert gpus.links([0, 1]) == [{"between": ["cuda:0", "cuda:1"], "path": "NUMA nodes", "nvlink": True, "peer": True}]
    assert gpus.links([0]) == []


def test_an_instance_of_a_gpu_is_asked_about_by_the_whole(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_uuid(uuid: str) -> str:
        if uuid.startswith("GPU"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", by_uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", lambda instance: f"whole of {instance}")
    assert gpus.handle(1) == "whole of MIG-bbbb"


def test_two_instances_of_a_gpu_are_one_to_nccl(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [CudaDevice(index).board for index in (0, 1)] == ["GPU-aaaa", "GPU-bbbb"]
    monkeypatch.setattr(gpus, "handle", lambda _: 0)
    assert [CudaDevice(index).board for index in (0, 1)] == ["GPU-aaaa"] * 2
    with pytest.raises(UsageError, match=r"ranks 0 and 1 share GPU GPU-aaaa.*; let every rank"):
        one_rank_each([CudaDevice(index).board for index in (0, 1)])


def test_without_nvml_pytorch_still_tells_what_it_knows(two: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", init)
    told = gpus.facts(0)
    assert told["memory_bytes"] == 80 * 2**30 and told["uuid"] is None
    assert gpus.links([0, 1]) == []
    assert gpus.near() == [frozenset(), frozenset()]


@pytest.mark.parametrize(
    ("text", "told"), [("", set()), ("0\n", {0}), ("0-3,8,10-11", {0, 1, 2, 3, 8, 10, 11}), ("7-7", {7})]
)
def test_lists_of_cpus_are_read(text: str, told: set[int]) -> None:
    assert gpus.cpus(text) == told


def test_the_environment_tells_of_gpus_and_its_hash_leaves_out_what_is_fleeting(
    two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = fingerprint.describe(["cuda:0", "cuda:1", "cuda:9"])
    assert [device["name"] for device in told["devices"]] == ["cuda:0", "cuda:1", "cuda:9"]  # the last is elsewhere
    assert told["devices"][0]["uuid"] == "GPU-aaaa" and "uuid" not in told["devices"][2]
    assert told["links"][0]["peer"] is True
    assert told["gpus_now"]["cuda:1"] == {
        "sm_clock_mhz": 1980,
        "temperature_c": 41,
        "power_mw": 90_001,
        "pcie_generation_now": 1,
        "pcie_width_now": 16,
        "processes": 1,
    }
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda _: 300_000)
    again = fingerprint.describe(["cuda:0", "cuda:1", "cuda:9"])
    assert again["gpus_now"] != told["gpus_now"] and again["hash"] == told["hash"]
    assert "gpus_now" not in fingerprint.differences(told, again)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda *_: False)
    assert fingerprint.describe(["cuda:0", "cuda:1", "cuda:9"])["hash"] != told["hash"]


def test_the_doctor_warns_of_other_processes_on_a_gpu(two: None) -> None:
    told = [(finding.subject, finding.grade) for finding in doctor._devices() if finding.subject.startswith("cuda")]
    assert told == [("cuda:0", "good"), ("cuda:1", "good"), ("cuda:1", "warn")]


def test_without_gpus_the_environment_has_nothing_of_them() -> None:
    told = fingerprint.describe(["cpu:0"])
    assert "links" not in told and "gpus_now" not in told
