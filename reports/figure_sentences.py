"""The sentence above each figure of a comparison: what it shows, in this run's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from reports import labels, units
from reports.document import ComparisonFacts
from reports.rows import CellRow, ContrastRow, Verdict
from reports.sentences import WORDS
from reports.why_rows import LossRow

FEW = 4
"""Names that are listed; more are counted."""


def time_sentence(rows: Sequence[CellRow]) -> str:
    """What a step takes on the most devices, and would take ideally; who is fastest is a verdict's to say."""
    shown = _on_most(row for row in rows if row.median_s is not None and not row.below_resolution)
    if not shown:
        return ""
    told = _range(shown, lambda row: row.median_s or 0.0, units.seconds)
    ideal = [row for row in shown if row.ideal_s is not None]
    rest = f"; ideally, {_range(ideal, lambda row: row.ideal_s or 0.0, units.seconds, named=False)}" if ideal else ""
    return f"{_where(shown)} a step takes {told}{rest}."


def speedup_sentence(rows: Sequence[CellRow]) -> str:
    """How far arms get on the most devices, of what the machine reaches."""
    shown = _on_most(row for row in rows if row.speedup is not None and not row.below_resolution)
    if not shown or shown[0].scaling == "none":
        return ""
    told = _range(shown, lambda row: row.speedup or 0.0, units.times)
    ceiling = next((row.ceiling_speedup for row in shown if row.ceiling_speedup is not None), None)
    rest = f", where a large product reaches {units.times(ceiling)}" if ceiling else ""
    return f"{_where(shown)} {told}{rest}."


def contrast_sentence(rows: Sequence[ContrastRow]) -> str:
    """The verdicts on the most devices."""
    if not rows:
        return ""
    most = max(row.world_size for row in rows)
    by_verdict: dict[Verdict, list[str]] = {}
    for row in rows:
        if row.world_size == most:
            by_verdict.setdefault(row.verdict, []).append(f"`{labels.plain(row.arm)}`")
    told = [f"{_listed(by_verdict[kind])} {WORDS[kind]}" for kind in WORDS if kind in by_verdict]
    return f"On {units.count(most, 'device')}: {'; '.join(told)}."


def losses_sentence(rows: Sequence[LossRow], about: ComparisonFacts) -> str:
    """Where the least efficient case on the most devices loses."""
    if not rows:
        return ""
    most = max(row.world_size for row in rows)
    worst = min((row for row in rows if row.world_size == most), key=lambda row: row.efficiency)
    who = f"`{labels.plain(worst.arm)}`: " if about.arm_field and worst.arm is not None else ""
    return f"{who}{worst.text}"


def _on_most(rows: Iterable[CellRow]) -> list[CellRow]:
    told = list(rows)
    most = max((row.world_size for row in told), default=0)
    return [row for row in told if row.world_size == most]


def _where(rows: Sequence[CellRow]) -> str:
    return f"On {units.count(rows[0].world_size, 'device')}"


def _range(
    rows: Sequence[CellRow], value: Callable[[CellRow], float], word: Callable[[float], str], *, named: bool = True
) -> str:
    """The least and the greatest, with their arms where there are several."""
    low, high = min(rows, key=value), max(rows, key=value)
    ends = [word(value(low)), word(value(high))]
    if ends[0] == ends[1]:
        return ends[0]
    if not named:
        return f"{ends[0]} to {ends[1]}"
    return f"from {ends[0]} (`{labels.plain(low.arm or '')}`) to {ends[1]} (`{labels.plain(high.arm or '')}`)"


def _listed(names: list[str]) -> str:
    return units.listed(names) if len(names) <= FEW else units.count(len(names), "arm")
