"""Gangs of actors on a Ray cluster, one a device: the same worker as under torchrun."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from harness.common.text import harmless
from harness.journal.plan import Plan
from harness.journal.protocol import Order, RankNote
from harness.journal.records import RankOutcome
from harness.world.control import StopRequest
from launch.launcher import Ending, Hear, record_of
from launch.processes.cleanup import MARK, kill_started
from launch.ray_cluster.actor import Rank, Seat
from launch.ray_cluster.cluster import GONE, VISIBLE, Bundle, Cluster, NoRoomError, cause
from launch.ray_cluster.mailbox import Mailbox
from launch.supervision.hang_detector import SETUP_S, HangDetector

FAREWELL_S = 10.0
"""After a rank has failed the others have this long to report their own failures."""
KILL_S = 10.0
"""A node must have killed its actors within this time, or they are left to Ray."""
ARRIVAL_S = 60.0
"""After all ranks have ended well their last records must arrive within this time."""
HEAD_S = 5.0
"""Interval of checks whether the cluster's head lives."""


class RayLauncher:
    """Starts gangs of actors, one after the other; kills actors that do not end in time."""

    def __init__(self, address: str | None, placement: str, stop_request: StopRequest | None = None) -> None:
        """``address`` of a cluster to join, None for a local one; ``stop_request`` is set by an interruption."""
        self._stop_request = stop_request or StopRequest()
        self._cluster = Cluster(address)
        self._strategy = placement.replace("-", "_").upper()

    @property
    def waited_s(self) -> float:
        """Seconds of waiting for devices that others used: they do not count against the run's budget."""
        return self._cluster.waited_s

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.__exit__(*error)

    def launch(self, order: Order, hear: Hear) -> Ending | None:
        """Carry out one order with a fresh gang of actors."""
        bundles = [_bundle(order.plan)] * len(order.plan.devices)
        try:
            with self._cluster.room(bundles, self._strategy, lambda: self._stop_request.asked) as group:
                return self._carry_out(order, group, hear)
        except NoRoomError as error:
            return Ending("skipped", str(error))
        except GetTimeoutError:
            return Ending("hang", f"the actors, or the mailbox of their records, did not answer within {SETUP_S:g} s")
        except GONE as error:
            return Ending("died", cause(error))

    def _carry_out(self, order: Order, group: PlacementGroup, hear: Hear) -> Ending | None:
        driver = ray.get_runtime_context().get_node_id()
        on_driver = NodeAffinitySchedulingStrategy(driver, soft=False)  # so what it holds is lost with no other node
        mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=on_driver).remote()
        within = PlacementGroupSchedulingStrategy(group)
        make = ray.remote(Rank).options(**_needs(order.plan), scheduling_strategy=within)
        actors: list[Any] = [make.remote(str(Path.cwd())) for _ in order.plan.devices]
        seats: list[Seat] = []
        ended, mark = False, uuid.uuid4().hex
        try:
            seats = self._seats(actors, driver)
            ranked = [actors[seat.number] for seat in seats]
            port = ray.get(ranked[0].host.remote(seats[0].ip), timeout=SETUP_S)
            order_json = ray.put(order.model_dump_json(by_alias=True))  # once for all ranks
            runs = [
                actor.run.remote(environment, device, order_json, mailbox)
                for actor, (environment, device) in zip(ranked, places(order.plan, seats, port, mark), strict=True)
            ]
            ending = self._follow(runs, Inbox(mailbox, hear, HangDetector(len(runs), order.plan.deadline_s)))
            ended = ending is None
            return ending
        finally:
            self._kill(actors, seats, mark, ended=ended)

    def _seats(self, actors: list[Any], driver: str) -> list[Seat]:
        """The places of the actors, in the order of their ranks."""
        asked = [actor.sit.remote(driver, number) for number, actor in enumerate(actors)]
        return sorted(Seat(*values) for values in ray.get(asked, timeout=SETUP_S))

    def _kill(self, actors: list[Any], seats: list[Seat], mark: str, *, ended: bool) -> None:
        """End the actors and what they have started; on each node by a task, for who is stopped does not hear Ray.

        Where the runs have ``ended`` by themselves it is left to Ray to end the actors, which else complains of each.
        """
        with contextlib.suppress(*GONE):
            killed = []
            pids_of: dict[str, list[int]] = defaultdict(list)
            for seat in [] if self._cluster.lost() else seats:  # tasks would wait for the head
                pids_of[seat.node].append(seat.pid)
            for node, pids in pids_of.items():
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                killed.append(
                    ray.remote(kill_started)
                    .options(num_cpus=0, scheduling_strategy=there)
                    .remote(pids, mark, not ended)
                )
            if killed:
                ray.wait(killed, num_returns=len(killed), timeout=KILL_S)
            for actor in actors:
                ray.kill(actor)

    def _follow(self, runs: list[Any], inbox: Inbox) -> Ending | None:
        """Pass on the ranks' records until each has ended, one has failed, or one hangs."""
        detector, ranks, left = inbox.detector, {run: rank for rank, run in enumerate(runs)}, list(runs)
        results: dict[int, ActorResult] = {}
        farewell_s = math.inf
        look_s = time.monotonic() + HEAD_S
        late = False
        while left and not late:
            detector.look()
            if self._stop_request.asked:
                inbox.request_stop()
            due = time.monotonic() >= min(detector.until_s, farewell_s)
            inbox.pass_on(0.0 if due else 0.5)
            late = due and time.monotonic() >= min(detector.until_s, farewell_s)  # what had come was heard first
            ended, left = ray.wait(left, num_returns=len(left), timeout=0)
            for run in ended:
                detector.dismiss(ranks[run])
                results[ranks[run]] = result = _result(run)
                if result.failed:
                    farewell_s = min(farewell_s, time.monotonic() + FAREWELL_S)
            if time.monotonic() > look_s:
                if why := self._cluster.lost():
                    return Ending("died", why)
                look_s = time.monotonic() + HEAD_S
        hang = replace(detector.verdict(), outcomes=detector.outcomes()) if left else None
        missing = inbox.finish({rank: result.sent for rank, result in results.items() if not result.failed})
        return died(results, detector.outcomes()) or hang or missing


