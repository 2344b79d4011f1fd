"""Sentences around a table of changes: what else differs, what the probes say, and why cases have no verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence

from reports.schema.compare import ChangeRow, Changes, Gate
from reports.text import labels, units
from reports.text.labels import Labels
from reports.wording.sentences import clocked

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
    counts = Counter(outcome(row) for row in rows)
    return {"cases": len(rows), **{name: counts[name] for name in OUTCOMES}}


def headline(rows: Sequence[ChangeRow], gate: Gate) -> str:
    """The one line that says whether NEW is worse."""
    counts = counted(rows)
    outcomes = units.listed([f"{counts[name]} {words}" for name, words in OUTCOMES.items() if counts[name]])
    cases = f"{units.count(len(rows), 'case')}: {outcomes}."
    if counts["broken"] or counts["slower"]:
        return f"NEW is worse than BASE. {cases}"
    if not gate.able:
        return f"NEW could not be found worse than BASE, {_unable(gate)}. {cases}"
    return f"NEW is not found worse than BASE. {cases}"


def _unable(gate: Gate) -> str:
    if not gate.cases:
        return "for no case has times in both runs"
    return f"even if it were: that takes {units.count(gate.launches_needed, 'launch')} of each run"


def remarks(rows: Sequence[ChangeRow], gate: Gate, *mixed: bool) -> tuple[str, ...]:
    """What a reader has to bear in mind; ``mixed`` tells of BASE and NEW whether their environment changed inside."""
    lines = []
    if gate.cases and not gate.able:
        least = f"the smallest p that a rank test reaches with these launches is {units.number(gate.smallest_p or 1)}"
        lines.append(
            f"The gate cannot fail: {least}, and {units.count(gate.cases, 'case')} need "
            f"{units.number(gate.level / gate.cases)}. Measure {gate.launches_needed} launches of each run or more."
        )
    for name, changed in zip(("BASE", "NEW"), mixed, strict=True):
        if changed:
            lines.append(f"The launches of {name} were not all made in one environment; the last one is told.")
    asymmetric = {(row.base_launches, row.new_launches) for row in rows if row.base_launches != row.new_launches}
    if asymmetric:
        old, now = min(asymmetric)
        lines.append(f"BASE has {old} launches and NEW {now}: intervals are exact only where both sides vary alike.")
    return tuple(lines)


LONGEST = 24
"""Characters of a differing value that a sentence shows."""


def names(changes: Changes) -> Labels:
    """How the cases are called."""
    return Labels.of(changes.cases)


def differing(changes: Changes) -> str:
    """What else is recorded and not equal."""
    if not changes.differences:
        return "Nothing else that is recorded of the two runs differs."

    def short(value: str) -> str:
        return labels.cut(labels.plain(value), LONGEST)

    parts = (
        f"{labels.plain(difference.name)} {short(difference.base)} → {short(difference.new)}"
        for difference in changes.differences
    )
    return f"Also different: {'; '.join(parts)}."


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
    decision = changes.gate
    if decision.smallest_p is None or not decision.able:
        return ""
    limit, least = (units.number(value) for value in (decision.level / decision.cases, decision.smallest_p))
    among = units.count(decision.cases, "case")
    return f"Gate: {among}, corrected after Holm; p ≤ {limit} is found in any event, and {least} can be reached."


def reasons(changes: Changes) -> Iterator[tuple[bool, str]]:
    """Why a case has no verdict, or what broke it: whether it fails the gate, and a sentence; the broken ones first."""
    called = names(changes)
    for row in sorted(changes.cases, key=lambda row: not row.broken):
        if row.reason:
            yield row.broken, f"{case(row, called)}: {row.reason}."
    for row in changes.cases:
        if text := clocked(row.in_cycles):
            yield False, f"{case(row, called)}:{text}"
    unconfirmed = sum(outcome(row) == "unconfirmed" for row in changes.cases)
    if unconfirmed:
        yield False, f"* slower by its own interval, but not after the correction for {changes.gate.cases} cases."
    if changes.only_in_base:
        cases = units.count(len(changes.only_in_base), "case")
        yield False, f"{cases} of BASE {'was' if len(changes.only_in_base) == 1 else 'were'} not planned in NEW."


def cycles(row: ChangeRow) -> str:
    """Its change in clock cycles, where they are known."""
    ratio = row.in_cycles
    return units.change(ratio.ratio, ratio.ratio_low, ratio.ratio_high) if ratio else ""


def case(row: ChangeRow, called: Labels) -> str:
    """A case in a sentence."""
    return f"`{called.case(row)}` on {units.count(row.world_size, 'device')}"
