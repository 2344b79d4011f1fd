"""What can go wrong before or beside a measurement.

RankbenchError
├── UsageError      the user asked for something that cannot be done; exit code 2
├── JournalError    a file of a run is not what it should be
├── FullError       the journal takes no more: the run ends with what it has
├── CollectiveError a rank's peers failed; raised on every rank alike
├── RefusedError    a case cannot be measured as the plan asks; it is skipped, with the reason
│   └── Skip        a scenario says that a case makes no sense here
└── GangLostError   a rank or a node is gone, and with it the side channel

HangError           a case did not move for longer than it may; raised in the process that has it
"""

from typing import Self


class RankbenchError(Exception):
    """Any error that rankbench raises on purpose."""


class UsageError(RankbenchError):
    """A parameter that breaks a rule: one line with the rule, the value and the remedy.

    If ``value`` is None, ``rule`` is a whole predicate, e.g. ``cannot be combined with --launches``.
    """

    def __init__(self, parameter: str, rule: str, value: object, remedy: str) -> None:
        self.parts = parameter, rule, value, remedy
        fault = rule if value is None else f"must {rule}, but is {value}"
        super().__init__(" ".join(f"{parameter} {fault}; {remedy}".split()))

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, object, str]]:
        return type(self), self.parts  # so that it can be raised on every rank


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


class Skip(RefusedError):  # noqa: N818 - a scenario's author reads it as a verb
    """Raised in ``prepare``: this case makes no sense here. It is skipped, and the text says why.

    Every rank of the case has to come to it alike, by its sizes, its device, or what is installed.
    """


class GangLostError(RankbenchError):
    """A rank or a node is gone: no agreement is possible any more, and the launch is over."""


OK = 0
NOT_OK = 1
"""Some planned cell is not ok; of two runs the later one is worse; this machine cannot measure."""
USAGE = 2
"""The user asked for something that cannot be done."""
UNDECIDED = 3
"""Of two runs that are compared strictly it cannot be told whether the later one is worse."""
INTERRUPTED = 130
