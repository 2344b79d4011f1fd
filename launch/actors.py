"""Gangs of actors on a Ray cluster, one a device: the same worker as under torchrun. Only this module imports ray."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import uuid
from typing import Any, NamedTuple, Self

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from harness.errors import RankbenchError, UsageError
from harness.messages import Order
from harness.plan import Plan
from launch.gangs import Ending, Hear, record_of
from launch.lifeline import afterwards
from launch.network import tell_gloo

DEADLINE_S = 150.0
"""A gang that gives no sign of life for this long hangs."""
PLACEMENT_S = 60.0
"""How long to wait for devices that the cluster has but others use."""
FAREWELL_S = 10.0
"""After a rank has failed the others get this long to say that they did."""
PROBE_S = 5.0
"""An address that accepts no connection within this time is refused: Ray itself would try for minutes."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
VISIBLE = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
"""All of a node's GPUs stay visible to each rank: NCCL and symmetric memory are slow or wrong where they are masked."""
SWEEP = 'for it in /proc/[0-9]*; do grep -qaF -e "$0" "$it/environ" && kill -9 "${it#/proc/}"; done'
"""Kills what has ``$0`` in its environment: some of Ray's processes outlive a driver that is killed."""


class Seat(NamedTuple):
    """Where an actor lives; seats sort into the order of ranks: by node, and there by GPU."""

    away: bool
    """Whether it is on another node than the driver."""
    ip: str
    node: str
    gpu: int
    """Its GPU's index on the node; -1 without one."""
    number: int
    """Which of the gang's actors it is."""


class Rank:
    """One rank, as an actor: a process of its own on the node that has its device."""

    def sit(self, driver: str, number: int) -> Seat:
        """Where this actor is."""
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        node, ip = context.get_node_id(), ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Seat(node != driver, ip, node, int(gpus[0]) if gpus else -1, number)

    def host(self, ip: str) -> int:
        """Keep the store at which the ranks meet; returns its port."""
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        self._store = TCPStore(ip, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
        return self._store.port

    def run(self, environment: dict[str, str], device: str, order_json: str, mailbox: Any) -> str | None:
        """Carry out an order as one rank. Returns None, or its last words where it failed."""
        import traceback

        from harness import worker, world

        os.environ |= environment
        tell_gloo(environment["NODE_IP"])
        order = Order.model_validate_json(order_json)
        try:
            with world.joined(order.plan, device) as joined:
                worker.run(order, joined, lambda record: mailbox.put.remote(record.model_dump_json(by_alias=True)))
        except BaseException:  # noqa: BLE001
            return traceback.format_exc()[-4000:]
        return None


class Mailbox:
    """Holds what rank 0 tells until the driver fetches it: nothing is lost while the driver cannot be reached."""

    def __init__(self) -> None:
        import asyncio

        self._lines: list[str] = []
        self._came = asyncio.Event()

    async def put(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line)
        self._came.set()

    async def take(self, seen: int, timeout_s: float) -> list[str]:
        """The lines after the first ``seen``; waits for one, but not for longer than ``timeout_s``."""
        import asyncio

        if len(self._lines) <= seen:
            self._came.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._came.wait(), timeout_s)
        return self._lines[seen:]


