"""The sentence above each figure of a comparison: what it shows, in this run's own numbers."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from harness.journal.measurement_warnings import Kind
from reports.schema.cases import CellRow, ContrastRow, RankRow, Verdict
from reports.schema.diagnostics import HeatRow, LossRow, TraceRow
from reports.schema.summary import ComparisonFacts
from reports.text import labels, units
from reports.wording.ranks import in_short
from reports.wording.sentences import WORDS

LONGEST = 22
"""Letters of a label that are shown in a plot."""


Ends = tuple[float, float | None, float | None]
"""A value and its interval, where there is one."""
FEW = 4
"""Names that are listed; more are counted."""


def time_sentence(rows: Sequence[CellRow]) -> str:
    """What a step takes on the most devices, and would take ideally; who is fastest is a verdict's to say."""
    shown = _on_most(row for row in rows if row.timed)
    if not shown:
        return ""
    told = _range(shown, lambda row: (row.median_s or 0.0, row.ci_low_s, row.ci_high_s), units.seconds)
    ideal = [row for row in shown if row.ideal_s is not None]
    rest = f"; ideally, {_range(ideal, lambda row: (row.ideal_s or 0.0, None, None), units.seconds)}" if ideal else ""
    return f"{_where(shown)} a step takes {told}{rest}."


def speedup_sentence(rows: Sequence[CellRow]) -> str:
    """How far variants get on the most devices, of what the machine reaches."""
    shown = _on_most(row for row in rows if row.scaled)
    if not shown:
        return ""
    told = _range(shown, lambda row: (row.speedup or 0.0, row.speedup_low, row.speedup_high), units.times)
    alike = len({row.ideal_speedup for row in shown}) == 1
    row = shown[0]
    best = "" if row.divides or not alike else f" of at best {units.times(row.ideal_speedup)}, as its work divides"
    reach = f", where a large product reaches {units.times(row.reachable)}" if row.reachable and row.divides else ""
    return f"{_where(shown)} {told}{best}{reach if alike else ''}."


def contrast_sentence(rows: Sequence[ContrastRow]) -> str:
    """The verdicts on the most devices."""
    if not rows:
        return ""
    most = max(row.world_size for row in rows)
    by_verdict: dict[Verdict, list[str]] = {}
    for row in rows:
        if row.world_size == most:
            by_verdict.setdefault(row.verdict, []).append(f"`{labels.plain(row.variant)}`")
    words = WORDS | {"equivalent": f"{WORDS['equivalent']} within {units.percent(rows[0].margin_asked)}"}
    told = [f"{_listed(by_verdict[kind])} {words[kind]}" for kind in WORDS if kind in by_verdict]
    return f"On {units.count(most, 'device')}: {'; '.join(told)}."


def losses_sentence(rows: Sequence[LossRow], about: ComparisonFacts) -> str:
    """Where the seconds of the least efficient case on the most devices go."""
    if not rows:
        return ""
    most = max(row.world_size for row in rows)
    worst = min((row for row in rows if row.world_size == most), key=lambda row: row.efficiency)
    who = f"`{labels.plain(worst.variant)}`: " if about.variant_field and worst.variant is not None else ""
    return f"{who}{worst.text}"


def order_sentence(traces: Sequence[tuple[CellRow, TraceRow]], letters: Mapping[str, str]) -> str:
    """Which launches give cause for a warning, and for which."""
    if not traces:
        return ""
    launches = len({trace.launch for _, trace in traces})
    doubted: dict[Kind, set[int]] = {}
    for _, trace in traces:
        for kind in trace.warnings:
            doubted.setdefault(kind, set()).add(trace.launch)
    if not doubted:
        return f"All {launches} launches were steady." if launches > 1 else "The launch was steady."
    told = [
        f"{kind.replace('-', ' ')} ({letters[kind]}) in {_launches(own, launches)}" for kind, own in doubted.items()
    ]
    return f"{units.listed(told)}.".capitalize()


