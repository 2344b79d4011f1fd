"""Everything of a summary that sentences are made of, and the run in one line."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.schema.cases import CellRow, ContrastRow, FloorRow, RankRow, SideRow
from reports.schema.diagnostics import LossRow
from reports.schema.summary import ExerciseRow, Planned, ProfileRow, RunFacts
from reports.statistics.verdicts import limit_in_words
from reports.text import units
from reports.text.labels import Labels
from reports.wording.sentences import WORDS

MANY = 4
"""From so many exercises on a run is told by what it answers, and not by how far its cases scale."""


@dataclass(frozen=True)
class Findings:
    """All rows of a summary that sentences are made of."""

    run: RunFacts
    strip: tuple[Planned, ...]
    cells: tuple[CellRow, ...]
    telemetry: tuple[CellRow, ...]
    """The cells of the run's other sides."""
    sides: tuple[SideRow, ...]
    comparisons: tuple[ContrastRow, ...]
    floors: tuple[FloorRow, ...]
    ranks: tuple[RankRow, ...]
    losses: tuple[LossRow, ...]
    profiles: tuple[ProfileRow, ...] = ()


def headline(found: Findings, chapter: Sequence[ExerciseRow]) -> str:
    """The run in one line: what it answers, how far it scales, or what it compared; and whether all of it is ok."""
    bad = [cell for cell in found.strip if cell.status != "ok"]
    planned = units.count(len(found.strip), "planned cell")
    if bad:
        health = f"{len(bad)} of {planned} {'is' if len(bad) == 1 else 'are'} not ok"
    else:
        health = f"all {planned} are ok" if len(found.strip) > 1 else "the one planned cell is ok"
    emulated = "Emulated: " if found.run.emulated is not None else ""
    return f"{emulated}{_answers(chapter) if len(chapter) >= MANY else _outcome(found)}; {health}."


def _answers(chapter: Sequence[ExerciseRow]) -> str:
    whole = sum(row.answered for row in chapter)
    told = "All" if whole == len(chapter) else f"{whole} of"
    return f"{told} {units.count(len(chapter), 'exercise')} {'is' if whole == 1 else 'are'} answered in full"


def _duel(rows: Sequence[SideRow]) -> str:
    """What came of a duel: of its one case, or of how many."""
    row = rows[0]
    if len(rows) == 1:
        ratio = f", {units.change(row.ratio)} time" if row.ratio is not None else ""
        ratio += f", {limit_in_words(row)}" if row.verdict == "equivalent" else ""
        sure = "" if row.verdict != "slower" or row.confirmed else ", not confirmed"
        return f"`{row.side}` against `{row.reference}`: {WORDS[row.verdict]}{ratio}{sure}"
    told = [WORDS[each.verdict] for each in rows]
    counted = [f"{told.count(word)} {word}" for word in WORDS.values() if word in told]
    return f"`{row.side}` against `{row.reference}`: of {units.count(len(rows), 'case')} {units.listed(counted)}"


def _outcome(found: Findings) -> str:
    if any(row.control for row in found.sides):
        return _duel([row for row in found.sides if not row.control])
    names = Labels.of(found.cells)
    scaled = [
        row for row in found.cells if row.speedup is not None and row.scaling != "none" and not row.below_resolution
    ]
    if scaled:
        most = max(row.world_size for row in scaled)
        best = sorted((row for row in scaled if row.world_size == most), key=lambda row: row.speedup or 0)
        return f"On {units.count(most, 'device')}: {_between(best, names)}"
    verdicts = [WORDS[row.verdict] for row in found.comparisons]
    counted = [f"{verdicts.count(word)} {word}" for word in dict.fromkeys(WORDS.values()) if word in verdicts]
    if counted:
        return f"Variants against their baselines: {units.listed(counted)}"
    timed = sum(row.median_s is not None for row in found.cells)
    return f"{units.count(timed, 'case')} timed on {units.count(max(found.run.world_sizes), 'device')}"


def _between(rows: Sequence[CellRow], names: Labels) -> str:
    """The speed-ups of sorted rows; who is first and last is only said where their intervals are apart."""
    least, most = rows[0], rows[-1]
    ends = [units.times(row.speedup) for row in (least, most)]
    if len(rows) == 1:
        return f"{ends[0]} (`{names.case(least)}`)"
    if least.speedup_high is None or most.speedup_low is None or least.speedup_high >= most.speedup_low:
        return f"{' to '.join(dict.fromkeys(ends))} in {units.count(len(rows), 'case')}, which are not told apart"
    return f"from {ends[0]} (`{names.case(least)}`) to {ends[1]} (`{names.case(most)}`)"
