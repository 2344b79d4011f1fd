"""Control groups: how many cores they grant this process, and how long they have held it back (versions 1 and 2).

A quota may be that of the process's own group or of any of its parents, and is invisible to the affinity mask.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath


def groups(proc: Path = Path("/proc/self")) -> tuple[Path, ...]:
    """The folders of a process's CPU control group and of its parents, as far as they are mounted here."""
    try:
        paths = _paths((proc / "cgroup").read_text(errors="surrogateescape"))
        mounts = (proc / "mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ()
    return tuple(folder for kind, path in paths.items() for folder in _folders(kind, path, mounts))


def _paths(text: str) -> dict[str, str]:
    """The process's path in each hierarchy that may hold a CPU quota, by the hierarchy's type of file system."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            paths["cgroup"] = path
    return paths


def _folders(kind: str, path: str, mounts: str) -> list[Path]:
    """The group at ``path`` and its parents below the first mount of its hierarchy.

    A container that sees the host's path but only its own group mounted has that group at the mount point.
    """
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split(" ")[3:5]
        if right.split(" ")[0] != kind or (kind == "cgroup" and "cpu" not in right.split(" ")[2].split(",")):
            continue
        folder = PurePosixPath(path)
        within = folder.relative_to(root) if folder.is_relative_to(root) else PurePosixPath()
        mounted = Path(_unescaped(point))
        return [mounted / part for part in (within, *within.parents) if ".." not in part.parts]
    return []


def _unescaped(text: str) -> str:
    """A path of mountinfo, where blanks and the like are octal numbers behind a backslash."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def quota(folders: Sequence[Path]) -> float | None:
    """The fewest cores that any of the groups grants; None where none has a limit."""
    return min((cores for folder in folders if (cores := _granted(folder)) is not None), default=None)


def _granted(folder: Path) -> float | None:
    match _numbers(folder, "cpu.max") or _numbers(folder, "cpu.cfs_quota_us") + _numbers(folder, "cpu.cfs_period_us"):
        case limit, period if limit > 0 and period > 0:
            return limit / period
    return None


def _numbers(folder: Path, name: str) -> tuple[int, ...]:
    try:
        return tuple(-1 if word == "max" else int(word) for word in (folder / name).read_text().split())
    except (OSError, ValueError):
        return ()


def throttled_s(folders: Sequence[Path]) -> float:
    """Seconds for which the groups have held their processes back so far, summed over cores."""
    stats = [_stat(folder) for folder in folders]
    return sum(stat.get("throttled_usec", 0) * 1e-6 + stat.get("throttled_time", 0) * 1e-9 for stat in stats)


def throttled_periods(folders: Sequence[Path]) -> int:
    """In how many periods the quota groups have throttled their processes so far."""
    return sum(_stat(folder).get("nr_throttled", 0) for folder in folders)


def _stat(folder: Path) -> dict[str, int]:
    try:
        lines = (folder / "cpu.stat").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


@cache
def limited() -> tuple[Path, ...]:
    """The groups of this process that had a quota at the first call."""
    return tuple(folder for folder in groups() if quota([folder]) is not None)


def shortage(cores: int) -> str | None:
    """A warning if this process's groups grant fewer than ``cores`` cores, else None."""
    granted = quota(groups())
    if granted is None or granted >= cores:
        return None
    return (
        f"a control group grants {granted:.3g} of the {cores} cores that are used: processes will be held back; "
        "raise its CPU limit, or use fewer devices"
    )
