"""Sides: the environments that take turns in a run."""

from __future__ import annotations

from typing import cast, get_args

from harness.errors import UsageError, nearest
from harness.plan import LauncherName, Side


def of_launchers(text: str | None, devices: int, *, inside: bool) -> tuple[Side, ...]:
    """A side for each launcher that ``--launcher`` names; ``inside`` of somebody's torchrun there is that one only."""
    known = get_args(LauncherName)
    names = cast("tuple[LauncherName, ...]", tuple(dict.fromkeys((text or "torchrun").split(","))))
    for name in names:
        if name not in known:
            raise UsageError("--launcher", f"be one of {', '.join(known)}", repr(name), nearest(name, known))
    if inside and names != ("torchrun",):
        raise UsageError("--launcher", "be torchrun inside torchrun", text, "leave it out")
    if "inline" in names and len(names) > 1:
        raise UsageError("--launcher", "be inline alone, or others", text, "e.g. --launcher torchrun,ray")
    if "inline" in names and devices > 1:
        raise UsageError("--launcher", "be torchrun for more than one device", "inline", "or use --devices cpu:1")
    return tuple(Side(name=name, launcher=name) for name in names)