def _launches(own: Collection[int], among: int) -> str:
    if len(own) == among:
        return "every launch"
    told = units.listed([str(launch) for launch in sorted(own)]) if len(own) <= FEW else f"{len(own)} of {among}"
    return f"{'launch' if len(own) == 1 else 'launches'} {told}" if len(own) <= FEW else f"{told} launches"


def spread_sentence(traces: Sequence[tuple[CellRow, TraceRow]]) -> str:
    """How far the middle nine tenths of samples reach in the variant that varies most, and how far its launches do."""
    most = max((row.world_size for row, _ in traces), default=0)
    by_variant: dict[str, list[tuple[CellRow, TraceRow]]] = {}
    for row, trace in traces:
        if row.world_size == most:
            by_variant.setdefault(variant_of(row), []).append((row, trace))
    if not by_variant:
        return ""
    within = {variant: max(_within(trace) for _, trace in own) for variant, own in by_variant.items()}
    worst = max(within, key=lambda variant: within[variant])
    row = by_variant[worst][0][0]
    values = list(row.launch_s.values())
    between = (max(values) - min(values)) / (row.median_s or 1.0)
    named = f" of `{labels.plain(worst)}`" if len(by_variant) > 1 else ""
    apart = f"; its {len(values)} launches lie {units.percent(between)} apart" if len(values) > 1 else ""
    return f"Nine tenths of a launch’s samples{named} span up to {units.percent(within[worst])} of its time{apart}."


def _within(trace: TraceRow) -> float:
    low, middle, high = (trace.at(level) for level in (0.05, 0.5, 0.95))
    return (high - low) / middle


def heat_sentence(rows: Sequence[tuple[CellRow, HeatRow]], ranks: Iterable[RankRow]) -> str:
    """What is known of slow ranks in the cases that are shown; then the worst of it."""
    keys = {row.key for _, row in rows}
    own = [row for row in ranks if row.key in keys]
    if not rows or not own:
        return ""
    worst, rank, variant = max(
        (max(values), rank, variant_of(cell)) for cell, row in rows for rank, values in enumerate(row.excess)
    )
    where = f" (`{labels.plain(variant)}`)" if len(rows) > 1 else ""
    return f"{in_short(own)}; furthest behind its peers at any time was rank {rank}{where}, by {units.percent(worst)}."


def roof_sentence(rows: Sequence[CellRow]) -> str:
    """How near the cases on the most devices come to what a large product reaches."""
    shown = _on_most(rows)
    if not shown:
        return ""
    told = _range(shown, _of_roof, units.percent)
    return f"{_where(shown)} cases reach {told} of what a large product does."


def _of_roof(row: CellRow) -> Ends:
    """The rate over the roof; its interval is the time's."""
    share, time_s = (row.rate or 0.0) / (row.roof or 1.0), row.median_s or 0.0
    low, high = (share * time_s / end if end else None for end in (row.ci_high_s, row.ci_low_s))
    return share, low, high


def _on_most(rows: Iterable[CellRow]) -> list[CellRow]:
    told = list(rows)
    most = max((row.world_size for row in told), default=0)
    return [row for row in told if row.world_size == most]


def _where(rows: Sequence[CellRow]) -> str:
    return f"On {units.count(rows[0].world_size, 'device')}"


def _range(rows: Sequence[CellRow], value: Callable[[CellRow], Ends], word: Callable[[float], str]) -> str:
    """The least and the greatest; with their variants only where their intervals are apart, for order is no verdict."""
    least, most = (end(rows, key=lambda row: value(row)[0]) for end in (min, max))
    (low, _, low_end), (high, high_end, _) = value(least), value(most)
    if word(low) == word(high):
        return word(low)
    if low_end is None or high_end is None or low_end >= high_end:
        return f"{word(low)} to {word(high)}"
    variants = [f"`{labels.plain(row.variant or '')}`" for row in (least, most)]
    return f"from {word(low)} ({variants[0]}) to {word(high)} ({variants[1]})"


def _listed(names: list[str]) -> str:
    return units.listed(names) if len(names) <= FEW else units.count(len(names), "variant")


def variant_of(row: CellRow | ContrastRow) -> str:
    """The variant's value, or the scenario where it has none."""
    name = row.variant if row.variant is not None else row.scenario
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
