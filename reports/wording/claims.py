"""Claims: one sentence for everything that a run shows, and for what it cannot show; and the run in one line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from harness.journal.measurement_warnings import Kind
from reports.reading.run import Spread, words
from reports.schema.cases import FLOORS, Caution, CellRow, ContrastRow, SideRow
from reports.schema.summary import Claim, ExerciseRow, ProfileRow, SideFacts, Summary
from reports.statistics.estimates import FEWEST_LAUNCHES
from reports.statistics.verdicts import limit_in_words
from reports.text import labels, units
from reports.text.labels import Labels
from reports.wording.causes import because
from reports.wording.hosts import host_claims
from reports.wording.outcomes import failures
from reports.wording.ranks import rank_claims
from reports.wording.sentences import WORDS, comparison, implausible, scaling, sides

MANY = 4
"""From so many exercises on a run is told by what it answers, and not by how far its cases scale."""
LISTED = 3
"""So many exercises that are not answered in full are named in the headline."""
STRANGE = 4
"""So many differences between two hosts are said."""


def placements(sides: tuple[SideFacts, ...]) -> Iterator[Claim]:
    """Sentences for each side whose launches differ in it, that differs from the first one, or whose ranks gave way."""
    for side in sides:
        whose = f" of `{side.name}`" if len(sides) > 1 else ""
        texts = (
            *_launches(side, f"launches{whose}"),
            *_strange_hosts(side),
            *_against(sides[0], side),
            *_behind(side, f"ranks{whose}"),
        )
        yield from (Claim(kind="caveat", text=text) for text in texts)


def _launches(side: SideFacts, them: str) -> Iterator[str]:
    spreads: dict[Spread, set[int]] = {}
    for layout in side.layouts:
        spreads.setdefault(layout.ranks_per_host, set()).update(layout.launches)
    if len(spreads) > 1:
        counted = ((words(spread), len(launches)) for spread, launches in spreads.items())
        told = units.listed([f"{spread} in {units.count(n, 'launch')}" for spread, n in counted])
        yield f"Not all {them} had as many ranks on each host, so they are not of one series: {told}."
    elif len(side.layouts) > 1:
        yield f"Not all {them} were on the same hosts: what tells launches apart is hosts too."


def _against(first: SideFacts, side: SideFacts) -> Iterator[str]:
    if side.ranks_per_host and first.ranks_per_host and side.ranks_per_host != first.ranks_per_host:
        told = units.listed([f"{words(each.ranks_per_host)} on `{each.name}`" for each in (first, side)])
        yield f"What tells `{side.name}` from `{first.name}` is the number of ranks a host too: {told}."


def _strange_hosts(side: SideFacts) -> Iterator[str]:
    """Hosts that are set up otherwise than rank 0's."""
    first = side.layouts[0].hosts[0] if side.layouts else "rank 0's host"
    for host, its in side.strange_hosts.items():
        names = [f"`{labels.plain(name)}` is {labels.plain(value)}" for name, value in its.items()]
        more = f" and {len(names) - STRANGE} more" if len(names) > STRANGE else ""
        told = ", ".join(names[:STRANGE])
        what = f"`{labels.plain(host)}` is not set up as `{first}` is: there {told}{more}"
        yield f"{what}. Set them up alike: figures are of both."


def _behind(side: SideFacts, them: str) -> Iterator[str]:
    if side.niceness > 0:
        remedy = (
            "start the cluster's nodes with `RAY_worker_niceness=0`"
            if side.launcher == "ray"
            else "start it without `nice`"
        )
        yield f"The {them} had a niceness of {side.niceness}, so that other processes went first: {remedy}."


def profile_claims(rows: Iterable[ProfileRow]) -> Iterator[Claim]:
    """A warning where traces are missing."""
    rows = list(rows)
    missing = [row for row in rows if row.message]
    if missing:
        first = missing[0]
        who = f"{len(missing)} of {units.count(len(rows), 'case')} {'has' if len(missing) == 1 else 'have'} no profile"
        text = f"{who}, e.g. `{labels.plain(first.key)}`: {first.message}."
        yield Claim(kind="caveat", text=text)