class Actors:
    """Starts gangs of actors, one after the other; kills what does not end in time."""

    def __init__(self, address: str | None, placement: str, deadline_s: float = DEADLINE_S) -> None:
        """``address`` of a cluster to join; None for a small one of our own."""
        self._address = address
        self._strategy = placement.replace("-", "_").upper()
        self._deadline_s = deadline_s
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._address is None:
            mark = uuid.uuid4().hex
            self._stack.enter_context(afterwards(SWEEP, mark))
            os.environ.update(QUIET | VISIBLE | {"RANKBENCH_CLUSTER": mark, "RAY_AUTH_MODE": "disabled"})
            ray.init(
                address="local",
                num_cpus=len(os.sched_getaffinity(0)),
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
            )
        else:
            _join(self._address)
        return self

    def __exit__(self, *error: object) -> None:
        ray.shutdown()
        self._stack.close()

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order with a fresh gang of actors."""
        plan = order.plan
        group = self._place(plan)
        actors: list[Any] = []
        try:
            mailbox = ray.remote(Mailbox).options(num_cpus=0).remote()
            make = ray.remote(Rank).options(**_needs(plan), scheduling_strategy=PlacementGroupSchedulingStrategy(group))
            actors = [make.remote() for _ in plan.devices]
            actors, environments, devices = self._seat(plan, actors)
            runs = [
                actor.run.remote(environment, device, order.model_dump_json(by_alias=True), mailbox)
                for actor, environment, device in zip(actors, environments, devices, strict=True)
            ]
            return self._follow(runs, mailbox, hear)
        except GetTimeoutError:
            return Ending("hang", f"no actor answered within {self._deadline_s:g} s")
        except RayError as error:
            return Ending("died", _first_line(error))
        finally:
            for actor in actors:
                ray.kill(actor)
            remove_placement_group(group)

    def _place(self, plan: Plan) -> PlacementGroup:
        """Reserve the devices. Raises RankbenchError where the cluster does not give them."""
        bundles = [_bundle(plan)] * len(plan.devices)
        group = placement_group(bundles, self._strategy)
        if not group.wait(PLACEMENT_S):
            remove_placement_group(group)
            raise RankbenchError(f"the cluster did not give {len(bundles)} × {_bundle(plan)} within {PLACEMENT_S:g} s")
        return group  # type: ignore[no-any-return]

    def _seat(self, plan: Plan, actors: list[Any]) -> tuple[list[Any], list[dict[str, str]], list[str]]:
        """Actors in the order of their ranks, with the environment and the device of each."""
        driver = ray.get_runtime_context().get_node_id()
        asked = [actor.sit.remote(driver, number) for number, actor in enumerate(actors)]
        seats = sorted(Seat(*told) for told in ray.get(asked, timeout=self._deadline_s))
        ranked = [actors[seat.number] for seat in seats]
        port = ray.get(ranked[0].host.remote(seats[0].ip), timeout=self._deadline_s)
        nodes = [seat.node for seat in seats]
        environments, devices = [], []
        for rank, seat in enumerate(seats):
            local = nodes[:rank].count(seat.node)
            environments.append(
                {
                    "RANK": str(rank),
                    "WORLD_SIZE": str(len(seats)),
                    "LOCAL_RANK": str(local),
                    "LOCAL_WORLD_SIZE": str(nodes.count(seat.node)),
                    "MASTER_ADDR": seats[0].ip,
                    "MASTER_PORT": str(port),
                    "NODE_IP": seat.ip,
                    "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0's actor has the store already
                }
            )
            kind = plan.devices[rank].partition(":")[0]
            devices.append(f"{kind}:{seat.gpu if kind == 'cuda' else local}")
        return ranked, environments, devices

    def _follow(self, runs: list[Any], mailbox: Any, hear: Hear) -> Ending | None:
        """Pass on what rank 0 tells until every rank has ended, one has failed, or none gives a sign of life."""
        seen, left = 0, list(runs)
        failed: dict[int, tuple[bool, str]] = {}
        until_s = time.monotonic() + self._deadline_s
        while left:
            lines = ray.get(mailbox.take.remote(seen, 0.5), timeout=self._deadline_s)
            seen += len(lines)
            for line in lines:
                hear(record_of(line))
            ended, left = ray.wait(left, num_returns=len(left), timeout=0)
            fates = {runs.index(run): _fate(run) for run in ended}
            if lines or (ended and not failed):
                until_s = time.monotonic() + self._deadline_s
            if any(fates.values()) and not failed:
                until_s = time.monotonic() + FAREWELL_S
            failed |= {rank: fate for rank, fate in fates.items() if fate}
            if time.monotonic() > until_s:
                break
        for line in ray.get(mailbox.take.remote(seen, 0.0), timeout=self._deadline_s):
            hear(record_of(line))
        if failed:  # the first to die is one that could not say so: words often tell of another's end
            silent = [rank for rank, (died, _) in failed.items() if died]
            rank = (silent or list(failed))[0]
            return Ending("died", failed[rank][1], rank)
        return Ending("hang", f"no sign of life for {self._deadline_s:g} s") if left else None


def _fate(run: Any) -> tuple[bool, str] | None:
    """None for a rank that ended well; whether its process died, and its last words."""
    try:
        words = ray.get(run, timeout=1)
    except RayActorError as error:
        return True, _first_line(error)
    except RayError as error:
        return False, _first_line(error)
    return None if words is None else (False, words.strip().splitlines()[-1])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _bundle(plan: Plan) -> dict[str, float]:
    gpu = {"GPU": 1.0} if plan.devices[0].startswith("cuda") else {}
    return {"CPU": float(plan.threads), **gpu}


def _needs(plan: Plan) -> dict[str, Any]:
    """The same for an actor; what keeps GPUs visible costs a second to start, and only GPUs need it."""
    bundle = _bundle(plan)
    told: dict[str, Any] = {"num_cpus": bundle["CPU"], "num_gpus": bundle.get("GPU", 0)}
    return told | ({"runtime_env": {"env_vars": VISIBLE}} if "GPU" in bundle else {})


def nodes(address: str) -> list[dict[str, int]]:
    """What each node of a cluster has, by kind of device; joins the cluster. Raises UsageError."""
    _join(address)
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
    return [{"cpu": int(has.get("CPU", 0)), "cuda": int(has.get("GPU", 0))} for has in alive]


def _join(address: str) -> None:
    if not ray.is_initialized():
        os.environ.update(QUIET)
        _probe(address)
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)


def _probe(address: str) -> None:
    """Refuse a cluster that does not answer. Raises UsageError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), PROBE_S).close()
    except (OSError, ValueError) as error:
        remedy = "start the cluster, or correct the address"
        raise UsageError("--ray-address", "be host:port of a running cluster", f"{address} ({error})", remedy) from None
