"""Groups over NCCL: bound to a device that was set before, and what it takes to make one told apart; with fakes."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from harness.device import device, nvml
from harness.device.cuda import CudaDevice
from harness.gang import Gang
from harness.journal.plan import Case
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world import process_groups, world
from harness.world.control import ControlPlane
from tests.gpus import FakeGpu
from tests.limits import LIMIT_S
from tests.ranks import Ranks

TIMEOUT = dt.timedelta(seconds=60)
SETUP_S, FIRST_S, STEADY_S = 8.0, 0.5, 20e-6


class Nccl:
    """Makes communicators in seconds, connects them in the first operation, and is quick from then on."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.made: list[dict[str, Any]] = []
        self.operations = 0

    def new_group(self, ranks: range, timeout: Any, backend: str, **more: Any) -> str:
        self.made.append({"ranks": list(ranks), "timeout": timeout.total_seconds(), "backend": backend, **more})
        self.gpu.clock.now_s += SETUP_S
        return "a group"

    def all_reduce(self, tensor: torch.Tensor, group: str) -> None:
        assert group == "a group" and tensor.numel() == 1
        self.gpu.launch(STEADY_S if self.operations else FIRST_S)
        self.operations += 1


@pytest.fixture
def nccl(monkeypatch: pytest.MonkeyPatch) -> Nccl:
    made = Nccl(FakeGpu())
    monkeypatch.setattr(dist, "new_group", made.new_group)
    monkeypatch.setattr(dist, "all_reduce", made.all_reduce)
    return made


def test_set_up_first_operation_and_steady_state_are_told_apart(nccl: Nccl) -> None:
    group, setup = process_groups.over_nccl([range(2)], nccl.gpu, ControlPlane(), TIMEOUT, nccl.gpu.clock)
    assert group == "a group" and setup.size == 2
    assert setup.setup_s == pytest.approx(SETUP_S, rel=1e-3)
    assert setup.first_s == pytest.approx(FIRST_S, rel=1e-3)
    assert setup.steady_s == pytest.approx(STEADY_S, rel=0.5)
    assert nccl.made == [{"ranks": [0, 1], "timeout": 60.0, "backend": "nccl", "device_id": nccl.gpu.torch}]


def test_a_gloo_group_has_its_time_limit_too(nccl: Nccl) -> None:
    process_groups.over_host("gloo", [range(2)], TIMEOUT, 0)
    assert nccl.made == [{"ranks": [0, 1], "timeout": 60.0, "backend": "gloo"}]


@pytest.mark.parametrize(("rank", "group"), [(0, "0-1"), (3, "2-3"), (4, "0-1")])
def test_of_gangs_side_by_side_every_rank_makes_all_and_has_that_which_it_is_in(
    monkeypatch: pytest.MonkeyPatch, rank: int, group: str
) -> None:
    monkeypatch.setattr(dist, "new_group", lambda ranks, *_: f"{ranks[0]}-{ranks[-1]}")
    assert process_groups.over_host("gloo", [range(2), range(2, 4)], TIMEOUT, rank) == group


def test_a_copy_on_another_host_is_a_gang_with_a_folder_and_a_disk_of_that_host(tmp_path: Path) -> None:
    case = Case(scenario="x", reference="x:X", params={}, world_size=4, packed=True, copy_size=2)
    whole = case.model_copy(update={"packed": False})
    folders = []
    for rank in range(4):
        here = world.World(rank, 4, FakeGpu(), "cuda:0", (0,), 1, scratch=tmp_path, disks_apart=True)  # type: ignore[arg-type]
        here.leaders = (0, 0, 2, 2)
        copy, gang = here.gang(case), here.gang(whole)
        assert copy is not None and gang is not None
        assert ((copy.rank, copy.size, copy.apart), (gang.rank, gang.size, gang.apart)) == (
            (rank % 2, 2, False),
            (rank, 4, True),
        )
        folders.append(copy.folder)
    assert folders[0] == folders[1] != folders[2] == folders[3]


def test_a_rank_outside_of_the_group_makes_it_too_but_operates_on_nothing(nccl: Nccl) -> None:
    outside = ControlPlane(rank=1)
    process_groups.over_nccl([range(1)], nccl.gpu, outside, TIMEOUT, nccl.gpu.clock)
    assert len(nccl.made) == 1 and nccl.operations == 0


