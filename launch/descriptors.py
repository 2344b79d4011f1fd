"""File descriptors: each rank holds several for every other rank, more than the usual limit of a process allows."""

from __future__ import annotations

import resource

from harness.errors import UsageError

NEEDED = 60, 10
"""What a rank of a gang holds at most: by itself, and for each rank."""


def allow(ranks: int) -> None:
    """Raise this process's limit as far as it may, for those that it starts too.

    Raises UsageError where that is too low for so many ranks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    base, each = NEEDED
    needed = base + each * ranks
    if hard != resource.RLIM_INFINITY and hard < needed:
        rule, remedy = f"be at least {needed} for {ranks} ranks", "raise the hard limit, or name fewer devices"
        raise UsageError("the limit of open files (ulimit -Hn)", rule, hard, remedy)
