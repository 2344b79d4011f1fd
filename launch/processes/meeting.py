"""Where the ranks of somebody's torchrun meet, over one host or several: who is missing, and who refuses.

Before ranks connect to each other they meet at a store. Each tells its host and what it was asked for; rank 0 waits
until all are there and alike, and gives all of them its plan. A rank that refuses its command line puts that there too:
then all end with the same words, and none waits for one that has gone.
"""

import datetime as dt
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self

import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from harness.common.errors import NOT_OK, FullError, JournalError, RankbenchError, UsageError
from harness.common.startup import Ranks
from harness.journal.plan import Plan, Record

LIMIT_S = 300.0
"""How long ranks wait for each other: a node may start late, and read PyTorch from a shared disk."""
SOON_S, AGAIN_S = 2.0, 30.0
"""When to report missing ranks: for the first time, and how often from then on."""
FAREWELL_S = 10.0
"""How long a refusal waits for the ranks that have not read it."""
LOOK_S = 0.1
CONNECT_S = 5.0, 55.0
"""When to report that connections are waited for, and how much later to give them up."""
ROLL_CALL_S = 5.0
"""How long ranks may take to report that they live, after one was lost."""
REACH_S = 2.0
"""Time limit of one attempt to reach rank 0."""
VERDICT = "verdict"
"""The key of rank 0's plan, or of the first refusal."""


class Refusal(Record):
    """Why ranks end before they have begun; all ranks raise the same error."""

    kind: str
    """The name of the error's class."""
    words: tuple[str, ...]

    @classmethod
    def of(cls, error: RankbenchError, by: str = "") -> Self:
        """The parts of an error, for the other ranks; ``by`` names the rank that refuses."""
        if isinstance(error, UsageError):
            parameter, rule, value, remedy = error.parts
            fault = (f"{rule}{by}",) if value is None else (rule, f"{value}{by}")
            return cls(kind="UsageError", words=(parameter, *fault, remedy))
        return cls(kind=type(error).__name__, words=(f"{error}{by}",))

    @property
    def error(self) -> RankbenchError:
        """The error again, of a class that callers tell from others."""
        if self.kind == "UsageError":
            (parameter, rule, *value), remedy = self.words[:-1], self.words[-1]
            return UsageError(parameter, rule, value[0] if value else None, remedy)
        kinds = {kind.__name__: kind for kind in (JournalError, FullError)}
        return kinds.get(self.kind, RankbenchError)(*self.words)


class Asked(Record):
    """The request that a rank was started with, and its host."""

    host: str
    identity: str
    """Equal for ranks with the same request."""
    command: str


class Verdict(Record):
    """The verdict of rank 0, or of the first rank that refuses, for all ranks."""

    plan: Plan | None = None
    hosts: tuple[str, ...] = ()
    """The host of each rank."""
    refusal: Refusal | None = None


