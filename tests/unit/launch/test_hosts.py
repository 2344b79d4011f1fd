"""environment.json is of the ranks' hosts, wherever the run was started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.device import fingerprint
from harness.device.device import CpuDevice
from harness.journal.plan import Plan
from harness.journal.protocol import Order
from harness.journal.records import LaunchRecord
from harness.journal.run_directory import RunDir
from harness.measure import worker
from harness.planning.builder import make
from harness.planning.request import RunRequest
from harness.world.world import World
from launch.supervision.run_state import fingerprints, note_hosts
from reports.reading.run import environment


@pytest.fixture
def plan() -> Plan:
    return make(RunRequest(names=["split"], devices="cpu:1"))


class Told:
    """What each rank's host tells: the first is this one; ``others`` is what one or two more have otherwise."""

    def __init__(self, *others: dict[str, Any]) -> None:
        self._others = others

    def gather(self, mine: dict[str, Any], _: object) -> list[dict[str, Any]]:
        return [mine, *(mine | {part: mine[part] | its for part, its in other.items()} for other in self._others)]


def announced(plan: Plan, started_on: str, *others: dict[str, Any]) -> tuple[LaunchRecord, dict[str, Any]]:
    """The launch record's own of the environment, where ranks are on the hosts a, b, …"""
    order = Order(plan=plan, launch=0, attempt=0, todo={}, budget_s=1, fingerprint="f", scratch="", host=started_on)
    world = World(0, 1 + len(others), CpuDevice(0), "cpu:0", (0,), 1)
    world.control = Told(*others)  # type: ignore[assignment]
    first, hosts = worker._environments(order, world, ["a", "b", "c"][: 1 + len(others)])
    own = fingerprint.of_hosts(first["hash"] if first else order.fingerprint, hosts)
    record = LaunchRecord(
        launch=0, launcher="torchrun", started="", fingerprint=own, lead_s=0, ranks=(), hosts=hosts, environment=first
    )
    return LaunchRecord.model_validate_json(record.model_dump_json(by_alias=True), strict=True), hosts


OTHER = {"software": {"nccl": "2.1"}, "variables": {"NCCL_ALGO": "Tree", "RAY_NODE_ID": "7"}}


def test_the_fingerprint_is_of_all_hosts_whatever_their_names(plan: Plan) -> None:
    (alone, nothing), (alike, same), (strange, found), (twice, both) = (
        announced(plan, "a", *others) for others in ((), ({},), (OTHER,), ({}, OTHER))
    )
    assert nothing == {} and same == {"b": {}} and both == {"b": {}, "c": found["b"]}
    assert found == {"b": {"software": {"nccl": "2.1"}, "variables": {"NCCL_ALGO": "Tree"}}}
    assert alone.fingerprint == alike.fingerprint == "f"
    assert twice.fingerprint == strange.fingerprint != "f"
    assert announced(plan, "elsewhere", OTHER)[0].fingerprint not in {"f", strange.fingerprint}


@pytest.mark.parametrize("started_on", ["a", "elsewhere"])
def test_environment_json_is_of_the_ranks_hosts(tmp_path: Path, plan: Plan, started_on: str) -> None:
    run = RunDir(tmp_path / "run")
    run.create(plan)
    fingerprints(run, plan)
    before = json.loads(run.environment_path.read_text())
    run.environment_path.write_text(json.dumps(before | {"host": before["host"] | {"cpu": "the driver's"}}))
    record, hosts = announced(plan, started_on, {}, OTHER)
    note_hosts(run, plan, record)
    told = environment(run)
    assert told is not None and told["hosts"] == {"b": "alike", "c": hosts["c"]}
    assert told["host"]["cpu"] == ("the driver's" if started_on == "a" else before["host"]["cpu"])
    assert told["git"] == before["git"] and told["hash"] == record.fingerprint


def test_where_all_ranks_are_where_the_run_was_started_it_stays_as_it_is(tmp_path: Path, plan: Plan) -> None:
    run = RunDir(tmp_path / "run")
    run.create(plan)
    fingerprints(run, plan)
    before = run.environment_path.read_text()
    note_hosts(run, plan, announced(plan, "a")[0])
    assert run.environment_path.read_text() == before
