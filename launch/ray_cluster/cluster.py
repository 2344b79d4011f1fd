"""A Ray cluster, external or a small local one: the connection to it, and room on it for a gang."""

import contextlib
import logging
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Self

import ray
from ray._private import ray_constants
from ray._raylet import Config  # type: ignore[attr-defined]
from ray.exceptions import RayError
from ray.job_config import JobConfig
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from harness.common.errors import RankbenchError, UsageError
from harness.common.packages import within_reach
from harness.common.text import harmless, words_of
from launch.processes.cleanup import temporary

PLACEMENT_S = 3600.0
"""How long to wait for devices that the cluster has but others use."""
SOON_S, AGAIN_S = 2.0, 30.0
"""When to report that devices are waited for: for the first time, and how often from then on."""
REJOIN_S = 5.0
"""How long to wait for devices that the cluster has no more: once, so that a run without them ends soon."""
PROBE_S = 5.0
"""An address that accepts no connection within this time is refused: Ray itself would try for minutes."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
EQUAL = {"RAY_worker_niceness": "0"}
"""Without this variable Ray gives all processes of a node a niceness of 15."""
VISIBLE = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
"""All of a node's GPUs stay visible to each rank: NCCL and symmetric memory are slow or wrong where they are masked."""
STRICT = "STRICT_SPREAD"
LONGEST_TEMPORARY = 20
"""Bytes of the path of the folder for temporary files; below it are 84 more of a socket's, which takes 107."""
STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""Escape sequences that switch a terminal's colours."""
FATAL = re.compile(r"^\[[^\]]* C \d+ \d+\] (.+)$", re.MULTILINE)
"""The line in a log of Ray's that says why a process of Ray's ended itself."""

GONE = (RayError, ConnectionError)
"""Errors of Ray when an actor, a node or the connection is lost."""

Bundle = Mapping[str, float]
"""The needs of one rank, by Ray's name of the resource."""


class NoRoomError(RankbenchError):
    """The cluster does not have the resources that a gang needs."""


