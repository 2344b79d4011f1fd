"""A run in Markdown, for a comment on a pull request and for the summary of a GitHub job: failures first."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.common.errors import UsageError
from harness.journal.records import MEASURED
from harness.journal.run_directory import RunDir
from reports.analysis.summary import summarise
from reports.formats import markdown as md
from reports.schema.summary import Summary
from reports.text import units
from reports.text.labels import Labels
from reports.wording.claims import leading
from reports.wording.columns import Entry, columns, lines
from reports.wording.outcomes import Fate, outcomes

CLAIMS = 12
"""Sentences that are not folded away."""
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that a step's job summary is appended to."""
LEAST_ROOM = 4_000
"""Bytes without which nothing worth while fits."""


def comment(run: RunDir) -> str:
    """At most as long as a comment may be."""
    return markdown(summarise(run), md.COMMENT)


def job_summary(run: RunDir) -> str:
    """At most as long as a job summary may be, what the step has written to it before included."""
    path = Path(os.environ.get(SUMMARY_VARIABLE) or os.devnull)
    room = md.JOB_SUMMARY - (path.stat().st_size if path.is_file() else 0)
    if room < LEAST_ROOM:
        raise UsageError(f"${SUMMARY_VARIABLE}", f"{path} has no room left", None, "use --out")
    return markdown(summarise(run), room)


def markdown(summary: Summary, limit: int) -> str:
    """The run in at most ``limit`` bytes."""
    names = Labels.of(summary.cells)
    bad = [outcome for outcome in outcomes(summary) if outcome.status not in MEASURED]
    claims = [claim for claim in summary.claims if claim.kind != "failure"]
    first = leading(tuple(claims), CLAIMS)
    rest = [claim for claim in claims if claim not in first]
    answers = [f"- **{md.inert(row.exercise)}** {md.sentence(row.answer)}" for row in summary.chapter if row.answer]
    blocks = [
        md.Block([_failure(outcome) for outcome in bad], md.head("not ok", "what became of it")),
        md.Block([f"- {md.sentence(claim.text)}" for claim in first]),
        md.Block(list(_cases(summary, names)), _head(summary), units.count(len(summary.cells), "case"), not bad),
        md.Block(answers, title=units.count(len(answers), "exercise")),
        md.Block([f"- {md.sentence(claim.text)}" for claim in rest], title="More findings"),
        md.Block(list(_made(summary)), title="How it was measured"),
    ]
    opening = [f"### {md.sentence(summary.headline)}"]
    return md.fitted(opening, blocks, limit, "`summary.json` and `report.html` have it all.")


def _failure(outcome: Fate) -> str:
    return md.row(md.code(outcome.key), md.code(outcome.words))


def _head(summary: Summary) -> Sequence[str]:
    figures = (f"{column.heading}{':' * column.right}" for column in columns(summary))
    return md.head("case", "devices:", *figures, *(["on"] if len(summary.run.sides) > 1 else []))


def _cases(summary: Summary, names: Labels) -> Iterator[str]:
    several = len(summary.run.sides) > 1
    for line in lines(summary, summary.cells):
        figures = (_figure(column.entry(line, False)) for column in columns(summary))
        side = [md.code(line.row.side)] if several else []
        yield md.row(md.code(names.case(line.row)), str(line.row.world_size), *figures, *side)


def _figure(entry: Entry) -> str:
    if not entry.amiss:
        return entry.text
    return f"{entry.text} (**{entry.amiss}**)" if entry.text else f"**{entry.amiss}**"


def _made(summary: Summary) -> Iterator[str]:
    run = summary.run
    devices = f"{units.count(len(run.devices), 'device')}: {md.code(', '.join(dict.fromkeys(run.device_names)))}"
    yield f"- {md.code(run.command)}"
    yield f"- {devices}, {units.count(run.launches_done, 'launch')} of {run.launches_planned}"
    yield f"- rankbench {md.inert(run.version)}, environment {md.code(run.fingerprint or '')}"
    for name, value in (summary.environment or {}).get("software", {}).items():
        if name in ("torch", "cuda", "driver") and value is not None:
            yield f"- {name} {md.code(str(value))}"
