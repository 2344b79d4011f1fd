"""Nested records as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def flat(told: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as lines of a dotted name and a value."""
    for name, value in told.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for place, item in enumerate(value):
                yield from flat(item if isinstance(item, dict) else {"": item}, f"{prefix}{name}.{place}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", "not known" if value is None else text