class Cluster:
    """A connection to a cluster during a block."""

    def __init__(self, address: str | None) -> None:
        """``address`` of a cluster to join; None for a local one."""
        self._address = address
        self._head = ""
        self._lost: str | None = None
        self.waited_s = 0.0
        """Seconds of waiting for devices that others used."""
        self._grace_s = REJOIN_S
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._address is None:
            self._start()
        else:
            _join(self._address)
        named = self._address if _names_head(self._address) else None
        self._head = named or ray.get_runtime_context().gcs_address
        return self

    def _start(self) -> None:
        """Start a local cluster, which listens on the loopback only and requires a token."""
        folder = self._stack.enter_context(temporary(_short_folder()))
        try:
            guarded = {"RAY_AUTH_MODE": "token", "RANKBENCH_CLUSTER": folder}
            os.environ.update(within_reach() | QUIET | EQUAL | VISIBLE | guarded)
            os.environ["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex()
            Config.initialize("")  # Ray has read the mode at its import
            with _alone():
                ray.init(
                    address="local",
                    num_cpus=len(os.sched_getaffinity(0)),
                    include_dashboard=False,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                    job_config=_config(),
                    _temp_dir=folder,
                )
        except Exception as error:  # noqa: BLE001 - Ray may raise anything
            why = _fatal(folder) or cause(error)
            self.__exit__()
            raise RankbenchError(f"Ray cannot start a cluster on this machine: {why}") from None

    def __exit__(self, *error: object) -> None:
        ray.shutdown()
        self._stack.close()

    def lost(self) -> str | None:
        """Why the cluster cannot be reached any more; None where it can.

        It is then given up for good: every further look would take as long, and Ray ends a driver after a minute.
        """
        try:
            if self._lost is None:
                _reach(self._head)
        except OSError as error:
            self._lost = f"the cluster's head at {self._head} cannot be reached any more ({error.strerror or error})"
        return self._lost

    @contextlib.contextmanager
    def room(
        self, bundles: Sequence[Bundle], strategy: str, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[PlacementGroup]:
        """Reserve the bundles as a placement group, as long as the block lasts. Raises NoRoomError.

        What others use is waited for, until ``stopped`` says that nobody wants it any more.
        """
        if why := self.lost():
            raise NoRoomError(why)
        try:
            if self._address is not None:
                _join(self._address)  # again, where the connection broke
        except UsageError as error:
            raise NoRoomError(str(error)) from None
        group = placement_group([dict(bundle) for bundle in bundles], strategy)
        try:
            self._await(group, bundles, strategy, stopped)
            yield group
        finally:
            if not self.lost():  # Ray would wait for it
                with contextlib.suppress(*GONE):
                    remove_placement_group(group)

    def _await(
        self, group: PlacementGroup, bundles: Sequence[Bundle], strategy: str, stopped: Callable[[], bool]
    ) -> None:
        start_s = time.monotonic()
        told_s = start_s + SOON_S - AGAIN_S
        while not group.wait(1):
            have = resources()
            could = fits(bundles, strategy, have)
            limit_s = PLACEMENT_S if could else self._grace_s
            now_s = time.monotonic()
            if stopped():
                raise NoRoomError("the run was interrupted while it waited for the cluster")
            if now_s - start_s >= limit_s:
                self._grace_s = 0.0
                refused = f"did not give within {limit_s:g} s" if could else "does not have"
                raise NoRoomError(f"the cluster {refused} {_asked(bundles, strategy)}; it has {_words(have)}")
            if could and now_s - told_s >= AGAIN_S:
                told_s = now_s
                since = f", since {now_s - start_s:.0f} s" if now_s - start_s >= AGAIN_S else ""
                text = f"waits for {_asked(bundles, strategy)}, which others on the cluster use{since}"
                print(f"rankbench: {text}", file=sys.stderr, flush=True)  # noqa: T201
        self._grace_s = REJOIN_S
        self.waited_s += time.monotonic() - start_s


def fits(bundles: Sequence[Bundle], strategy: str, have: Sequence[Bundle]) -> bool:
    """Whether nodes with these resources could hold this many equal bundles if they were idle."""
    rooms = [min(int(node.get(kind, 0) // amount) for kind, amount in bundles[0].items()) for node in have]
    return sum(min(room, 1) if strategy == STRICT else room for room in rooms) >= len(bundles)


def resources() -> list[Bundle]:
    """The resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def nodes(address: str, parameter: str) -> list[dict[str, int]]:
    """What each node of a cluster has, by kind of device, where it has any; joins the cluster.

    Raises UsageError, of the ``parameter`` that has the address.
    """
    _join(address, parameter)
    capacities = [{"cpu": int(has.get("CPU", 0)), "cuda": int(has.get("GPU", 0))} for has in resources()]
    return [node for node in capacities if any(node.values())]


def _asked(bundles: Sequence[Bundle], strategy: str) -> str:
    return f"{len(bundles)} × {_amounts(bundles[0])} ({strategy.lower().replace('_', '-')})"


def _words(have: Sequence[Bundle]) -> str:
    return f"{len(have)} node{'s' * (len(have) != 1)}: {'; '.join(map(_amounts, have))}"


def _amounts(has: Bundle) -> str:
    return ", ".join(f"{has[kind]:g} {kind}" for kind in ("CPU", "GPU") if has.get(kind)) or "neither CPU nor GPU"


def _join(address: str, parameter: str = "--ray-address") -> None:
    if ray.is_initialized():
        return
    os.environ.update(QUIET)
    try:
        if _names_head(address):
            _reach(address)
        init = partial(ray.init, address=address, logging_level=logging.ERROR, log_to_driver=False)
        if address.startswith("ray://"):  # the server makes the job's configuration, and takes nothing but JSON
            init()
        else:
            init(job_config=_config())
    except (OSError, ValueError, RuntimeError, RayError) as error:
        rule = "be host:port of a running cluster of which this host is a node, or auto"
        remedy = "start it, correct the address, or use ray://host:10001 from elsewhere"
        raise UsageError(parameter, rule, f"{address} ({cause(error)})", remedy) from None


def _config() -> JobConfig:
    """Of our job: without it Ray puts the working directory first on the path of workers, before our modules."""
    return JobConfig(_client_job=True)


def _names_head(address: str | None) -> bool:
    """Whether it is the address of a cluster's head; Ray itself finds others."""
    return address not in (None, "auto")


def _reach(address: str) -> None:
    """Raises OSError if nothing listens at an address, and ValueError if it is none."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        raise ValueError("it has no port")
    socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()


def cause(error: BaseException) -> str:
    """The error in one line: an error of Ray's is a remote traceback in colours that ends with it."""
    plain = STYLE.sub("", words_of(error))
    lines = [line for line in plain.splitlines() if line.strip()]
    return harmless(lines[-1].strip()) if lines else type(error).__name__


def _fatal(folder: str) -> str | None:
    """The error that ended one of a cluster's processes, from the logs in a folder."""
    for log in sorted(Path(folder).glob("session_*/logs/*.err")):
        if ended := FATAL.search(log.read_text(errors="replace")):
            return harmless(ended[1])
    return None


def _short_folder() -> str | None:
    """A short path for Ray's folder, since sockets' paths are limited; None for the folder for temporary files."""
    return "/tmp" if len(os.fsencode(gettempdir())) > LONGEST_TEMPORARY else None  # noqa: S108


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Have Ray start nodes as where it has no clusters of several hosts: all of it then listens on the loopback.

    And workers with this interpreter, also below ``uv run``, which Ray would else call once more for each.
    """
    names = "ENABLE_RAY_CLUSTER", "RAY_ENABLE_UV_RUN_RUNTIME_ENV"  # variables, which Ray has read at its import
    before = {name: getattr(ray_constants, name) for name in names}
    try:
        for name in names:
            setattr(ray_constants, name, False)
        yield
    finally:
        for name, value in before.items():
            setattr(ray_constants, name, value)
