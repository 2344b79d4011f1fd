"""What came out of comparing two runs, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from reports import units
from reports.changes.gate import Gate
from reports.changes.rows import ChangeRow

OUTCOMES = {
    "broken": "broken",
    "slower": "slower",
    "unconfirmed": "slower but not confirmed",
    "faster": "faster",
    "equivalent": "without a difference",
    "undecided": "undecided",
    "not comparable": "not comparable",
}
"""What may become of a case, worst first, and how it is said."""


def outcome(row: ChangeRow) -> str:
    """What became of a case: a key of ``OUTCOMES``."""
    if row.broken:
        return "broken"
    return "unconfirmed" if row.verdict == "slower" and not row.confirmed else row.verdict


def counted(rows: Sequence[ChangeRow]) -> dict[str, int]:
    """How many cases there are, and how many of each outcome."""
    found = Counter(outcome(row) for row in rows)
    return {"cases": len(rows), **{name: found[name] for name in OUTCOMES}}


def headline(rows: Sequence[ChangeRow], gate: Gate) -> str:
    """The one line that says whether NEW is worse."""
    found = counted(rows)
    told = units.listed([f"{found[name]} {words}" for name, words in OUTCOMES.items() if found[name]])
    cases = f"{units.count(len(rows), 'case')}: {told}."
    if found["broken"] or found["slower"]:
        return f"NEW is worse than BASE. {cases}"
    if not gate.able:
        return f"NEW could not be found worse than BASE, {_unable(gate)}. {cases}"
    return f"NEW is not found worse than BASE. {cases}"


def _unable(gate: Gate) -> str:
    if not gate.cases:
        return "for no case has times in both runs"
    return f"even if it were: that takes {units.count(gate.launches_needed, 'launch', 'launches')} of each run"


def remarks(rows: Sequence[ChangeRow], gate: Gate, *mixed: bool) -> tuple[str, ...]:
    """What a reader has to bear in mind; ``mixed`` tells of BASE and NEW whether their environment changed inside."""
    told = []
    if gate.cases and not gate.able:
        least = f"the smallest p that a rank test reaches with these launches is {units.number(gate.smallest_p or 1)}"
        told.append(
            f"The gate cannot fail: {least}, and {units.count(gate.cases, 'case')} need "
            f"{units.number(gate.level / gate.cases)}. Measure {gate.launches_needed} launches of each run or more."
        )
    for name, changed in zip(("BASE", "NEW"), mixed, strict=True):
        if changed:
            told.append(f"The launches of {name} were not all made in one environment; the last one is told.")
    uneven = {(row.base_launches, row.new_launches) for row in rows if row.base_launches != row.new_launches}
    if uneven:
        old, now = min(uneven)
        told.append(f"BASE has {old} launches and NEW {now}: intervals are exact only where both sides vary alike.")
    return tuple(told)
