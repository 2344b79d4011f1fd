"""What can go wrong before or beside a measurement.

RankbenchError
├── UsageError      the user asked for something that cannot be done; exit code 2
├── JournalError    a file of a run is not what it should be
├── FullError       the journal takes no more: the run ends with what it has
├── CollectiveError a rank's peers failed; raised on every rank alike
├── RefusedError    a case cannot be measured as the plan asks; it is skipped, with the reason
└── GangLostError   a rank or a node is gone, and with it the side channel

HangError           a case did not move for longer than it may; raised in the process that has it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RankbenchError(Exception):
    """Any error that rankbench raises on purpose."""


class UsageError(RankbenchError):
    """A parameter that breaks a rule: one line with the rule, the value and the remedy."""

    def __init__(self, parameter: str, rule: str, value: object, remedy: str) -> None:
        self.told = parameter, rule, value, remedy
        super().__init__(" ".join(f"{parameter} must {rule}, but is {value}; {remedy}".split()))

    def __reduce__(self) -> tuple[type[UsageError], tuple[str, str, object, str]]:
        return type(self), self.told  # so that it can be raised on every rank


class JournalError(RankbenchError):
    """A plan, journal or environment file that cannot be read as one."""


class FullError(RankbenchError):
    """The disk of a run directory takes no more, and so nothing can be kept of what would be measured."""


class CollectiveError(RankbenchError):
    """Another rank of this gang failed, so this rank gives up the case too."""


class HangError(BaseException):
    """A case gave no sign of life for longer than its deadline allows. No Exception: a plugin may swallow those."""


class RefusedError(RankbenchError):
    """A case that cannot be measured as the plan asks: it is skipped, and this says why."""


class GangLostError(RankbenchError):
    """A rank or a node is gone: no agreement is possible any more, and the launch is over."""


LONGEST_WORDS = 10_000
"""Characters of an exception's words that anybody looks at: some print a whole tensor."""


def words_of(error: BaseException) -> str:
    """What an exception says first; one that cannot be put into words says so."""
    try:
        return str(error)[:LONGEST_WORDS].strip()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - it is a plugin's
        return "it cannot be put into words"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its kind, where it says nothing."""
    return next(iter(words_of(error).splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy for a mistyped name: the nearest known one, or all of them."""
    choices = sorted(set(known))
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(choices)}" if choices else "there are none"
