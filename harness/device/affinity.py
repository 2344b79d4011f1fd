"""Affinity: the cores that this process comes with. Imported before PyTorch, whose OpenMP could bind it to one of them.

OpenMP binds the thread that imports it where one of its variables says so, and all that this thread starts inherits
that. Ranks are pinned to cores of their own anyway, so these variables are dropped, here and for what is started here.
"""

import os

from harness.common.startup import is_rank

BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
DROPPED = tuple(name for name in BINDING if os.environ.pop(name, None) is not None)
"""The variables that were set, and dropped."""


def _narrowed() -> bool:
    try:
        return os.getppid() > 0 and os.sched_getaffinity(0) < os.sched_getaffinity(os.getppid())
    except OSError:  # the parent is gone
        return False


CORES = len(os.sched_getaffinity(0))
"""Number of logical CPUs that this process started with; a rank is later pinned to fewer."""
NARROWED = _narrowed()
"""Whether this process came with fewer cores than its parent has."""


def bound() -> bool:
    """Whether an external launcher, or a wrapper, has bound this rank to cores."""
    return NARROWED and is_rank()


def dropped() -> str | None:
    """A warning about the variables that were dropped, or None."""
    if not DROPPED:
        return None
    names = f"{', '.join(DROPPED)} {'is' if len(DROPPED) == 1 else 'are'}"
    return f"{names} ignored: each rank is pinned to cores of its own, where its threads run"
