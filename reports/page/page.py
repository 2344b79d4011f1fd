"""The page: one self-contained HTML file that fetches nothing, and says nothing that summary.json does not."""

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup

from harness.common.startup import program
from harness.journal.run_directory import RunDir, write_whole
from reports.analysis.summary import summarise
from reports.analysis.warnings import ABOVE_CEILING
from reports.figures.contrasts import case_names, side_forests, variant_forest
from reports.figures.ranks import rank_plot
from reports.figures.section import sections
from reports.page import many_ranks
from reports.page.chapter import solutions
from reports.page.contents import contents
from reports.page.drawings import MOST_DETAILED, drawings
from reports.page.markup import environment
from reports.page.why import why
from reports.schema.cases import RankRow
from reports.schema.summary import SideFacts, Summary
from reports.text import units
from reports.text.labels import FEW
from reports.text.units import flat
from reports.wording.claims import SINGLE, leading
from reports.wording.commands import ELSEWHERE
from reports.wording.sentences import WORDS

GLYPHS = {
    "ok": "\N{MIDDLE DOT}",
    "unchecked": "?",
    "wrong": "\N{BALLOT X}",
    "oom": "M",
    "error": "!",
    "died": "\N{DAGGER}",
    "hang": "\N{INFINITY}",
    "skipped": "\N{EN DASH}",
    "missing": "\N{WHITE CIRCLE}",
}
"""Each state's sign on the strip: never told by colour alone."""

ALONE = program(1, None)
"""What command lines begin with where a run starts its own ranks."""
CLAIMS = 10
"""Claims that open the page; where there are more, the rest are folded in below them."""


URGENT = ("failure", "caveat", "load")
"""Kinds of claims that stand before the chapter: they bear on every answer."""
LONG = 40
"""Rows, of which a table of more is folded."""
LINKS = 8
"""Comparisons that an answer names at most."""
SPREAD_LEVELS = (0.0, 0.05, 0.5, 0.95, 1.0)
"""Quantiles that a table has."""


def write(run: RunDir) -> Summary:
    """Write a run's summary.json and report.html; return the former."""
    summary = summarise(run)
    write_whole(run.summary_path, summary.to_json())
    write_whole(run.page_path, render(summary, run.root))
    return summary


def render(summary: Summary, root: Path) -> str:
    """The page as text. It depends on the summary alone: what that says is shown, and two renderings are equal."""
    parts = sections(summary)
    solved = solutions(summary)
    urgent = tuple(claim for claim in summary.claims if solved and claim.kind in URGENT)
    others = tuple(claim for claim in summary.claims if claim not in urgent)
    many = len(parts) > FEW
    first = tuple(claim for claim in others if claim.kind not in SINGLE) if many and solved else leading(others, CLAIMS)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            s=summary,
            title=_title(summary),
            contents=contents(summary, parts, solved) if len(parts) + len(solved) > FEW else (),
            urgent=urgent,
            solutions=solved,
            kinds={
                "speedup": any(figure.speedup for answered in solved for figure in answered.figures),
                "crossing": any(answered.row.crossings for answered in solved),
            },
            unanswered=sum(not solution.row.answered for solution in solved),
            exercise_ids={solution.row.exercise: solution.id for solution in solved},
            claims=first,
            more=tuple(claim for claim in others if claim not in first),
            sections=parts,
            many=many,
            ranks=Markup(rank_plot(many_ranks.drawn(summary.ranks), "ranks")),  # noqa: S704 - our own SVG
            rank_limits=_limits(summary.ranks),
            one_limit=len({round(row.limit, 2) for row in summary.ranks}) == 1,
            rank_table=many_ranks.rank_table(summary.ranks),
            folded=many_ranks.folded(summary),
            places=many_ranks.places,
            cores=many_ranks.cores,
            why=why(summary, parts),
            profiled={(row.comparison, row.key): row for row in summary.profiles},
            environment=tuple(flat(summary.environment or {})),
            differences=partial(_differences, summary),
            commands=_commands(summary, root),
            glyphs=GLYPHS,
            words=WORDS,
            LINKS=LINKS,
            LONG=LONG,
            drawings={part.id: drawings(part, many=len(parts) > MOST_DETAILED) for part in parts},
            forest=variant_forest(summary),
            side_forests=side_forests(summary),
            case_names=case_names(summary),
            SPREAD_LEVELS=SPREAD_LEVELS,
            ABOVE_CEILING=ABOVE_CEILING,
        )
    )


def _title(summary: Summary) -> str:
    names = list(dict.fromkeys(about.scenario for about in summary.about))
    scenarios = units.listed(names) if len(names) <= FEW else units.count(len(names), "scenario")
    devices = len(set(summary.run.devices))
    kinds = list(dict.fromkeys(summary.run.device_names))
    spread = summary.run.sides[0].ranks_per_host if summary.run.sides else ()
    where = f" of {len(spread)} hosts" if len(spread) > 1 else ""
    noun = "device" if summary.run.emulated is None else "emulated device"
    return f"{scenarios} on {units.count(devices, noun)}{where}" + (f" ({units.listed(kinds)})" if kinds else "")


def _limits(rows: Sequence[RankRow]) -> str:
    """The limits beyond which ranks are named, e.g. ``1.10×`` or ``1.10× to 1.24×``."""
    ends = (end((row.limit for row in rows), default=1.0) for end in (min, max))
    return " to ".join(dict.fromkeys(units.times(limit) for limit in ends))


def _differences(summary: Summary, other: SideFacts) -> list[tuple[str, str]]:
    """What another side has otherwise than the first: of its ranks' variables, and of its environment beside them."""
    ours, theirs = summary.run.sides[0].variables, other.variables
    changed = {
        name: theirs.get(name, "unset") for name in sorted({**ours, **theirs}) if ours.get(name) != theirs.get(name)
    }
    telemetry = (summary.environment or {}).get("sides", {}).get(other.name, {})
    return [*flat({name: value for name, value in telemetry.items() if name != "variables"}), *changed.items()]


def _commands(summary: Summary, root: Path) -> list[tuple[str, str]]:
    run = shlex.quote(str(root))
    bad = any(cell.failed or cell.status == "missing" for cell in summary.strip)
    begin = summary.run.program
    printed = bad and "torchrun" in summary.run.launcher and begin == ALONE
    where = ", on each host (… stands for the options of the rendezvous)" if "…" in begin else ""
    return [
        (f"measure again{where}", _elsewhere(summary.run.command, begin)),
        *([(f"measure again what is not ok{where}", f"{begin} run --resume {run} --retry-failed")] if bad else []),
        *([("see what the ranks printed", f"ls {run}/logs")] if printed else []),
        ("rebuild this page", f"rankbench report {run}"),
        ("every sample as a table", f"rankbench export {run} --format csv"),
    ]


def _elsewhere(command: str, begin: str) -> str:
    """A command line without the run directory, which it has filled already; as it is, where no shell could read it.

    Under torchrun, which needs one, with another.
    """
    if not command.startswith(begin):
        return command
    try:
        words = shlex.split(command.removeprefix(begin))
    except ValueError:
        return command
    for place in [place for place, word in enumerate(words) if word == "--out"][::-1]:
        del words[place : place + 2]
    words = [word for word in words if not word.startswith("--out=")]
    return f"{begin} {shlex.join(words if begin == ALONE else [*words, '--out', ELSEWHERE])}"
