"""Gangs of actors on a Ray cluster, one a device: the same worker as under torchrun."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Self

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from harness.messages import Order
from harness.plan import Plan
from launch.actor import Mailbox, Rank, Seat
from launch.cluster import GONE, VISIBLE, Bundle, Cluster, NoRoomError
from launch.gangs import Ending, Hear, record_of

DEADLINE_S = 150.0
"""A gang that gives no sign of life for this long hangs."""
FAREWELL_S = 10.0
"""After a rank has failed the others get this long to say that they did."""
HEAD_S = 5.0
"""How often to see whether the cluster's head is still there."""


class Actors:
    """Starts gangs of actors, one after the other; kills what does not end in time."""

    def __init__(self, address: str | None, placement: str, deadline_s: float = DEADLINE_S) -> None:
        """``address`` of a cluster to join; None for a small one of our own."""
        self._cluster = Cluster(address)
        self._strategy = placement.replace("-", "_").upper()
        self._deadline_s = deadline_s

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.__exit__(*error)

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order with a fresh gang of actors."""
        bundles = [_bundle(order.plan)] * len(order.plan.devices)
        try:
            with self._cluster.room(bundles, self._strategy) as group:
                return self._carry_out(order, group, hear)
        except NoRoomError as error:
            return Ending("skipped", str(error))
        except GetTimeoutError:
            return Ending("hang", f"no actor answered within {self._deadline_s:g} s")
        except GONE as error:
            return Ending("died", _first_line(error))

    def _carry_out(self, order: Order, group: PlacementGroup, hear: Hear) -> Ending | None:
        driver = ray.get_runtime_context().get_node_id()
        beside = NodeAffinitySchedulingStrategy(driver, soft=False)  # so what it holds is lost with no other node
        mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=beside).remote()
        within = PlacementGroupSchedulingStrategy(group)
        make = ray.remote(Rank).options(**_needs(order.plan), scheduling_strategy=within)
        actors: list[Any] = [make.remote() for _ in order.plan.devices]
        try:
            ranked, environments, devices = self._seat(order.plan, actors, driver)
            runs = [
                actor.run.remote(environment, device, order.model_dump_json(by_alias=True), mailbox)
                for actor, environment, device in zip(ranked, environments, devices, strict=True)
            ]
            return self._follow(runs, mailbox, hear)
        finally:
            with contextlib.suppress(*GONE):
                for actor in actors:
                    ray.kill(actor)

    def _seat(self, plan: Plan, actors: list[Any], driver: str) -> tuple[list[Any], list[dict[str, str]], list[str]]:
        """Actors in the order of their ranks, with the environment and the device of each."""
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
        look_s = time.monotonic() + HEAD_S
        while left and time.monotonic() < until_s:
            told = self._pass_on(mailbox, seen, hear, 0.5)
            seen += told
            ended, left = ray.wait(left, num_returns=len(left), timeout=0)
            fates = {runs.index(run): _fate(run) for run in ended}
            if not failed and (told or ended):
                until_s = time.monotonic() + (FAREWELL_S if any(fates.values()) else self._deadline_s)
            failed |= {rank: fate for rank, fate in fates.items() if fate}
            if time.monotonic() > look_s:
                if why := self._cluster.lost():
                    return Ending("died", why)
                look_s = time.monotonic() + HEAD_S
        self._pass_on(mailbox, seen, hear, 0.0)
        if failed:  # the first to die is one that could not say so: words often tell of another's end
            silent = [rank for rank, (died, _) in failed.items() if died]
            rank = (silent or list(failed))[0]
            return Ending("died", failed[rank][1], rank)
        return Ending("hang", f"no sign of life for {self._deadline_s:g} s") if left else None

    def _pass_on(self, mailbox: Any, seen: int, hear: Hear, wait_s: float) -> int:
        """Pass on the lines after those ``seen``, for the first of which to wait; returns how many they were."""
        lines = ray.get(mailbox.take.remote(seen, wait_s), timeout=self._deadline_s)
        for line in lines:
            hear(record_of(line))
        return len(lines)


def _fate(run: Any) -> tuple[bool, str] | None:
    """None for a rank that ended well; whether its process died, and its last words."""
    try:
        words = ray.get(run, timeout=1)
    except RayActorError:
        return True, "its process or its node was lost"
    except RayError as error:
        return False, _first_line(error)
    return None if words is None else (False, words.strip().splitlines()[-1])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _bundle(plan: Plan) -> Bundle:
    gpu = {"GPU": 1.0} if plan.devices[0].startswith("cuda") else {}
    return {"CPU": float(plan.threads), **gpu}


def _needs(plan: Plan) -> dict[str, Any]:
    """The same for an actor; what keeps GPUs visible costs a second to start, and only GPUs need it."""
    bundle = _bundle(plan)
    told: dict[str, Any] = {"num_cpus": bundle["CPU"], "num_gpus": bundle.get("GPU", 0)}
    return told | ({"runtime_env": {"env_vars": VISIBLE}} if "GPU" in bundle else {})
