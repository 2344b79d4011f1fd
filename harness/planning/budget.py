"""The duration of a run and its number of launches, as requested or by default."""

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.common.errors import UsageError
from harness.journal.plan import Comparison, Precision, Side
from harness.measure.sampling import Sampling
from harness.planning.request import RunRequest
from harness.planning.sides import turns

LAUNCHES = 6
"""Fewer give no interval."""
CASE_S = 0.6
"""Default time per case of a launch."""
RUN_S = 420.0
"""Default time of all launches together, if the cases fit into it."""
PRECISE_S = 900.0
"""For how long launches are added where intervals are to be narrow, unless the user says."""


def effort(
    request: RunRequest, comparisons: Sequence[Comparison], sides: Sequence[Side], *, joined: bool
) -> tuple[float, int, Precision | None]:
    """The budget in seconds, the launches of all sides that it is for, and when to add more. Raises UsageError.

    ``joined``: each launch is somebody else's.
    """
    cases = [case for comparison in comparisons for case in comparison.cases]
    fresh = not joined and all(side.launcher != "inline" for side in sides)
    usual = 2 if request.preset == "smoke" else LAUNCHES
    if request.sides and request.preset != "smoke":
        usual = max(LAUNCHES, turns(sum(not (case.packed or case.probe) for case in cases)))
    usual = usual if fresh else 1
    budget_s, launches = _budget(request, usual, len(cases), len(sides))
    precision = _precision(request, fresh=fresh)
    if precision:
        planned = replace(request, budget_s=None, launches=launches // len(sides))
        budget_s = min(budget_s, _budget(planned, usual, len(cases), len(sides))[0])
    return budget_s, launches, precision


def above_zero(name: str, value: float) -> None:
    """Raise UsageError where a number is not positive and finite."""
    if not 0 < value < float("inf"):
        raise UsageError(name, "be above zero", value, "give a positive number")


def fraction(name: str, text: str, *, zero: bool = False, example: str) -> float:
    """A number like ``2%`` or ``0.02``, above 0 (``zero``: or 0 itself) and below 1. Raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if rest or not (0 < value < 1 or (zero and value == 0)):
        rule = f"be a fraction of the time, {'from' if zero else 'above'} 0 and below 1"
        raise UsageError(name, rule, repr(text), f"e.g. {name} {example}")
    return value


def _budget(request: RunRequest, usual: int, cases: int, sides: int) -> tuple[float, int]:
    """The budget in seconds and the launches, of all ``sides``, that it is for; ``usual`` is how many of each."""
    if request.launches is not None:
        above_zero("--launches", request.launches)
    if request.launcher == "inline" and (request.launches or 1) > 1:
        rule = "be 1 under --launcher inline, which has no fresh processes"
        raise UsageError("--launches", rule, request.launches, "use --launcher torchrun")
    least_s = Sampling().least_s(cases)
    if request.budget_s is None:
        launches = (request.launches or usual) * sides
        return launches * max(min(cases * CASE_S, RUN_S / (usual * sides)), least_s), launches
    above_zero("--budget", request.budget_s)
    if request.budget_s < least_s * sides:
        rule = f"be at least {math.ceil(least_s * sides)} s for one launch of these cases"
        rule += f" on {sides} sides" if sides > 1 else ""
        raise UsageError("--budget", rule, f"{request.budget_s:g} s", "raise it, or name fewer scenarios")
    fit = max(1, min(usual, int(request.budget_s / (least_s * sides))))
    if request.sides and not request.launches and fit < usual:
        rule = f"be at least {math.ceil(usual * least_s * sides)} s for the {usual} turns that a verdict needs"
        raise UsageError("--budget", rule, f"{request.budget_s:g} s", "raise it, name fewer scenarios, or give --turns")
    return request.budget_s, (request.launches or fit) * sides


def _precision(request: RunRequest, *, fresh: bool) -> Precision | None:
    """How narrow intervals are wanted, and until when launches may be added for that.

    A duel's are wanted half as wide as its margin, unless the user says how narrow or how many turns.
    """
    if request.precision is None:
        margin = fraction("--margin", request.margin, zero=True, example="5%")
        if not (request.sides and margin) or request.launches or request.preset == "smoke":
            return None
        return Precision(fraction=margin / 2, limit_s=request.budget_s or RUN_S)
    width = fraction("--precision", request.precision, example="2%")
    if not fresh:
        fault = "cannot be used under an external torchrun or --launcher inline, which add no launches"
        raise UsageError("--precision", fault, None, "drop --precision")
    return Precision(fraction=width, limit_s=request.budget_s or PRECISE_S)
