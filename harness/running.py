"""A run from the command line: measure, then report, also after an interruption; and what it exits with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from rich.console import Console

from harness.errors import FullError, JournalError, RankbenchError, UsageError
from harness.exits import INTERRUPTED, NOT_OK, OK, UNDECIDED
from harness.late import late
from harness.output import Output, Terminal, complain
from harness.plan import Plan
from harness.rundir import RunDir
from harness.startup import ranks_around
from harness.wish import Wish


def only_resume(wish: Wish, out: Path | None) -> None:
    """Raise UsageError for anything beside ``--resume``: a resumed run follows its own plan."""
    if out is not None or wish != Wish(command=wish.command, ray_address=wish.ray_address):
        raise UsageError(
            "--resume", "stand alone: the run's plan says what to measure", "beside other options", "drop them"
        )


Measurer = Callable[[RunDir, Plan, Console], bool]
"""Measures what is missing of a run; tells whether all cells are ok."""


def measure(directory: RunDir, plan: Plan, how: Measurer, *, strict: bool = False) -> int:
    """Measure by ``how``, then report on what there is. Returns the exit code: a duel's is its outcome.

    ``strict``: a duel that leaves something undecided is not ok.
    """
    console = Terminal(file=cast("IO[str]", Output()))
    ranks = ranks_around()
    interrupted, well = _measured(directory, plan, how, console)
    reported = None
    if directory.exists() and (ranks is None or ranks.rank == 0):
        try:
            (reported,) = late("reports.cli:report")([directory.root])
            reported.show(console)
        except OSError as error:
            complain(
                f"no report: {directory.root} cannot be written ({error.strerror}); rankbench report makes it later"
            )
            return NOT_OK if interrupted is None else INTERRUPTED
        if interrupted is not None:
            by = f" by {interrupted}" if interrupted else ""
            again = f"interrupted{by}; finish it with: rankbench run --resume {directory.root}"
            console.print(again, highlight=False, soft_wrap=True)
        elif not well and ranks is None:
            if (logs := directory.root / "logs").is_dir() and any(logs.iterdir()):
                console.print(f"what the ranks printed is in {logs}", highlight=False, soft_wrap=True)
            again = f"measure what is not ok again with: rankbench run --resume {directory.root} --retry-failed"
            console.print(again, highlight=False, soft_wrap=True)
    if interrupted is not None or not well:
        return NOT_OK if interrupted is None else INTERRUPTED
    if not plan.is_duel or reported is None:
        return OK
    slower, undecided = reported.outcome
    return NOT_OK if slower else UNDECIDED if undecided and strict else OK


def _measured(directory: RunDir, plan: Plan, how: Measurer, console: Console) -> tuple[str | None, bool]:
    """Measure; the signal that interrupted it, and whether all cells are ok. What ends it is said, and no loss.

    The signal is None where nothing interrupted it, and empty where no one knows which.
    """
    try:
        return None, how(directory, plan, console)
    except KeyboardInterrupt as error:
        return str(error), False
    except FullError as error:
        complain(f"{error}, and finish the run with: rankbench run --resume {directory.root}")
    except (UsageError, JournalError):
        raise
    except RankbenchError as error:
        complain(error)
    return None, False
