"""Whether one case's two times may be compared, and if not, why."""

from __future__ import annotations

from reports import failures, units
from reports.book import FATES
from reports.changes.both import Both, Pair
from reports.evidence import CaseId, State
from reports.measured import Measured

FAILED: tuple[State, ...] = ("wrong", "died", "hang", "oom", "error")
"""States that let no case pass, even where some launches have times."""


def unfit(both: Both, pair: Pair) -> tuple[str | None, bool]:
    """Why the two times may not be compared, and whether NEW broke what was well in BASE."""
    fates = _fate(both.base, pair.base), _fate(both.new, pair.new)
    if fates[0]:
        return f"in BASE it {fates[0]}", False
    if fates[1]:
        return f"in NEW it {fates[1]}", True
    work = _work(both.base, pair.base), _work(both.new, pair.new)
    if work[0] != work[1]:
        return f"declares other work: {_first_difference(*work)}", False
    return None, False


def _fate(side: Measured, case: CaseId) -> str | None:
    """What became of a case that has no time, or failed in a launch; in words."""
    state, cells = side.evidence.state(case), side.evidence.by_case[case]
    if state not in FAILED and len(side.values(case)):
        return None
    bad = [cell for cell in cells if cell.state == state]
    record = bad[0].record
    who = f"rank {record.rank}: " if record and record.rank is not None else ""
    message = f" ({who}{failures.quoted(record.message)})" if record and record.message else ""
    return f"{FATES[state]} in {len(bad)} of {units.count(len(cells), 'launch', 'launches')}{message}"


def _work(side: Measured, case: CaseId) -> dict[str, float]:
    """What all ranks together declare to do in one step."""
    facts = side.facts(case)
    return {
        "FLOPs": sum(fact.flops for fact in facts),
        "bytes": sum(fact.bytes for fact in facts),
        "items": sum(fact.items for fact in facts),
    }


def _first_difference(old: dict[str, float], now: dict[str, float]) -> str:
    name = next(name for name in old if old[name] != now[name])
    return f"{units.number(old[name])} {name} in BASE, {units.number(now[name])} in NEW"
