"""Stacks and last output of ranks on this host that cannot send them: both are read from the ranks' logs."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from harness.journal.records import RankOutcome, last

TAIL = 16_000
"""Bytes read from the end of a log."""
ANSWER_S = 0.5
"""faulthandler writes a stack within milliseconds."""


def ask(pids: Iterable[int]) -> None:
    """Have processes write their stacks to their logs: one that is stopped, and one that does not let go of the GIL."""
    asked = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
            os.kill(pid, signal.SIGCONT)  # one that was stopped goes on with what is pending
            asked = True
    if asked:
        time.sleep(ANSWER_S)


def logs_of(rank: int, logs: Path) -> tuple[Path, Path]:
    """The files for a rank's standard output and standard error in the folder ``logs``."""
    return logs / f"rank-{rank}.stdout", logs / f"rank-{rank}.stderr"


def with_stacks(outcomes: Iterable[RankOutcome], logs: Path) -> tuple[RankOutcome, ...]:
    """Rank outcomes with the end of each rank's standard error, if there is no message yet."""
    return tuple(
        outcome if outcome.words else outcome.model_copy(update={"words": tail(logs_of(outcome.rank, logs)[1])})
        for outcome in outcomes
    )


def tail(path: Path) -> str | None:
    """The end of a log; None if the log is empty."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return last(file.read().decode(errors="replace"))
    except OSError:
        return None
