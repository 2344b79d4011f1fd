"""Sentences around a table of changes: what else differs, what the probes say, and why cases have no verdict."""

from __future__ import annotations

from collections.abc import Iterator

from reports import labels, units
from reports.changes.headline import outcome
from reports.changes.rows import ChangeRow, Changes
from reports.labels import Labels
from reports.sentences import clocked

LONGEST = 24
"""Characters of a differing value that a sentence shows."""


def names(changes: Changes) -> Labels:
    """How the cases are called."""
    return Labels.of(changes.cases)


def differing(changes: Changes) -> str:
    """What else is recorded and not equal."""
    if not changes.differences:
        return "Nothing else that is recorded of the two runs differs."
    told = (f"{labels.plain(each.name)} {_short(each.base)} → {_short(each.new)}" for each in changes.differences)
    return f"Also different: {'; '.join(told)}."


def _short(text: str) -> str:
    shown = labels.plain(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def machine(changes: Changes) -> str:
    """How far the probes are apart, and what that means for the verdicts."""
    ratios = [row.ratio for row in changes.probes]
    if not ratios:
        return "Both runs have no probe in common, so a change of the machine itself would go unseen."
    ends = list(dict.fromkeys(units.change(end(ratios), None, None) for end in (min, max)))
    spread = " to ".join(ends)
    if changes.same_software:
        return f"The harness's own probes took {spread} time: a difference no larger than theirs is the machine's."
    return f"The harness's own probes took {spread} time, by the machine or by the software that differs."


def gate(changes: Changes) -> str:
    """The correction, and whether it leaves a chance to find anything."""
    told = changes.gate
    if told.smallest_p is None or not told.able:
        return ""
    limit, least = (units.number(each) for each in (told.level / told.cases, told.smallest_p))
    among = units.count(told.cases, "case")
    return f"Gate: {among}, corrected after Holm; p ≤ {limit} is found in any event, and {least} can be reached."


def reasons(changes: Changes) -> Iterator[tuple[bool, str]]:
    """Why a case has no verdict, or what broke it: whether it fails the gate, and a sentence; the broken ones first."""
    called = names(changes)
    for row in sorted(changes.cases, key=lambda row: not row.broken):
        if row.reason:
            yield row.broken, f"{case(row, called)}: {row.reason}."
    for row in changes.cases:
        if told := clocked(row.in_cycles):
            yield False, f"{case(row, called)}:{told}"
    unconfirmed = sum(outcome(row) == "unconfirmed" for row in changes.cases)
    if unconfirmed:
        yield False, f"* slower by its own interval, but not after the correction for {changes.gate.cases} cases."
    if changes.only_in_base:
        cases = units.count(len(changes.only_in_base), "case")
        yield False, f"{cases} of BASE {'was' if len(changes.only_in_base) == 1 else 'were'} not planned in NEW."


def cycles(row: ChangeRow) -> str:
    """Its change in clock cycles, where they are known."""
    found = row.in_cycles
    return units.change(found.ratio, found.ratio_low, found.ratio_high) if found else ""


def case(row: ChangeRow, called: Labels) -> str:
    """A case in a sentence."""
    return f"`{called.case(row)}` on {units.count(row.world_size, 'device')}"
