"""Sentences on single figures: how far a case scales, and how a variant compares with its baseline."""

from collections.abc import Iterator, Sequence

from harness.journal.measurement_warnings import Kind
from reports.schema.cases import CellRow, ContrastRow, InCycles, SideRow, Verdict
from reports.schema.diagnostics import LossRow
from reports.schema.summary import Claim
from reports.statistics.verdicts import limit_in_words
from reports.text import labels, units
from reports.text.labels import Labels

WORDS: dict[Verdict, str] = {
    "faster": "faster",
    "slower": "slower",
    "equivalent": "no difference",
    "undecided": "undecided",
    "not comparable": "not comparable",
}
"""Verdicts as they are said."""


ABOVE = (Kind.SUPERLINEAR, Kind.SPEEDUP_ABOVE_CEILING)
"""Warnings of a speed-up that is higher than the work or the machine allows."""


def scaling(row: CellRow, names: Labels, loss: LossRow | None) -> Claim:
    """How far one case scales, and where the rest went."""
    name = f"`{names.case(row)}` on {units.count(row.world_size, 'device')}"
    if row.below_resolution:
        text = f"{name}: below resolution, so nothing can be said about its scaling."
    else:
        launches = units.count(row.speedup_launches, "launch")
        lost = f" {loss.text}" if loss and loss.missing_s > loss.noise_s else ""
        reach = f"{_reach(row)} in {launches}{implausible(row)}{undecided(row)}{_against_ceiling(row)}"
        text = f"{name}: {reach}.{lost}{clocked(row.in_cycles)}"
    return Claim(kind="scaling", text=text, comparison=row.comparison)


def sides(rows: Sequence[SideRow]) -> Iterator[Claim]:
    """How each side compares with the first: in one sentence, and one more for each case that is not the same there."""
    for side in dict.fromkeys(row.side for row in rows):
        own = [row for row in rows if row.side == side]
        ratios = [row.ratio for row in own if row.ratio is not None]
        if own[0].control and ratios:
            text = f"`{own[0].reference}` against itself (`{side}`): {_ends(ratios)} time, which is noise."
            yield Claim(kind="side", text=text)
            continue
        counted = [f"{sum(row.verdict == kind for row in own)} {word}" for kind, word in WORDS.items()]
        opening = units.listed([each for each in counted if not each.startswith("0 ")])
        middle = f", {_ends(ratios)} time" if ratios else ""
        what = f"`{side}` against `{own[0].reference}`, in launches that took turns"
        yield Claim(kind="side", text=f"{what}: of {units.count(len(own), 'case')} {opening}{middle}.")
        duel = any(row.control for row in rows)
        yield from (_on_side(row) for row in own if row.verdict in ("faster", "slower") or (duel and _open(row, own)))


def _open(row: SideRow, own: Sequence[SideRow]) -> bool:
    """Whether a reader wants to see how far a case of a duel is from being decided; or it is the only one."""
    return row.ratio_low is not None and (row.verdict == "undecided" or len(own) == 1)


def _ends(ratios: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys([units.change(min(ratios)), units.change(max(ratios))]))


def _on_side(row: SideRow) -> Claim:
    change = units.change(row.ratio, row.ratio_low, row.ratio_high)
    sure = "" if row.verdict != "slower" or row.confirmed else ", not confirmed for so many cases"
    is_ = "shows" if row.verdict == "equivalent" else "is"
    what = f"`{labels.plain(row.key)}` {is_} {WORDS[row.verdict]} on `{row.side}`"
    opening = f"{what}: {change} time against `{row.reference}`"
    text = f"{opening} ({row.reason or limit_in_words(row)}{sure}).{clocked(row.in_cycles)}"
    return Claim(kind="side", text=text, comparison=row.comparison)


def clocked(found: InCycles | None) -> str:
    """A sentence more where seconds tell of the clock as well as of the code; else nothing."""
    if found is None or not found.disagrees:
        return ""
    ratio = units.times_between(found.ratio, found.ratio_low, found.ratio_high)
    ran = f"its devices ran at {units.percent(found.clock)} of the other's clock"
    return f" In clock cycles, which leave the clock out, it is {ratio}; {ran}."


def implausible(row: CellRow) -> str:
    """A clause more where a speed-up has a warning that it is higher than can be; else nothing."""
    kinds = [warning.kind for warning in row.warnings if warning.kind in ABOVE]
    return f", which is suspect ({', '.join(dict.fromkeys(kinds))})" if kinds else ""


def undecided(row: CellRow) -> str:
    """A clause more where the interval of a speed-up holds 1; else nothing."""
    low, high = row.speedup_low, row.speedup_high
    holds_1 = low is not None and high is not None and low <= 1 <= high
    return ", so it may be faster or slower" if holds_1 else ""


def _reach(row: CellRow) -> str:
    base = "one device" if row.base_world_size == 1 else units.count(row.base_world_size or 1, "device")
    step = f"at {units.seconds(row.median_s)} a step"
    before = f"({units.seconds(row.base_median_s)} on {base})"
    best = "" if row.divides else f" (at best {units.times(row.ideal_speedup)}, as its work divides)"
    if row.scaling == "strong":
        speedup = units.times_between(row.speedup, row.speedup_low, row.speedup_high)
        times = f"{units.seconds(row.base_median_s)} → {units.seconds(row.median_s)}"
        return f"{speedup} as fast as {base}{best}, {times} a step"
    if row.scaling == "weak":
        spread = units.percent_between(row.efficiency, row.efficiency_low, row.efficiency_high)
        return f"weak efficiency {spread}, {units.times(row.speedup)} the throughput{best}, {step} {before}"
    inverse = [1 / end if end else None for end in (row.efficiency, row.efficiency_high, row.efficiency_low)]
    return f"takes {units.times_between(*inverse)} the time of {base}, {step} {before}"


def _against_ceiling(row: CellRow) -> str:
    if row.speedup is None or row.reachable is None:
        return ""
    busy = f"{row.world_size} busy devices" if row.world_size > 2 else "two busy devices"
    reach = units.times_between(row.reachable, row.reachable_low, row.reachable_high)
    if not row.divides:
        busy = f"its division over {busy}"
    if row.speedup > row.reachable:
        return f"; a large product reaches {reach} on {busy} here" if row.divides else ""
    share, allows = units.percent(row.speedup / row.reachable), "reach" if row.divides else "allows"
    return f"; {share} of the {reach} that {busy} {allows} here"


def comparison(row: ContrastRow, names: Labels) -> Claim:
    """One variant against its baseline: a verdict and its grounds, and never a winner without a verdict."""
    scenario, _, params = names.comparison(row).partition(" ")
    own, base = (labels.plain(f"{row.variant_field}={variant}") for variant in (row.variant, row.baseline))
    name = " ".join(part for part in (scenario, own, params) if part)
    text = f"`{name}` against `{base}` on {units.count(row.world_size, 'device')}: {WORDS[row.verdict]}"
    return Claim(kind="comparison", text=f"{text}{_grounds(row)}.{clocked(row.in_cycles)}", comparison=row.comparison)


def _grounds(row: ContrastRow) -> str:
    if row.ratio is None or row.verdict == "not comparable":
        return f", because {row.reason}" if row.reason else ""
    change = units.change(row.ratio, row.ratio_low, row.ratio_high)
    return f" ({change} time, {row.reason or limit_in_words(row)})"
