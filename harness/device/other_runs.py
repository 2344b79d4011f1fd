"""Neighbours: other runs of rankbench on this host's cores, of whichever user."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from harness.common.startup import is_rank

COMMANDS = ("run", "duel")
NAMED = 5
"""Processes that a warning names."""


def other_runs() -> list[int]:
    """The processes of other runs that may use a core which this process may use, too."""
    cores = os.sched_getaffinity(0)
    family = set(_family())
    runs = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in family and measures(process.cmdline()) and cores & os.sched_getaffinity(process.pid):
                runs.append(process.pid)
    return runs


def measures(words: Sequence[str]) -> bool:
    """Whether a command line is one that measures."""
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        module = before == "-m" and word == "harness"
        if (module or Path(word).name == "rankbench") and after in COMMANDS:
            return True
    return False


def warning() -> str | None:
    """A warning about other runs on this host; None if there is none."""
    runs = other_runs()
    if not runs:
        return None
    names = ", ".join(map(str, runs[:NAMED])) + (f" and {len(runs) - NAMED} more" if len(runs) > NAMED else "")
    who = "another rankbench run uses" if len(runs) == 1 else "other rankbench runs use"
    which = f"process{'es' * (len(runs) > 1)} {names}"
    return f"{who} these cores ({which}): they disturb each other; wait, or split the cores"


def _family() -> Iterator[int]:
    """This process, its ancestors, and the other ranks of its launch."""
    this_process = psutil.Process()
    yield this_process.pid
    with suppress(psutil.Error):
        yield from (process.pid for process in this_process.parents())
        if is_rank():
            yield from (process.pid for process in this_process.parents()[0].children())
