"""Regimes: what may be asked for where, and that the plan says how it is measured."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from harness.common.errors import UsageError
from harness.device import device, gloo_threads
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world.world import one_rank_each


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_a_plan_says_how_it_is_measured(gpus: None) -> None:
    plain = make(RunRequest(names=["split"], devices="cuda"))
    assert (plain.cache, plain.execution) == ("hot", "eager")
    asked = make(RunRequest(names=["split"], devices="cuda", cache="cold", execution="graph"))
    assert (asked.cache, asked.execution) == ("cold", "graph")
    told = {name for name in plain.regime if plain.regime[name] != asked.regime[name]}
    assert told == {"cache", "execution"}
    assert asked.regime["cache"].startswith("cold") and asked.regime["execution"].startswith("graph")
    assert plain.identity != asked.identity


def test_a_cpu_is_measured_as_ever() -> None:
    plan = make(RunRequest(names=["split"], devices="cpu:1"))
    assert plan.regime == {
        "alignment": "delay window",
        "cadence": "isolated samples of repeated steps",
        "cache": "hot: each visit warms up",
        "execution": "eager",
        "allocator": "PyTorch's default",
        "clocks": "as found",
        "threads": "1 a rank",
        "affinity": "each rank has cores of its own",
        "gloo loop": "in the background: gloo's event loop yields to the step",
    }
    as_is = make(RunRequest(names=["split"], devices="cpu:1", gloo_loop="as-is"))
    assert as_is.regime | {"gloo loop": ""} == plan.regime | {"gloo loop": ""}
    assert as_is.regime["gloo loop"] == "as gloo has it"


@pytest.mark.parametrize(
    ("run_request", "complaint"),
    [
        ({"cache": "cold"}, "--cache must be hot on CPU devices, but is cold; leave it out, or use --devices cuda"),
        ({"execution": "graph"}, "--execution must be eager on CPU devices, but is graph"),
        ({"cache": "cool"}, "--cache must be one of hot, cold, but is 'cool'"),
        ({"execution": "grph"}, "--execution must be one of eager, graph, but is 'grph'; did you mean 'graph'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run_request: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        make(RunRequest(names=["split"], devices="cpu:1", **run_request))  # type: ignore[arg-type]
    assert str(raised.value).startswith(complaint)


def test_ranks_share_a_gpu_only_where_that_is_meant(gpus: None) -> None:
    with pytest.raises(UsageError) as raised:
        make(RunRequest(names=["split"], devices="cuda:0,0"))
    assert str(raised.value).startswith("--devices names a GPU twice (cuda:0,cuda")
    assert "--share-device" in str(raised.value)
    plan = make(RunRequest(names=["split"], devices="cuda:0,0", share_device=True))
    assert plan.shared_device and plan.world_sizes == (1, 2)
    assert plan.regime["collectives"].startswith("gloo")
    assert not make(RunRequest(names=["split"], devices="cuda")).shared_device


def test_ranks_share_cores_only_where_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take the CPU devices in turn, also the ranks of somebody's torchrun, who cannot name any."""
    monkeypatch.setattr(device, "cores", lambda: [4, 5])
    for ranks in ((), ((3, 3),)):
        asked = RunRequest(names=["split"], devices=None if ranks else "cpu:3")
        with pytest.raises(UsageError, match="add --share-device to test more"):
            make(asked, *ranks)
        plan = make(replace(asked, share_device=True), *ranks)
        assert plan.devices == ("cpu:0", "cpu:1", "cpu:0")
        assert plan.shared_device and plan.world_sizes == (1, 2, 3)
        assert plan.regime["affinity"] == "ranks share cores"
    with pytest.raises(UsageError, match="--share-device cannot be combined with --launcher"):
        make(RunRequest(names=["split"], devices="cpu:3", share_device=True, launcher="torchrun,ray"))
    plan = make(RunRequest(names=["split"], devices="cpu:3", threads=2, share_device=True))
    assert plan.devices == ("cpu:0",) * 3


@pytest.mark.parametrize("named", ["cuda:0,1", "cuda", "cpu:1"])
def test_sharing_that_shares_nothing_is_refused(gpus: None, named: str) -> None:
    with pytest.raises(UsageError, match="--share-device needs a GPU that --devices names twice"):
        make(RunRequest(names=["split"], devices=named, share_device=True))


def test_two_ranks_that_turn_out_to_be_on_one_gpu_are_refused_before_nccl_is_asked() -> None:
    one_rank_each(["a", "b", "c"])
    with pytest.raises(UsageError) as raised:
        one_rank_each(["a", "b", "a"])
    assert "ranks 0 and 2 share GPU a" in str(raised.value) and "--share-device" in str(raised.value)


def test_where_no_thread_may_change_its_class_that_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    gloo_threads.to_background()
    with pytest.raises(UsageError, match=r"--gloo-loop must be as-is where threads keep their class \(Operation not"):
        make(RunRequest(names=["split"], devices="cpu:1"))
    assert make(RunRequest(names=["split"], devices="cpu:1", gloo_loop="as-is")).gloo_loop == "as-is"
