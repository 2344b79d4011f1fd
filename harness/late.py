"""Names that become functions late: ``harness`` depends on nothing that depends on it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def late(name: str) -> Callable[..., Any]:
    """The function at ``module:function``, imported now."""
    module, _, function = name.partition(":")
    made: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return made
