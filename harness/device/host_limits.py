"""Limits of a host on which a run would founder: open files, shared memory, temporary files, locks."""

import errno
import fcntl
import os
import resource
import tempfile
from pathlib import Path

from harness.common.errors import UsageError

DESCRIPTORS = 60, 10
"""File descriptors that a rank needs: for itself, and for each rank of the launch."""
SOCKETS = 56, 20
"""Characters of a folder for temporary files below which there is room for multiprocessing's sockets, and for Ray's."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the kernel has it
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


def ranks() -> int:
    """For how many ranks a process may open files enough, once its soft limit is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    base, per_rank = DESCRIPTORS
    return 2**31 if hard == resource.RLIM_INFINITY else max(0, (hard - base) // per_rank)


def allow_open_files(count: int) -> None:
    """Raise this process's limit as far as it may, for those that it starts too.

    Raises UsageError where that is too low for ``count`` ranks: each holds several for every other one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    base, per_rank = DESCRIPTORS
    needed = base + per_rank * count
    if hard != resource.RLIM_INFINITY and hard < needed:
        rule, remedy = f"be at least {needed} for {count} ranks", "raise the hard limit, or name fewer devices"
        raise UsageError("the limit of open files (ulimit -Hn)", rule, hard, remedy)


def open_files() -> str:
    """The limit of open files in words."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return f"{soft} a process, and as many as it asks for"
    return f"{soft} a process, {hard} if it asks for them: enough for {ranks()} ranks"


def shared_memory(folder: Path = SHARED_MEMORY) -> str | None:
    """Why there is none, which Ray and NCCL need; None where there is."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror}), which Ray and NCCL need: mount a tmpfs there"


def temporary_files() -> str | None:
    """Return an error text if the folder for temporary files cannot be used, else None."""
    wanted = os.environ.get("TMPDIR")
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return "no folder for temporary files can be written: set TMPDIR to one"
    if wanted and not (Path(wanted).is_dir() and os.access(wanted, os.W_OK | os.X_OK)):
        return f"TMPDIR ({wanted}) is no folder that can be written; {folder} is used"
    length, (most, under_ray) = len(os.fsencode(folder)), SOCKETS
    if length <= under_ray:
        return None
    whose = "sockets" if length > most else "the sockets of Ray"
    return f"{folder} has {length} characters, too many for {whose}, which are below /tmp instead"


def locks(folder: Path) -> str | None:
    """Return an error text if a folder for run directories cannot be used, else None."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            words = f"the file system of {folder.resolve()} takes no locks ({error.strerror})"
            return f"{words}: start no two runs on one directory there"
        return f"{folder.resolve()} cannot be written ({error.strerror}): choose another folder by --out"
    return None