def claims(summary: Summary) -> tuple[Claim, ...]:
    """Failures first, then scaling, comparisons, and what stands behind them."""
    names = Labels.of(summary.first)
    lost = {(row.comparison, row.key): row for row in summary.losses}
    return (
        *_caveats(summary),
        *placements(summary.run.sides),
        *failures(summary, names),
        *host_claims(summary.hosts),
        *sides(summary.sides),
        *_precision(summary, names),
        *(
            scaling(row, names, lost.get((row.comparison, row.key)))
            for row in _widest(summary.first)
            if row.efficiency is not None
        ),
        *(comparison(row, names) for row in _widest(summary.comparisons)),
        *_load(summary.first),
        *rank_claims(summary.first, summary.ranks),
        *_telemetry(summary.others),
        *profile_claims(summary.profiles),
        *_floor(summary),
    )


SINGLE = ("scaling", "comparison")
"""Kinds of claims on single cases: of many comparisons with a chapter they are not told before the rest."""

DISTURBED = {
    Kind.FOREIGN_LOAD: "Other processes disturbed",
    Kind.FEW_SAMPLES: "There are few samples in",
    Kind.COMMUNICATION_THREADS: "gloo's own threads held steps up in",
    Kind.CPU_THROTTLED: "A CPU quota held ranks back in",
    Kind.HOST_BOUND: "The host, and not the device, sets the time of",
}

ELSEWHERE = (Kind.FEW_LAUNCHES, Kind.SHARED_DEVICE, Kind.RANK_SKEW, Kind.BELOW_RESOLUTION)
"""Kinds of warnings with claims of another kind."""
FREQUENT = 0.1
"""A warning in this share of the cases, or in more, has a sentence."""

Row = TypeVar("Row", CellRow, ContrastRow)


def _widest(rows: tuple[Row, ...]) -> list[Row]:
    """The most devices first, else in planned order."""
    return sorted(rows, key=lambda row: -row.world_size)


