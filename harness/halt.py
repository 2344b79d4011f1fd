"""A wish to end a run early, but in good order: after the sample at hand, with all that is complete kept."""

from __future__ import annotations

from dataclasses import dataclass


class HaltedError(Exception):
    """The launch ends before a comparison has had its fewest rounds; raised on every rank alike."""


@dataclass
class Halt:
    """One process's knowledge of that wish. Any thread and any signal handler may set it."""

    asked: bool = False