def test_the_device_is_set_before_any_group_is_made_and_gloo_carries_agreement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    plan = make(RunRequest(names=["split"], devices="cpu:1")).model_copy(update={"devices": ("cuda:0",)})
    around = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    for name, value in around.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(device, "siblings", lambda: [(0,)])
    monkeypatch.setattr(nvml, "near", lambda: [frozenset()])
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: told.append(f"set device {index}"))
    monkeypatch.setattr(CudaDevice, "board", "a")
    limits: list[float] = []

    def init(backend: str, *, timeout: dt.timedelta, **_: object) -> None:
        limits.append(timeout.total_seconds())
        told.append(f"init {backend}")

    def new_group(ranks: range, timeout: dt.timedelta, backend: str) -> None:
        limits.append(timeout.total_seconds())
        told.append(f"{backend} of {len(ranks)}")

    monkeypatch.setattr(dist, "init_process_group", init)
    monkeypatch.setattr(dist, "new_group", new_group)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: told.append("destroy"))
    with world.joined(plan) as joined:
        assert joined.backend == "nccl" and joined.device.torch == torch.device("cuda", 0)
    assert told == ["set device 0", "init gloo", "gloo of 1", "destroy"]
    assert joined.timeout.total_seconds() == 2 * plan.deadline_s < limits[1]  # the side channel tells of a hang
    before = len(limits)
    for deadline_s in (1.0, 3600.0):
        with world.joined(plan.model_copy(update={"deadline_s": deadline_s})) as joined:
            assert joined.timeout.total_seconds() < limits[-1]
    assert limits[before::2] == [limits[0]] * 2  # processes start as slowly whatever the deadline of a case is


@pytest.mark.parametrize(("supervised", "leaves"), [(True, []), (False, ["destroy"])])
def test_where_a_parent_watches_no_wait_has_a_limit_and_who_fails_takes_no_leave(
    monkeypatch: pytest.MonkeyPatch, *, supervised: bool, leaves: list[str]
) -> None:
    told: list[str] = []
    limits: list[dt.timedelta] = []
    plan = make(RunRequest(names=["split"], devices="cpu:1", deadline_s=5))
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(dist, "init_process_group", lambda _, *, timeout, **__: limits.append(timeout))
    monkeypatch.setattr(dist, "new_group", lambda _, timeout, __: limits.append(timeout))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: told.append("destroy"))
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(world.World, "settle_in", lambda here: (limits.append(here.timeout), 1 / 0))
    with pytest.raises(ZeroDivisionError), world.joined(plan, supervised=supervised):
        pass
    assert told == leaves
    assert (min(limits) > dt.timedelta(hours=12)) == supervised


@pytest.mark.parametrize(("backend", "due"), [("nccl", []), ("gloo", ["destroy"])])
def test_who_waits_over_gloo_for_a_rank_that_gave_up_is_let_go(
    monkeypatch: pytest.MonkeyPatch, backend: str, due: list[str]
) -> None:
    """NCCL's can be aborted by all its ranks together only, and that waits for their graphs: it is not touched."""
    told: list[str] = []
    monkeypatch.setattr(dist, "destroy_process_group", lambda group: told.append("destroy"))
    here = world.World(0, 2, FakeGpu(), "cuda:0", (0,), 1, backend=backend)  # type: ignore[arg-type]
    here.groups[2] = object()  # type: ignore[assignment]
    here.release(2)
    here.release(2)  # once is enough
    assert told == due and bool(here.groups) == (backend == "nccl")


def test_groups_are_made_by_their_own_backend(nccl: Nccl) -> None:
    here = world.World(0, 1, nccl.gpu, "cuda:0", (0,), 1, backend="nccl", sizes=(1,))  # type: ignore[arg-type]
    here.timeout = TIMEOUT
    here.renew()
    assert here.groups == {1: "a group"}
    (made,) = nccl.made
    assert (made["backend"], made["device_id"], made["timeout"]) == ("nccl", nccl.gpu.torch, 60.0)
    assert [setup.size for setup in here.setups] == [1]


def whole_after_a_loss(gang: Gang) -> float:
    """What DTensor makes of the second group of the same ranks, when the first is gone."""
    total = 0.0
    for _ in range(2):
        group = process_groups.over_host("gloo", [range(gang.size)], dt.timedelta(seconds=LIMIT_S), gang.rank)
        mesh = DeviceMesh.from_group(group, "cpu")
        part = DTensor.from_local(torch.full((2, 2), gang.rank + 1.0), mesh, [Shard(0)])
        total = float((part + part).full_tensor().sum())
        process_groups.destroy(group)
    return total


def test_dtensor_uses_the_group_that_replaces_a_lost_one(two_ranks: Ranks) -> None:
    assert two_ranks.do(whole_after_a_loss) == [24.0, 24.0]
