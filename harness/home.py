"""Where these packages are, for other processes that have to find them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
"""The folder that holds the packages."""


def within_reach(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """``variables`` with a ``PYTHONPATH`` on which an interpreter finds these packages before all others."""
    path = filter(None, [str(HOME), variables.get("PYTHONPATH")])
    return {**variables, "PYTHONPATH": os.pathsep.join(path)}
