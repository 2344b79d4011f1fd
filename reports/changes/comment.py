"""A comparison of two runs as a comment on a pull request: the verdict, what is worse, and the rest folded away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reports import github_markdown as md
from reports import units
from reports.changes import sentences
from reports.changes.headline import outcome
from reports.changes.rows import ChangeRow, Changes
from reports.labels import Labels
from reports.verdicts import limit_in_brief

HEAD = ("case", "devices:", "BASE:", "NEW:", "NEW / BASE:", "in cycles:", "margin:", "verdict")
WORDS = {"broken": "**broken**", "slower": "**slower**", "unconfirmed": "slower*", "equivalent": "no difference"}
"""Outcomes that are said otherwise."""


def comment(changes: Changes) -> str:
    """The comment, below GitHub's limit."""
    called = sentences.names(changes)
    worse = [row for row in changes.cases if row.broken or row.confirmed]
    others = [row for row in changes.cases if row not in worse]
    opening = [
        f"### {changes.headline}",
        "",
        f"{md.sentence(sentences.differing(changes))} {sentences.machine(changes)}",
        *(f"\n{md.sentence(text)}" for text in changes.remarks),
    ]
    told = [(broken, f"- {md.sentence(text)}") for broken, text in sentences.reasons(changes)]
    blocks = [
        md.Block(list(_rows(worse, called)), md.head(*HEAD)),
        md.Block([text for broken, text in told if broken]),
        md.Block(list(_rows(others, called)), md.head(*HEAD), f"{units.count(len(others), 'other case')}", not worse),
        md.Block([text for broken, text in told if not broken], title="Why others have no verdict"),
        md.Block([*filter(None, [sentences.gate(changes)])], title="How it is judged"),
    ]
    return md.fitted(opening, blocks, md.COMMENT, "`--format json` has them all.")


def _rows(rows: Iterable[ChangeRow], called: Labels) -> Iterator[str]:
    for row in rows:
        name, found = outcome(row), row.ratio is not None
        yield md.row(
            md.code(called.case(row)),
            str(row.world_size),
            units.seconds(row.base_median_s),
            units.seconds(row.new_median_s),
            units.change(row.ratio, row.ratio_low, row.ratio_high) if found else "",
            sentences.cycles(row),
            limit_in_brief(row) if found else "",
            WORDS.get(name, name),
        )
