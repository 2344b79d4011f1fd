"""Sides: the environments that take turns in a run: launchers that are compared, or those of a duel."""

import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from harness.common.errors import UsageError
from harness.common.text import nearest
from harness.device.affinity import BINDING
from harness.device.fingerprint import LOGIN, SECRET
from harness.journal.plan import LauncherName, Side

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that would change nothing."""


def of_launchers(text: str | None, devices: int, *, inside: bool) -> tuple[Side, ...]:
    """One side per launcher of ``--launcher``; within an external torchrun, that launcher alone."""
    known = get_args(LauncherName)
    names = cast("tuple[LauncherName, ...]", tuple(dict.fromkeys((text or "torchrun").split(","))))
    for name in names:
        if name not in known:
            raise UsageError("--launcher", f"be one of {', '.join(known)}", repr(name), nearest(name, known))
    if inside and names != ("torchrun",):
        raise UsageError("--launcher", "be torchrun inside torchrun", text, "leave it out")
    if "inline" in names and len(names) > 1:
        fault = f"cannot combine inline with other launchers (got {text})"
        raise UsageError("--launcher", fault, None, "use --launcher inline, or e.g. --launcher torchrun,ray")
    if "inline" in names and devices > 1:
        fault = f"runs one rank, but {devices} devices are selected"
        raise UsageError("--launcher inline", fault, None, "use --launcher torchrun, or --devices cpu:1")
    return tuple(Side(name=name, launcher=name) for name in names)


def of_duel(a: str, b: str) -> tuple[Side, ...]:
    """The two sides of a duel, and the first once more. Raises UsageError."""
    first, second = (_side(name, text) for name, text in (("a", a), ("b", b)))
    if (first.python, first.variables) == (second.python, second.variables):
        raise UsageError("--b", "differ from --a", repr(b), "e.g. --b NCCL_ALGO=Tree, or another interpreter")
    return first, second, first.model_copy(update={"name": "a again", "control": True})


def turns(cases: int) -> int:
    """How many launches of each side it takes to find one of so many cases slower for certain.

    By a sign test with Holm's correction: 2^-n is the smallest p of n turns, and the level is one in 40.
    """
    return math.ceil(math.log2(40 * cases))


def _side(name: str, text: str) -> Side:
    """A side of a duel: ``NAME=value`` and an interpreter or its virtual environment, as words; or nothing."""
    option, python, variables = f"--{name}", None, {}
    for word in _words(option, text):
        variable, equals, value = word.partition("=")
        if not equals or os.sep in variable:
            python = _interpreter(option, word)
        elif not re.fullmatch(r"[A-Za-z_]\w*", variable):
            raise UsageError(option, "set variables as NAME=value", repr(word), "e.g. NCCL_ALGO=Ring")
        elif variable in THREADS:
            fault = f"cannot set {variable}: --threads sets the threads of every side"
            raise UsageError(option, fault, None, "leave it out")
        elif variable in BINDING:
            fault = f"cannot set {variable}: each rank is pinned to cores of its own"
            raise UsageError(option, fault, None, "leave it out")
        elif SECRET.search(variable) or LOGIN.search(value):
            fault = f"cannot set {variable}, which looks secret: plan.json would keep it"
            raise UsageError(option, fault, None, "export it instead")
        else:
            variables[variable] = value
    return Side(name=name, python=python, variables=variables)


def _words(option: str, text: str) -> Sequence[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(option, "be quoted as in a shell", f"{text!r} ({error})", "close the quotes") from None


def _interpreter(option: str, word: str) -> str | None:
    """The path of an interpreter; None for the one that is running."""
    path = Path(word).expanduser()
    executable = shutil.which(path / "bin" / "python" if path.is_dir() else path)
    if executable is None:
        remedy = "give a path such as /opt/new/bin/python, or NAME=value"
        raise UsageError(option, "name an interpreter or a virtual environment", repr(word), remedy)
    interpreter = Path(executable).absolute()  # not resolved: a virtual environment's interpreter is a link
    return None if interpreter == Path(sys.executable).absolute() else str(interpreter)