def leading(claims: tuple[Claim, ...], most: int) -> tuple[Claim, ...]:
    """At most so many claims, in order: where there are too many, single cases of scaling and comparison give way."""
    if len(claims) <= most:
        return claims
    scaled, compared = (
        [place for place, claim in enumerate(claims) if claim.kind == kind] for kind in ("scaling", "comparison")
    )
    room = max(most - (len(claims) - len(scaled) - len(compared)), 2)
    first = min(max(room - len(compared), -(-room // 2)), len(scaled))
    dropped = {*scaled[first:], *compared[room - first :]}
    return tuple(claim for place, claim in enumerate(claims) if place not in dropped)


def _caveats(summary: Summary) -> Iterator[Claim]:
    if (emulated := summary.run.emulated) is not None:
        text = f"The devices are emulated: all times are of planted clocks, not of this machine ({emulated})."
        yield Claim(kind="caveat", text=text)
    if summary.run.shared_device:
        yield Claim(kind="caveat", text="Several ranks shared one device, so nothing here is a scaling figure.")
    if summary.run.launches_done < summary.run.launches_planned:
        planned = units.count(summary.run.launches_planned, "planned launch", "planned launches")
        told = f"{summary.run.launches_done} of {planned}"
        yield Claim(kind="caveat", text=f"The run is not whole: {told} took place in full.")
    timed = [row for row in summary.first if row.launches]
    few = [row for row in timed if row.launches < FEWEST_LAUNCHES]
    if few:
        told = units.count(max(row.launches for row in few), "launch")
        who = (
            f"With {told} there are"
            if few == timed
            else f"For {units.count(len(few), 'case')} of {len(timed)} there are"
        )
        option = "--turns" if summary.is_duel else "--launches"
        need = f"they need {FEWEST_LAUNCHES} launches (`{option} {FEWEST_LAUNCHES}`)"
        text = f"{who} no intervals and no verdicts: {need}."
        yield Claim(kind="caveat", text=text)


def _precision(summary: Summary, names: Labels) -> Iterator[Claim]:
    """Whether intervals became as narrow as they were to be: those of times, or in a duel those of ratios."""
    if summary.run.precision is None:
        return
    launches = units.count(summary.run.launches_done, "launch")
    wanted = f"±{units.percent(summary.run.precision)}"
    duel = summary.is_duel
    what = "ratio" if duel else "time"
    widths = dict(_ratio_widths(summary.sides) if duel else _time_widths((*summary.first, *summary.others), names))
    known = {where: width for where, width in widths.items() if width is not None}
    if not known:
        yield Claim(kind="caveat", text=f"{wanted} was wanted, and no {what} has an interval after {launches}.")
        return
    widest = max(known, key=lambda where: known[where])
    own = f"±{units.percent(known[widest])}"
    bare = [where for where, width in widths.items() if width is None]
    if known[widest] > summary.run.precision:
        text = f"Not all {what}s are within {wanted}, as wanted: {widest} is within {own} after {launches}."
        text += " A longer `--budget` adds more."
    elif bare:
        text = f"Not all {what}s are known to be within {wanted}: {bare[0]} has no interval after {launches}."
    else:
        text = f"After {launches} all {what}s are within {wanted}, as wanted; the widest, {own}, is {widest}."
    yield Claim(kind="caveat", text=text)


def _time_widths(rows: Iterable[CellRow], names: Labels) -> Iterator[tuple[str, float | None]]:
    """Each case with a time, and half the width of its interval over it; None where it has none."""
    rows = list(rows)
    several = len({row.side for row in rows}) > 1
    for row in rows:
        if row.median_s is not None:
            side = f", `{row.side}`" if several else ""
            known = row.ci_low_s is not None and row.ci_high_s is not None
            width = ((row.ci_high_s or 0.0) - (row.ci_low_s or 0.0)) / (2 * row.median_s) if known else None
            yield f"`{names.case(row)}` on {units.count(row.world_size, 'device')}{side}", width


def _ratio_widths(rows: Iterable[SideRow]) -> Iterator[tuple[str, float | None]]:
    for row in rows:
        if row.ratio is not None:
            known = row.ratio_low is not None and row.ratio_high is not None
            width = ((row.ratio_high or 0.0) - (row.ratio_low or 0.0)) / (2 * row.ratio) if known else None
            yield f"`{labels.plain(row.key)}` on `{row.side}`", width


def _load(cells: tuple[CellRow, ...]) -> Iterator[Claim]:
    """A sentence for each disturbance and each frequent warning, most frequent first; and one for all the others."""
    by_kind: dict[Kind, list[Caution]] = {}
    for caution in (caution for row in cells for caution in row.warnings):
        by_kind.setdefault(caution.kind, []).append(caution)
    others, all_cases = [], units.count(len(cells), "case")
    for kind, cautions in sorted(by_kind.items(), key=lambda each: -len(each[1])):
        cases = f"{len(cautions)} of {all_cases}"
        fact = labels.plain(cautions[0].fact).replace(": e.g. ", ": ")
        if kind in DISTURBED or (kind not in ELSEWHERE and len(cautions) >= FREQUENT * len(cells)):
            have = "has" if len(cautions) == 1 else "have"
            what = f"{DISTURBED[kind]} {cases}" if kind in DISTURBED else f"{cases} {have} the warning `{kind}`"
            yield Claim(kind="load", text=f"{what}, e.g. {fact}: {kind.remedy}.")
        elif kind not in ELSEWHERE:
            others.append(f"`{kind}` in {len(cautions)}")
    if others:
        yield Claim(kind="load", text=f"Other warnings, of {all_cases}: {units.listed(others)}.")


def _telemetry(cells: tuple[CellRow, ...]) -> Iterator[Claim]:
    """The warnings of the sides that no table shows."""
    for side in dict.fromkeys(row.side for row in cells):
        own = [row for row in cells if row.side == side]
        counted = Counter(kind for row in own for kind in sorted({caution.kind for caution in row.warnings}))
        if counted:
            told = [f"{kind} in {count} of {units.count(len(own), 'case')}" for kind, count in counted.items()]
            yield Claim(kind="load", text=f"On `{side}` there are warnings, too: {units.listed(told)}.")


def _floor(summary: Summary) -> Iterator[Claim]:
    if not summary.floors:
        return
    least, most = (end(row.median_s for row in summary.floors) for end in (min, max))
    floor = units.seconds(most) if units.seconds(least) == units.seconds(most) else f"at most {units.seconds(most)}"
    floors = {(row.comparison, row.world_size): FLOORS * row.median_s for row in summary.floors}
    below = [row for row in summary.first if row.below_resolution]
    under = sum((row.median_s or 0.0) <= floors.get((row.comparison, row.world_size), 0.0) for row in below)
    reach = f"{units.count(under, 'case')} below resolution" if under else "no time here is within its reach"
    if len(below) > under:
        reach += f"; {units.count(len(below) - under, 'case')} within reach of the device’s own marks"
    yield Claim(kind="floor", text=f"A step that does nothing takes {floor}: {reach}.")


def headline(summary: Summary) -> str:
    """The run in one line: what it answers, how far it scales, or what it compared; and whether all of it is ok."""
    bad = [cell for cell in summary.strip if cell.failed or cell.status == "missing"]
    skipped = sum(cell.by_design for cell in summary.strip)
    planned = units.count(len(summary.strip), "planned cell")
    if bad:
        health = f"{len(bad)} of {planned} {'is' if len(bad) == 1 else 'are'} not ok"
    elif skipped:
        health = f"{len(summary.strip) - skipped} of {planned} are ok, {skipped} skipped by design"
    elif any(cell.status == "unchecked" for cell in summary.strip):
        health = f"{planned} measured, none of them checked"
    else:
        health = f"all {planned} are ok" if len(summary.strip) > 1 else "the one planned cell is ok"
    emulated = "Emulated: " if summary.run.emulated is not None else ""
    return f"{emulated}{_answers(summary.chapter) if len(summary.chapter) >= MANY else _outcome(summary)}; {health}."


def _answers(chapter: Sequence[ExerciseRow]) -> str:
    whole = sum(row.answered for row in chapter)
    how_many = "All" if whole == len(chapter) else f"{whole} of"
    missing = [row.exercise for row in chapter if not row.answered]
    which = f", but for {units.listed(missing)}" if 0 < len(missing) <= LISTED else ""
    return f"{how_many} {units.count(len(chapter), 'exercise')} {'is' if whole == 1 else 'are'} answered in full{which}"


def _duel(rows: Sequence[SideRow]) -> str:
    """What came of a duel: of its one case, or of how many."""
    row = rows[0]
    if len(rows) == 1:
        ratio = f", {units.change(row.ratio)} time" if row.ratio is not None else ""
        ratio += f", {limit_in_words(row)}" if row.verdict == "equivalent" else ""
        sure = "" if row.verdict != "slower" or row.confirmed else ", not confirmed"
        return f"`{row.side}` against `{row.reference}`: {WORDS[row.verdict]}{ratio}{sure}"
    verdicts = [WORDS[each.verdict] for each in rows]
    counted = [f"{verdicts.count(word)} {word}" for word in WORDS.values() if word in verdicts]
    return f"`{row.side}` against `{row.reference}`: of {units.count(len(rows), 'case')} {units.listed(counted)}"


def _outcome(summary: Summary) -> str:
    if summary.is_duel:
        return _duel([row for row in summary.sides if not row.control])
    names = Labels.of(summary.first)
    scaled = [row for row in summary.first if row.scaled]
    if scaled:
        most = max(row.world_size for row in scaled)
        widest = sorted((row for row in scaled if row.world_size == most), key=lambda row: row.speedup or 0)
        sound = [row for row in widest if not implausible(row)]
        suspect = len(widest) - len(sound)
        parts = [_between(sound, names)] if sound else []
        parts += [f"{suspect} suspect {'speed-up' if suspect == 1 else 'speed-ups'}"] if suspect else []
        return f"On {units.count(most, 'device')}: {'; '.join(parts)}{because(summary.causes)}"
    verdicts = [WORDS[row.verdict] for row in summary.comparisons]
    counted = [f"{verdicts.count(word)} {word}" for word in dict.fromkeys(WORDS.values()) if word in verdicts]
    if counted:
        return f"Variants against their baselines: {units.listed(counted)}"
    timed = sum(row.median_s is not None for row in summary.first)
    return f"{units.count(timed, 'case')} timed on {units.count(max(summary.run.world_sizes), 'device')}"


def _between(rows: Sequence[CellRow], names: Labels) -> str:
    """The speed-ups of sorted rows; who is first and last is only said where their intervals are apart."""
    least, most = rows[0], rows[-1]
    ends = [units.times(row.speedup) for row in (least, most)]
    if len(rows) == 1:
        return f"{ends[0]} (`{names.case(least)}`)"
    if least.speedup_high is None or most.speedup_low is None or least.speedup_high >= most.speedup_low:
        return f"{' to '.join(dict.fromkeys(ends))} in {units.count(len(rows), 'case')}, which are not told apart"
    return f"from {ends[0]} (`{names.case(least)}`) to {ends[1]} (`{names.case(most)}`)"