class Meeting:
    """The meeting as one rank sees it."""

    def __init__(self, ranks: Ranks, limit_s: float = LIMIT_S) -> None:
        """``limit_s`` is how long to wait for the other ranks."""
        self._ranks = ranks
        self._limit_s = limit_s
        self._place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        self._me = f"rank {ranks.rank} ({socket.gethostname()})"
        self._begun_s = time.monotonic()
        self._told_s = self._begun_s + SOON_S - AGAIN_S
        self._base: Any = None
        self.hosts: tuple[str, ...] = ()
        """The host of each rank, once all have come."""

    @property
    def store(self) -> dist.Store:  # type: ignore[name-defined]
        """The store at which process groups find each other."""
        return PrefixStore("groups", self._base)

    def join(self, identity: str, command: str, plan: Plan | None) -> Plan:
        """Wait for all ranks; returns rank 0's plan, which ranks that were asked for the same may lack.

        Raises the error of a rank that refuses, UsageError where ranks were asked for different things, and
        RankbenchError where one does not come, or rank 0 is lost meanwhile.
        """
        self._connect(self._limit_s)
        try:
            return self._agree(identity, command, plan)
        except dist.DistError as error:
            words = f"{self._me} has lost rank 0 at {self._place}, which had not started the run yet"
            raise RankbenchError(f"{words}: see what rank 0 said") from error

    def _agree(self, identity: str, command: str, plan: Plan | None) -> Plan:
        rank, size = self._ranks.rank, self._ranks.size
        asked = Asked(host=socket.gethostname(), identity=identity, command=command)
        self._base.set(f"rank/{rank}", asked.model_dump_json())
        here = self._base.add("here", 1)
        while not self._base.check([VERDICT]):
            if rank == 0 and here == size:
                self._settle(plan)
                continue
            self._wait(partial(self._missing, here))
            here = self._base.add("here", 0)
        verdict = Verdict.model_validate_json(self._base.get(VERDICT))
        self._base.add("seen", 1)
        if verdict.refusal:
            self._linger()
            raise verdict.refusal.error
        assert verdict.plan is not None
        self.hosts = verdict.hosts
        return verdict.plan

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Ranks connect to each other in the block: say so where that takes long, and end where it never comes to be.

        gloo keeps to no limit there. Nothing has begun, so that nothing is lost where the process ends.
        """
        over, words = threading.Event(), "all TCP ports have to be open between the hosts (docs/clusters.md)"

        def watch() -> None:
            if not over.wait(CONNECT_S[0]):
                self._say(f"{self._me} waits for its connections with the others: {words}")
            if not over.wait(CONNECT_S[1]):
                self._say(f"rankbench: {self._me} cannot connect to the other ranks: {words}")
                os._exit(NOT_OK)

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def roll_call(self) -> list[int]:
        """After ranks were lost: tell that this one is there. Returns, on rank 0, who does not tell so.

        Who notices a loss first hangs up on its peers, so that whose connection broke does not say who is gone.
        """
        until_s, missing = time.monotonic() + ROLL_CALL_S, set(range(self._ranks.size))
        with suppress(RuntimeError):
            self._base.set_timeout(dt.timedelta(seconds=ROLL_CALL_S))
            self._base.set(f"alive/{self._ranks.rank}", "")
            while self._ranks.rank == 0 and time.monotonic() < until_s and missing:
                missing = {rank for rank in missing if not self._base.check([f"alive/{rank}"])}
                time.sleep(LOOK_S)
        return sorted(missing) if self._ranks.rank == 0 else []

    def refuse(self, error: RankbenchError) -> None:
        """Tell the other ranks why this one does not take part, as far as they can be reached."""
        with suppress(RankbenchError, RuntimeError):
            self._connect(FAREWELL_S)
            self._post(Verdict(refusal=Refusal.of(error, f" (said by {self._me})")))
            self._base.add("seen", 1)
            self._linger()

    def _settle(self, plan: Plan | None) -> None:
        """On rank 0: all ranks have come. Send them the plan if their requests are equal."""
        every = [Asked.model_validate_json(self._base.get(f"rank/{rank}")) for rank in range(self._ranks.size)]
        other = next((host for host in every if host.identity != every[0].identity), None)
        if other is None:
            self._post(Verdict(plan=plan, hosts=tuple(host.host for host in every)))
            return
        commands = f"`{every[0].command}` on {every[0].host}, and `{other.command}` on {other.host}"
        remedy = "give every host the same command line"
        error = UsageError("torchrun", f"has started its ranks with different commands: {commands}", None, remedy)
        self._post(Verdict(refusal=Refusal.of(error)))

    def _post(self, verdict: Verdict) -> None:
        """Post a verdict, unless there is one: the first stands."""
        self._base.compare_set(VERDICT, "", verdict.model_dump_json(by_alias=True))

    def _linger(self) -> None:
        """Wait until all ranks have read the store, which ends with its rank."""
        until_s = time.monotonic() + FAREWELL_S
        with suppress(RuntimeError):
            while self._ranks.rank == 0 and self._base.add("seen", 0) < self._ranks.size and time.monotonic() < until_s:
                time.sleep(LOOK_S)

    def _connect(self, limit_s: float) -> None:
        """Reach the store, which rank 0 holds unless torchrun does. Raises RankbenchError where it does not answer."""
        if self._base is not None:
            return
        serves = self._ranks.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        host, _, port = self._place.rpartition(":")
        until_s = time.monotonic() + limit_s
        while True:
            try:
                if not serves:  # PyTorch's own attempts print a page each
                    socket.create_connection((host, int(port)), REACH_S).close()
                patience = dt.timedelta(seconds=self._limit_s)
                store = TCPStore(host, int(port), None, serves, patience, wait_for_workers=False, multi_tenant=True)
            except (OSError, RuntimeError) as error:
                if serves or time.monotonic() > until_s:
                    cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
                    raise RankbenchError(f"{self._me} cannot reach rank 0 at {self._place}: {cause}") from error
                self._wait(lambda: f"rank 0 at {self._place}, which does not answer")
            else:
                self._base = PrefixStore("rankbench", store)
                return

    def _missing(self, here: int) -> str:
        """The ranks that have not come yet."""
        ranks = range(self._ranks.size)
        missing = [rank for rank in ranks if not self._base.check([f"rank/{rank}"])] if self._ranks.rank == 0 else []
        which = f": {_numbers(missing)}" if missing else ""
        return f"{self._ranks.size - here} of {self._ranks.size} ranks at {self._place}{which}"

    def _wait(self, what: Callable[[], str]) -> None:
        """Wait a moment for what ``what()`` names; say so now and then. Raises RankbenchError after the limit."""
        now_s = time.monotonic()
        if now_s - self._begun_s > self._limit_s:
            words = f"{self._me} has waited {self._limit_s:g} s for {what()}; see docs/clusters.md for the ports"
            raise RankbenchError(f"{words} that have to be open")
        if now_s - self._told_s > AGAIN_S:
            self._told_s = now_s
            since = f", since {now_s - self._begun_s:.0f} s" if now_s - self._begun_s > AGAIN_S else ""
            self._say(f"{self._me} waits for {what()}{since}")
        time.sleep(LOOK_S)

    def _say(self, words: str) -> None:
        """Write to the output of this host's torchrun, once per host."""
        if self._ranks.local_rank == 0:
            print(words, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def meeting(ranks: Ranks, limit_s: float = LIMIT_S) -> Iterator[Meeting]:
    """The meeting of this rank with the others. An error in the block is raised by all of them."""
    met = Meeting(ranks, limit_s)
    try:
        yield met
    except RankbenchError as error:
        if not met.hosts:
            met.refuse(error)
        raise


def _numbers(ranks: Sequence[int]) -> str:
    few = ", ".join(map(str, ranks[:8]))
    return f"rank{'s' * (len(ranks) > 1)} {few}{' and more' * (len(ranks) > 8)}"
