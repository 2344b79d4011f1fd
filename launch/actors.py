"""Gangs of actors on a Ray cluster, one a device: the same worker as under torchrun."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from dataclasses import replace
from typing import Any, Self

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from harness.errors import first_line
from harness.fates import RankFate
from harness.halt import Halt
from harness.messages import Order, RankNote
from harness.plan import Plan
from launch.actor import Mailbox, Rank, Seat
from launch.cluster import GONE, VISIBLE, Bundle, Cluster, NoRoomError
from launch.gangs import Ending, Hear, record_of
from launch.lifeline import MARK, kill_started
from launch.vigil import SETUP_S, Vigil

FAREWELL_S = 10.0
"""After a rank has failed the others get this long to say that they did."""
KILL_S = 10.0
"""A node must have killed its actors within this time, or they are left to Ray."""
HEAD_S = 5.0
"""How often to see whether the cluster's head is still there."""


class Actors:
    """Starts gangs of actors, one after the other; kills what does not end in time."""

    def __init__(self, address: str | None, placement: str, halt: Halt | None = None) -> None:
        """``address`` of a cluster to join, None for one of our own; ``halt`` is what an interruption asks for."""
        self._halt = halt or Halt()
        self._cluster = Cluster(address)
        self._strategy = placement.replace("-", "_").upper()

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
            return Ending("hang", f"the actors were not ready within {SETUP_S:g} s")
        except GONE as error:
            return Ending("died", first_line(error))

    def _carry_out(self, order: Order, group: PlacementGroup, hear: Hear) -> Ending | None:
        driver = ray.get_runtime_context().get_node_id()
        beside = NodeAffinitySchedulingStrategy(driver, soft=False)  # so what it holds is lost with no other node
        mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=beside).remote()
        within = PlacementGroupSchedulingStrategy(group)
        make = ray.remote(Rank).options(**_needs(order.plan), scheduling_strategy=within)
        actors: list[Any] = [make.remote() for _ in order.plan.devices]
        seats: list[Seat] = []
        ended, mark = False, uuid.uuid4().hex
        try:
            seats = self._seats(actors, driver)
            ranked = [actors[seat.number] for seat in seats]
            runs = [
                actor.run.remote(environment, device, order.model_dump_json(by_alias=True), mailbox)
                for actor, (environment, device) in zip(
                    ranked, self._places(order.plan, ranked, seats, mark), strict=True
                )
            ]
            ending = self._follow(runs, mailbox, hear, Vigil(len(runs), order.plan.deadline_s))
            ended = ending is None
            return ending
        finally:
            self._kill(actors, seats, mark, ended=ended)

    def _seats(self, actors: list[Any], driver: str) -> list[Seat]:
        """Where the actors are, in the order of their ranks."""
        asked = [actor.sit.remote(driver, number) for number, actor in enumerate(actors)]
        return sorted(Seat(*told) for told in ray.get(asked, timeout=SETUP_S))

    def _places(self, plan: Plan, ranked: list[Any], seats: list[Seat], mark: str) -> list[tuple[dict[str, str], str]]:
        """The environment and the device of each rank."""
        port = ray.get(ranked[0].host.remote(seats[0].ip), timeout=SETUP_S)
        nodes = [seat.node for seat in seats]
        places = []
        for rank, seat in enumerate(seats):
            local = nodes[:rank].count(seat.node)
            environment = {
                "RANK": str(rank),
                "WORLD_SIZE": str(len(seats)),
                "LOCAL_RANK": str(local),
                "LOCAL_WORLD_SIZE": str(nodes.count(seat.node)),
                "MASTER_ADDR": seats[0].ip,
                "MASTER_PORT": str(port),
                "NODE_IP": seat.ip,
                MARK: mark,
                "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0's actor has the store already
            }
            kind = plan.devices[rank].partition(":")[0]
            places.append((environment, f"{kind}:{seat.gpu if kind == 'cuda' else local}"))
        return places

    def _kill(self, actors: list[Any], seats: list[Seat], mark: str, *, ended: bool) -> None:
        """End the actors and what they have started; on each node by a task, for who is stopped does not hear Ray.

        Where the runs have ``ended`` by themselves it is left to Ray to end the actors, which else complains of each.
        """
        with contextlib.suppress(*GONE):
            killed = []
            nodes = set() if self._cluster.lost() else {seat.node for seat in seats}  # tasks would wait for the head
            for node in nodes:
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                pids = [seat.pid for seat in seats if seat.node == node]
                killed.append(
                    ray.remote(kill_started)
                    .options(num_cpus=0, scheduling_strategy=there)
                    .remote(pids, mark, not ended)
                )
            if killed:
                ray.wait(killed, num_returns=len(killed), timeout=KILL_S)
            for actor in actors:
                ray.kill(actor)

    def _follow(self, runs: list[Any], mailbox: Any, hear: Hear, vigil: Vigil) -> Ending | None:
        """Pass on what the ranks tell until each has ended, one has failed, or one hangs."""
        seen, left = 0, list(runs)
        failed: dict[int, tuple[bool, str]] = {}
        farewell_s = math.inf
        look_s = time.monotonic() + HEAD_S
        late = False
        while left and not late:
            vigil.look()
            if self._halt.asked:
                mailbox.halt.remote()
            due = time.monotonic() >= min(vigil.until_s, farewell_s)
            seen += self._pass_on(mailbox, seen, hear, 0.0 if due else 0.5, vigil)
            late = due and time.monotonic() >= min(vigil.until_s, farewell_s)  # what had come was heard first
            ended, left = ray.wait(left, num_returns=len(left), timeout=0)
            for rank, fate in ((runs.index(run), _fate(run)) for run in ended):
                vigil.dismiss(rank)
                if fate:
                    failed[rank] = fate
                    farewell_s = min(farewell_s, time.monotonic() + FAREWELL_S)
            if time.monotonic() > look_s:
                if why := self._cluster.lost():
                    return Ending("died", why)
                look_s = time.monotonic() + HEAD_S
        hang = replace(vigil.verdict(), fates=vigil.fates()) if left else None
        self._pass_on(mailbox, seen, hear, 0.0, vigil)
        if failed:  # the first to die is one that could not say so: words often tell of another's end
            silent = [rank for rank, (died, _) in failed.items() if died]
            rank = (silent or list(failed))[0]
            fates = (RankFate(rank=each, fate=failed[each][1]) for each in sorted(failed))
            return Ending("died", failed[rank][1], rank, (*fates, *vigil.fates()))
        return hang

    def _pass_on(self, mailbox: Any, seen: int, hear: Hear, wait_s: float, vigil: Vigil) -> int:
        """Pass on the lines after those ``seen``, for the first of which to wait; returns how many they were."""
        lines = ray.get(mailbox.take.remote(seen, wait_s), timeout=SETUP_S)
        for record in map(record_of, lines):
            vigil.hear(record)
            if not isinstance(record, RankNote):
                hear(record)
        return len(lines)


def _fate(run: Any) -> tuple[bool, str] | None:
    """None for a rank that ended well; whether its process died, and its last words."""
    try:
        words = ray.get(run, timeout=FAREWELL_S)
    except RayActorError:
        return True, "its process or its node was lost"
    except RayError as error:
        return False, first_line(error)
    return None if words is None else (False, words.strip().splitlines()[-1])


def _bundle(plan: Plan) -> Bundle:
    gpu = {"GPU": 1.0} if plan.devices[0].startswith("cuda") else {}
    return {"CPU": float(plan.threads), **gpu}


def _needs(plan: Plan) -> dict[str, Any]:
    """The same for an actor; what keeps GPUs visible costs a second to start, and only GPUs need it."""
    bundle = _bundle(plan)
    told: dict[str, Any] = {"num_cpus": bundle["CPU"], "num_gpus": bundle.get("GPU", 0)}
    return told | ({"runtime_env": {"env_vars": VISIBLE}} if "GPU" in bundle else {})