class Inbox:
    """The driver's end of a gang's mailbox."""

    def __init__(self, mailbox: Any, hear: Hear, detector: HangDetector) -> None:
        self.detector = detector
        self._mailbox = mailbox
        self._hear = hear
        self._received: Counter[int] = Counter()
        """Lines, by rank."""

    def request_stop(self) -> None:
        """Ask the ranks to stop after the sample at hand."""
        self._mailbox.request_stop.remote()

    def pass_on(self, wait_s: float) -> None:
        """Pass on the lines that have arrived, for the first of which to wait."""
        for line in ray.get(self._mailbox.take.remote(self._received.total(), wait_s), timeout=SETUP_S):
            rank, text = line
            self._received[rank] += 1
            record = record_of(text)
            self.detector.hear(record)
            if not isinstance(record, RankNote):
                self._hear(record)

    def finish(self, sent: Mapping[int, int]) -> Ending | None:
        """Pass on all that is still to arrive; ``sent`` has the number of lines of each rank that ended well.

        Returns an ending where lines of these are missing; what has arrived after lost ones is passed on all the same.
        """
        end_s = time.monotonic() + ARRIVAL_S
        self.pass_on(0.0)
        while self._lacking(sent) and time.monotonic() < end_s:
            self.pass_on(0.5)
        ray.get(self._mailbox.skip_gaps.remote(), timeout=SETUP_S)
        self.pass_on(0.0)
        lacking = self._lacking(sent)
        if not lacking:
            return None
        rank = min(lacking)
        lost = f"{lacking[rank]} of the {sent[rank]} records of rank {rank}"
        return Ending("died", f"{lost} did not arrive within {ARRIVAL_S:g} s", rank)

    def _lacking(self, sent: Mapping[int, int]) -> dict[int, int]:
        """Number of missing lines of each rank that has any."""
        return {rank: count - self._received[rank] for rank, count in sent.items() if count > self._received[rank]}


class ActorResult(NamedTuple):
    """The end of a rank."""

    sent: int = 0
    """Number of lines that it has sent."""
    message: str | None = None
    """Its failure; None if it ended regularly."""
    cause: Literal["own", "silent", "echo"] = "silent"
    """What it failed by: an error of its own; its process died; or an error that others' failures cause, too."""

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.message is not None


BLAME = ("own", "silent", "echo")
"""Which failure was the first if several ranks fail: one rank may fail because another did."""


def died(results: Mapping[int, ActorResult], standing: Iterable[RankOutcome] = ()) -> Ending | None:
    """The ending of a gang with failed ranks; ``standing`` has the states of those that have not ended."""
    failed = {rank: result for rank, result in results.items() if result.failed}
    if not failed:
        return None
    first = min(failed, key=lambda rank: BLAME.index(failed[rank].cause))  # of several the one that ended first
    outcomes = (RankOutcome(rank=rank, outcome=failed[rank].message or "") for rank in sorted(failed))
    return Ending("died", failed[first].message or "", first, (*outcomes, *standing))


def _result(run: Any) -> ActorResult:
    """The end of a rank's run."""
    try:
        sent, words, echo = ray.get(run, timeout=FAREWELL_S)
    except RayActorError:
        return ActorResult(message="its process or its node was lost")
    except RayError as error:
        return ActorResult(message=cause(error), cause="echo")
    if words is None:
        return ActorResult(sent)
    return ActorResult(sent, harmless(words.strip().splitlines()[-1]), "echo" if echo else "own")


def places(plan: Plan, seats: Sequence[Seat], port: int, mark: str) -> list[tuple[dict[str, str], str]]:
    """The environment and the device of each rank, whose store is at ``port`` of the first one's node."""
    size, used = Counter(seat.node for seat in seats), Counter[str]()
    order = []
    for rank, seat in enumerate(seats):
        local = used[seat.node]
        used[seat.node] += 1
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(seats)),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(size[seat.node]),
            "MASTER_ADDR": seats[0].ip,
            "MASTER_PORT": str(port),
            "NODE_IP": seat.ip,
            MARK: mark,
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0's actor has the store already
        }
        kind = plan.devices[rank].partition(":")[0]
        order.append((environment, f"{kind}:{seat.gpu if kind == 'cuda' else local}"))
    return order


def _bundle(plan: Plan) -> Bundle:
    gpu = {"GPU": 1.0} if plan.devices[0].startswith("cuda") else {}
    return {"CPU": float(plan.threads), **gpu}


def _needs(plan: Plan) -> dict[str, Any]:
    """The same for an actor; what keeps GPUs visible costs a second to start, and only GPUs need it."""
    bundle = _bundle(plan)
    options: dict[str, Any] = {"num_cpus": bundle["CPU"], "num_gpus": bundle.get("GPU", 0)}
    return options | ({"runtime_env": {"env_vars": VISIBLE}} if "GPU" in bundle else {})
