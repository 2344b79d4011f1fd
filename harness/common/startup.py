"""How this process was started: as a rank of somebody's torchrun or by itself, and with assertions or without."""

import os
import sys
from dataclasses import dataclass

from harness.common.errors import UsageError

NUMBERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT")
VARIABLES = (*NUMBERS, "MASTER_ADDR")
"""The variables that torchrun sets for each rank. Containers and schedulers set some of them too."""
RESTARTS = "TORCHELASTIC_RESTART_COUNT"


@dataclass(frozen=True)
class Ranks:
    """This process's place among the ranks of an external torchrun."""

    rank: int
    local_rank: int
    size: int
    """Number of ranks."""
    local_size: int
    """Number of ranks on this host."""


def ranks_around() -> Ranks | None:
    """The ranks that somebody's torchrun has started; None outside of one. Raises UsageError for what is no torchrun's.

    This alone decides whether a run is torchrun's or its own.
    """
    if any(name not in os.environ for name in VARIABLES):
        return None
    for name in NUMBERS:
        if not (os.environ[name].isascii() and os.environ[name].isdecimal()):
            raise _unlike(name, "be a whole number", repr(os.environ[name]))
    ranks = Ranks(*(int(os.environ[name]) for name in NUMBERS[:-1]))
    if not ranks.rank < ranks.size:
        raise _unlike("RANK", f"be below WORLD_SIZE, {ranks.size}", ranks.rank)
    if not ranks.local_rank < ranks.local_size <= ranks.size:
        rule = f"be above LOCAL_RANK, {ranks.local_rank}, and at most WORLD_SIZE, {ranks.size}"
        raise _unlike("LOCAL_WORLD_SIZE", rule, ranks.local_size)
    return ranks


def program(ranks: int, per_host: int | None) -> str:
    """What the command lines of a run begin with: ``rankbench``, or somebody's torchrun with so many ranks.

    The line for torchrun over several hosts is for each of them; ``…`` stands for the options of its rendezvous.
    """
    if per_host is None:
        return "rankbench"
    hosts = -(-ranks // per_host)
    over, rendezvous = (f"--nnodes={hosts} ", " …") if hosts > 1 else ("", "")
    return f"torchrun {over}--nproc-per-node={per_host}{rendezvous} -m harness"


def is_rank() -> bool:
    """Whether this process is a rank of a torchrun's, be the variables that say so right or not quite."""
    try:
        return ranks_around() is not None
    except UsageError:
        return True


def _unlike(name: str, rule: str, value: object) -> UsageError:
    return UsageError(name, f"{rule}, as torchrun sets it", value, f"outside of torchrun unset {', '.join(VARIABLES)}")


def refuse_restart() -> None:
    """Raise UsageError for ranks that torchrun has started again: the run that failed has reported already."""
    if (count := os.environ.get(RESTARTS, "0")) not in ("", "0"):
        remedy = "leave --max-restarts out, and start torchrun again with the same --out for one more launch"
        raise UsageError("torchrun", f"has started its ranks again (restart {count})", None, remedy)


def refuse_without_asserts() -> None:
    """Raise UsageError where Python leaves assertions out, by which cases are checked."""
    if not __debug__:
        fault = f"{sys.executable} runs without the assertions by which cases are checked"
        raise UsageError("Python", fault, None, "leave -O and PYTHONOPTIMIZE out")
