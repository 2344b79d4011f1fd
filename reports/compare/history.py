"""Runs that may stand on one page, and what their cases did from one to the next.

Only runs of one environment but for the code's own commit, one regime, and as many threads: anything else would show a
change of the machine, or of the way of measuring, as one of the code. No verdict is given: that is ``compare``'s.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.journal.run_directory import RunDir
from reports.compare.likeness import UNKNOWN, lasting_facts, other_hosts
from reports.schema.cases import CellRow
from reports.schema.history import Direction, History, HistoryPoint, HistoryRun, HistorySeries
from reports.schema.summary import Summary
from reports.text import labels, units

Series = tuple[str, str, tuple[int, ...]]
"""What a series is of: the case's key, the launcher, and how its ranks are spread over hosts."""


@dataclass(frozen=True)
class PastRun:
    """A run and its summary."""

    run: RunDir
    summary: Summary

    @property
    def likeness(self) -> dict[str, str] | None:
        """Equal for runs that may stand on one page; None where launches differ, or the environment is not known."""
        facts, environment = self.summary.run, self.summary.environment
        if environment is None or facts.fingerprint is None or ", " in facts.fingerprint:
            return None
        lasting = {name: value for name, value in lasting_facts(environment).items() if not name.startswith("git.")}
        others = other_hosts(*(side.strange_hosts for side in facts.sides))
        regime = {f"regime.{name}": value for name, value in facts.regime.items()}
        return lasting | others | regime | {"threads": str(facts.threads)}

    @property
    def fingerprint(self) -> str:
        """The likeness in short."""
        return hashlib.sha256(json.dumps(self.likeness, sort_keys=True).encode()).hexdigest()[:16]


def apart(entry: PastRun, group: Sequence[PastRun]) -> str:
    """Why a run does not stand on a group's page, in one line."""
    ours, theirs = entry.likeness, group[-1].likeness or {}
    if ours is None:
        reason = "its launches, or what is known of them, are not of one environment"
    else:
        names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
        first, more = names[0], len(names) - 1
        reason = f"{first} is {ours.get(first, UNKNOWN)}, and {theirs.get(first, UNKNOWN)} in {group[-1].run.root}"
        reason += f" ({units.count(more, 'more difference')})" if more else ""
    return labels.plain(f"{entry.run.root}: {reason}")


def alike(entries: Iterable[PastRun]) -> tuple[list[list[PastRun]], list[PastRun]]:
    """Groups of at least two runs that may stand on one page, the oldest first; and the runs that are left alone."""
    groups: dict[object, list[PastRun]] = {}
    for place, entry in enumerate(sorted(entries, key=_started)):
        groups.setdefault(place if entry.likeness is None else entry.fingerprint, []).append(entry)
    several = [group for group in groups.values() if len(group) > 1]
    return several, [group[0] for group in groups.values() if len(group) == 1]


def _started(entry: PastRun) -> tuple[str, str]:
    return entry.summary.run.started or "", str(entry.run.root)


def history(entries: Sequence[PastRun]) -> History:
    """Of runs that may stand on one page, the oldest first."""
    last = entries[-1].summary.run
    rows: dict[Series, list[tuple[int, CellRow]]] = {}
    for place, entry in enumerate(entries):
        for row in entry.summary.first:
            rows.setdefault((row.key, row.launcher, row.ranks_per_host), []).append((place, row))
    series = tuple(
        _series(series_rows, len(entries)) for series_rows in rows.values() if any(row.timed for _, row in series_rows)
    )
    return History(
        headline=headline(series, len(entries)),
        fingerprint=entries[-1].fingerprint,
        regime=last.regime,
        device_names=tuple(dict.fromkeys(last.device_names)),
        runs=tuple(_run(entry) for entry in entries),
        series=series,
    )


def _run(entry: PastRun) -> HistoryRun:
    facts = entry.summary.run
    git = (entry.summary.environment or {}).get("git") or {}
    commit = git.get("commit") if isinstance(git, dict) else None
    return HistoryRun(
        name=entry.run.root.name,
        started=facts.started,
        version=facts.version,
        commit=str(commit) if commit else None,
        launches=facts.launches_done,
        counts=entry.summary.counts,
    )


def _series(rows: Sequence[tuple[int, CellRow]], runs: int) -> HistorySeries:
    row = rows[-1][1]
    points = tuple(
        HistoryPoint(
            run=place,
            status=row.status,
            seconds=row.median_s or 0.0,
            low_s=row.ci_low_s,
            high_s=row.ci_high_s,
            launches=row.launches,
        )
        for place, row in rows
        if row.timed
    )
    last = len(points) > 1 and points[-1].run == runs - 1
    return HistorySeries(
        key=row.key,
        scenario=row.scenario,
        params=row.params,
        variant_field=row.variant_field,
        variant=row.variant,
        world_size=row.world_size,
        launcher=row.launcher,
        ranks_per_host=row.ranks_per_host,
        points=points,
        change=points[-1].seconds / points[-2].seconds if last else None,
        direction=direction(points[-2], points[-1]) if last else "unknown",
    )


def direction(before: HistoryPoint, after: HistoryPoint) -> Direction:
    """Whether two intervals have no time in common, and to which side the later one lies."""
    if before.low_s is None or before.high_s is None or after.low_s is None or after.high_s is None:
        return "unknown"
    if after.low_s > before.high_s:
        return "slower"
    return "faster" if after.high_s < before.low_s else "together"


def headline(series: Sequence[HistorySeries], runs: int) -> str:
    """What the last run's intervals are beside those of the runs before it."""
    counted = Counter(line.direction for line in series if line.change is not None)
    words: dict[Direction, str] = {"slower": "above", "faster": "below", "together": "within reach of"}
    counts = [f"{counted[way]} {words[way]}" for way in words if counted[way]]
    known = sum(counted.values())
    if not known:
        return f"{runs} runs, and no case has a time in the last one and in another."
    if not counts:
        return f"{runs} runs; too few launches for intervals to be compared."
    rest = f", and {counted['unknown']} without intervals" if counted["unknown"] else ""
    last = f"Of {units.count(known, 'case')} in the last one, {units.listed(counts)} the time before{rest}."
    return f"{runs} runs. {last}"
