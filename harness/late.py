"""What commands share: their exit codes, and how they reach what ``harness`` does not depend on."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

OK, NOT_OK, USAGE, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130


def late(name: str) -> Callable[..., Any]:
    """The function at ``module:function``, imported now: ``harness`` depends on nothing that depends on it."""
    module, _, function = name.partition(":")
    made: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return made
