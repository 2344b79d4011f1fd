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
from reports.schema.cases import CellRow
from reports.schema.history import Direction, History, HistoryPoint, HistoryRun, HistorySeries
from reports.schema.summary import Summary
from reports.text import labels, units
from reports.text.units import flat

Series = tuple[str, str, tuple[int, ...]]
"""What a series is of: the case's key, the launcher, and how its ranks are spread over hosts."""


CHANGING = frozenset({"git", "hash", "hosts", "load_average", "gpus_now", "sides"})
"""What environment.json tells of the code or of the moment."""


@dataclass(frozen=True)
class Told:
    """A run and its summary."""

    run: RunDir
    summary: Summary

    @property
    def likeness(self) -> dict[str, str] | None:
        """Equal for runs that may stand on one page; None where launches differ, or the environment is not known."""
        own, environment = self.summary.run, self.summary.environment
        if environment is None or own.fingerprint is None or ", " in own.fingerprint:
            return None
        kept = {name: told for name, told in environment.items() if name not in CHANGING}
        strange = sorted(sorted(its.items()) for side in own.sides for its in side.strange_hosts.values())
        others = {f"other hosts.{place}.{name}": value for place, its in enumerate(strange) for name, value in its}
        regime = {f"regime.{name}": told for name, told in own.regime.items()}
        return dict(flat(kept)) | others | regime | {"threads": str(own.threads)}

    @property
    def fingerprint(self) -> str:
        """The likeness in short."""
        return hashlib.sha256(json.dumps(self.likeness, sort_keys=True).encode()).hexdigest()[:16]


def apart(told: Told, group: Sequence[Told]) -> str:
    """Why a run does not stand on a group's page, in one line."""
    own, theirs = told.likeness, group[-1].likeness or {}
    if own is None:
        reason = "its launches, or what is known of them, are not of one environment"
    else:
        names = [name for name in {**theirs, **own} if own.get(name) != theirs.get(name)]
        first, more = names[0], len(names) - 1
        reason = f"{first} is {own.get(first, 'not told')}, and {theirs.get(first, 'not told')} in {group[-1].run.root}"
        reason += f" ({units.count(more, 'more difference')})" if more else ""
    return labels.plain(f"{told.run.root}: {reason}")


def alike(told: Iterable[Told]) -> tuple[list[list[Told]], list[Told]]:
    """Groups of at least two runs that may stand on one page, the oldest first; and the runs that are left alone."""
    groups: dict[object, list[Told]] = {}
    for place, each in enumerate(sorted(told, key=_started)):
        groups.setdefault(place if each.likeness is None else each.fingerprint, []).append(each)
    return [own for own in groups.values() if len(own) > 1], [own[0] for own in groups.values() if len(own) == 1]


def _started(told: Told) -> tuple[str, str]:
    return told.summary.run.started or "", str(told.run.root)


def history(told: Sequence[Told]) -> History:
    """Of runs that may stand on one page, the oldest first."""
    last = told[-1].summary.run
    rows: dict[Series, list[tuple[int, CellRow]]] = {}
    for place, each in enumerate(told):
        for row in each.summary.first:
            rows.setdefault((row.key, row.launcher, row.ranks_per_host), []).append((place, row))
    series = tuple(_series(own, len(told)) for own in rows.values() if any(row.timed for _, row in own))
    return History(
        headline=headline(series, len(told)),
        fingerprint=told[-1].fingerprint,
        regime=last.regime,
        device_names=tuple(dict.fromkeys(last.device_names)),
        runs=tuple(_run(each) for each in told),
        series=series,
    )


def _run(told: Told) -> HistoryRun:
    own = told.summary.run
    git = (told.summary.environment or {}).get("git") or {}
    commit = git.get("commit") if isinstance(git, dict) else None
    return HistoryRun(
        name=told.run.root.name,
        started=own.started,
        version=own.version,
        commit=str(commit) if commit else None,
        launches=own.launches_done,
        counts=told.summary.counts,
    )


def _series(rows: Sequence[tuple[int, CellRow]], runs: int) -> HistorySeries:
    row = rows[-1][1]
    points = tuple(
        HistoryPoint(
            run=place,
            status=each.status,
            seconds=each.median_s or 0.0,
            low_s=each.ci_low_s,
            high_s=each.ci_high_s,
            launches=each.launches,
        )
        for place, each in rows
        if each.timed
    )
    told = len(points) > 1 and points[-1].run == runs - 1
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
        change=points[-1].seconds / points[-2].seconds if told else None,
        direction=direction(points[-2], points[-1]) if told else "unknown",
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
    counted = Counter(each.direction for each in series if each.change is not None)
    words: dict[Direction, str] = {"slower": "above", "faster": "below", "together": "within reach of"}
    told = [f"{counted[way]} {words[way]}" for way in words if counted[way]]
    known = sum(counted.values())
    if not known:
        return f"{runs} runs, and no case has a time in the last one and in another."
    if not told:
        return f"{runs} runs; too few launches for intervals to be compared."
    rest = f", and {counted['unknown']} without intervals" if counted["unknown"] else ""
    return f"{runs} runs. Of {units.count(known, 'case')} in the last one, {units.listed(told)} the time before{rest}."
