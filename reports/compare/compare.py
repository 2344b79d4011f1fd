"""The comparison of two run directories as a whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.journal.run_directory import RunDir
from reports.compare import likeness
from reports.compare.cases import Both, case_rows, sure
from reports.compare.wording import counted, headline, remarks
from reports.reading.run import CaseId, Evidence, load
from reports.schema.compare import ChangeRow, Changes, ProbeRow, RunSide
from reports.statistics.gate import gate
from reports.statistics.measured import measure
from reports.statistics.variance import advice_rows, variance_rows
from reports.text import labels

SHOWN = 3
"""Pieces of advice that are given at most."""


def compare(base: Path, new: Path, margin: float | None, *, accept_unchecked: bool = False) -> Changes:
    """Compare two run directories. Raises UsageError where they were not measured alike, or one cannot be read.

    Also where cells are unchecked, unless the user accepts a verdict on what may be fast because it is wrong.
    """
    old, now = (load(RunDir(root)) for root in (base, new))
    likeness.refuse(old, now)
    if not accept_unchecked:
        likeness.refuse_unchecked(old, now)
    differing = likeness.differences(old, now)
    asked = max(old.plan.margin, now.plan.margin) if margin is None else margin
    both = Both(measure(old), measure(now), asked, likeness.same_software(differing, old, now))
    rows = case_rows(both)
    decision = gate([(row.base_launches, row.new_launches) for row in rows if row.p is not None])
    missing, more = (
        tuple(key for key in likeness.keys(one) if key not in likeness.keys(other))
        for one, other in ((old, now), (now, old))
    )
    return Changes(
        headline=headline(rows, decision),
        regression=any(row.confirmed or row.broken for row in rows),
        undecided=bool(missing) or not decision.able or not all(map(sure, rows)),
        base=_side(base, old),
        new=_side(new, now),
        gate=decision,
        counts=counted(rows),
        cases=rows,
        probes=tuple(_probe_rows(both)),
        same_software=both.same_software,
        differences=differing,
        only_in_base=missing,
        only_in_new=more,
        remarks=(
            *_alternating(BASE=old, NEW=now),
            *remarks(rows, decision, likeness.mixed(old), likeness.mixed(now)),
            *_advice(both, rows),
        ),
    )


def _probe_rows(both: Both) -> Iterator[ProbeRow]:
    """Each probe once, beside the first case that it was interleaved with."""
    seen: set[tuple[str, CaseId | None]] = set()
    for pair in both.pairs():
        for name, ratio in both.probes(pair):
            place = both.base.probe(pair.base[0], name, pair.case.world_size)
            if (name, place) not in seen:
                seen.add((name, place))
                yield ProbeRow(
                    probe=name,
                    scenario=pair.case.scenario,
                    params=pair.comparison.params,
                    world_size=pair.case.world_size,
                    ratio=ratio.ratio,
                    ratio_low=ratio.low,
                    ratio_high=ratio.high,
                )


def _alternating(**runs: Evidence) -> Iterator[str]:
    """A run whose launches took turns between several environments is compared by the first of them."""
    for name, evidence in runs.items():
        if len(evidence.plan.sides) > 1:
            side = labels.plain(evidence.side.name)
            yield f"{name} alternated between {len(evidence.plan.sides)} sides: only its first, {side}, is compared."


def _advice(both: Both, rows: Sequence[ChangeRow]) -> Iterator[str]:
    """What would help to decide what is undecided for want of narrow intervals, by the launches of NEW."""
    undecided = {row.key for row in rows if row.verdict == "undecided" and not row.reason}
    places = {pair.new[0] for pair in both.pairs() if pair.case.key in undecided}
    advice = advice_rows(both.new, variance_rows(both.new)) if places else ()
    yield from [row.text for row in advice if row.comparison in places and row.spend in ("launches", "samples")][:SHOWN]


def _side(path: Path, evidence: Evidence) -> RunSide:
    gangs = evidence.gangs.values()
    return RunSide(
        path=str(path),
        version=evidence.plan.version,
        side=evidence.side.name,
        launches=len({cell.launch for cell in evidence.cells}),
        started=min((gang.started for gang in gangs), default=None),
        fingerprint=", ".join(sorted({gang.fingerprint for gang in gangs})) or None,
    )
