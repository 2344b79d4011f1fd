"""Where these packages are, for other processes that have to find them."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("harness", "scenarios", "launch", "reports")
"""The top-level packages of rankbench, by name."""
HOME = Path(__file__).resolve().parents[2]
"""The folder that holds the packages: where they are installed from a wheel, an environment's other packages too."""
IMPORTED = Path(__file__).absolute().parents[2]
"""The folder from which this process has them: ``HOME``, or one of links to them."""


def linked(folder: str | Path) -> Path:
    """Make a folder below ``folder`` that holds links to the packages and nothing else; returns its path.

    An interpreter of another environment gets that one: all other packages that it imports are then its own.
    """
    packages = Path(folder) / "packages"
    packages.mkdir()
    for name in PACKAGES:
        (packages / name).symlink_to(HOME / name, target_is_directory=True)
    return packages


def within_reach(variables: Mapping[str, str] = os.environ, packages: Path = IMPORTED) -> dict[str, str]:
    """``variables`` with a ``PYTHONPATH`` on which an interpreter finds ``packages`` before all others.

    Start it with ``-P``: else files of the current folder come first. Empty entries, which mean that folder, are left
    out.
    """
    path = [str(packages), *entries(variables)]
    return {**variables, "PYTHONPATH": os.pathsep.join(path)}


def inherited(python: str) -> dict[str, str]:
    """The environment variables of this process that ``python`` gets: another interpreter has a home of its own."""
    other = python != sys.executable
    return {name: value for name, value in os.environ.items() if not (other and name == "PYTHONHOME")}


def entries(variables: Mapping[str, str], name: str = "PYTHONPATH") -> list[str]:
    """The folders that a variable names, such as ``PYTHONPATH``."""
    return [entry for entry in variables.get(name, "").split(os.pathsep) if entry]


def late(name: str) -> Callable[..., Any]:
    """The function at ``module:function``, imported now."""
    module, _, function = name.partition(":")
    target: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return target
