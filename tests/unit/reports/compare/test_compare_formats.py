"""A comparison of two runs as people and machines read it."""

from __future__ import annotations

import io
import json
import re

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from harness.cli import app
from reports.compare.compare import compare
from reports.compare.render import comment, show
from reports.schema.compare import ChangeRow, Changes, Difference
from tests import factories, hostile

SMALL = {"rounds": 4, "visits": 1, "probes": False, "packed": False, "sizes": (512, 1024)}
PIECES, WHOLE = (f"split[how={how},size=1024]@2" for how in ("pieces", "whole"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    broken = {(3, WHOLE): ("wrong", 1, "Tensor-likes are not close! " * 9)}
    return [
        factories.build(root / "base", seed=1, **SMALL).root,
        factories.build(
            root / "new",
            seed=2,
            outcomes=broken,
            truth=lambda case: factories.work_time(case) * (1.2 if case.key == PIECES else 1),
            **SMALL,
        ).root,
    ]


@pytest.fixture(scope="module")
def changes(runs):
    return compare(*runs, None)


def shown(changes, width, *, colour=False):
    buffer = io.StringIO()
    system = "standard" if colour else None
    show(changes, Console(file=buffer, width=width, force_terminal=colour, color_system=system))
    return buffer.getvalue()


def as_html(text):
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_the_outcome_first(changes, width):
    text = shown(changes, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("NEW is worse than BASE. 8 cases: 1 broken, 1 slower and 6 without a difference.")
    rows = [line for line in lines if line.startswith("  how=")]
    assert len(rows) == 8
    assert re.search(r"how=pieces +2 79.\d.ms 95.\d.ms \+\d+\.?\d?.% \[\+[\d.]+, \+[\d.]+\] +5.% slower", rows[7])
    assert re.fullmatch(r"  how=whole +2 +– +– +broken *", rows[6])
    told = " ".join(line.strip() for line in lines)
    assert "split how=whole size=1024 on 2 devices: in NEW it is wrong in 1 of 6 launches (rank 1: Tensor" in told
    assert "Gate: 7 cases, corrected after Holm; p ≤ 0.00357 is found in any event, and 0.00108 can be reached." in told
    assert "Also different: seed 1 → 2." in told
    assert "\x1b" not in text


def test_colour_only_on_a_terminal(changes):
    assert "\x1b[31m" in shown(changes, 100, colour=True)


def test_the_json_is_the_whole_of_it(runs, changes, capsys):
    assert app.run_app(["compare", *map(str, runs), "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert Changes.model_validate(told) == changes


def test_the_comment_has_what_is_worse_first_and_folds_the_rest(runs, changes, capsys):
    assert app.run_app(["compare", *map(str, runs), "--format", "markdown"]) == 1
    text = capsys.readouterr().out
    assert text == comment(changes)
    lines = text.splitlines()
    assert lines[0] == f"### {changes.headline}"
    fold = next(place for place, line in enumerate(lines) if line.startswith("<details>"))
    before = "\n".join(lines[:fold])
    assert before.count("**slower**") == before.count("**broken**") == 1
    assert "is wrong in 1 of 6 launches" in before
    assert "<details><summary>6 other cases</summary>" in text
    assert as_html(text).count("<tr>") == 2 + 8


def with_rows(changes, count, **told):
    """As many cases as that, each with the same foreign text."""
    row = next(row for row in changes.cases if row.broken)
    rows = tuple(ChangeRow(**(row.model_dump() | told)) for _ in range(count))
    return changes.model_copy(update={"cases": rows})


def test_a_comment_never_outgrows_githubs_limit(changes):
    told = {"params": {"what": hostile.LONG}, "reason": hostile.LONG}
    for count in (1, 50, 3000):
        text = comment(with_rows(changes, count, **told))
        assert len(text.encode()) < 65_536
        assert text.startswith("### NEW is worse")
        assert text.count("<details") == text.count("</details>")
    assert re.search(r"\d{4} rows left out for want of room: `--format json` has them all\.", text)


def test_foreign_text_does_nothing_in_a_comment(changes):
    told = {
        "scenario": hostile.EVERYTHING,
        "variant": hostile.EVERYTHING,
        "reason": f"in NEW it broke ({hostile.EVERYTHING})",
    }
    there = Difference(name="variables.NCCL_X", base=hostile.MARKDOWN, new=hostile.MARKUP)
    text = comment(with_rows(changes, 2, **told).model_copy(update={"differences": (there,)}))
    assert all(each.isprintable() or each == "\n" for each in text.replace("\u200b", ""))
    html = as_html(text)
    ours = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "ul", "li", "details", "summary"}
    assert set(re.findall(r"<(\w+)", html)) <= ours
    assert html.count("<tr>") == 1 + 2
    assert html.count("<h3>") == 1
    outside = re.sub(r"(?<!\\)`[^`\n]*`", "", text)
    assert not re.search(r"(?<!\\)://|www\.|@\w", outside)


def test_foreign_text_does_nothing_in_a_terminal(tmp_path):
    """From the file on: what a scenario is called, and what its check says."""
    like = SMALL | {"sizes": (512,), "variants": ("whole", hostile.EVERYTHING.replace("\ud800", ""))}
    key = f"split[how={like['variants'][1]},size=512]@2"
    outcomes = {(3, key): ("error", 0, like["variants"][1])}
    roots = [
        factories.build(tmp_path / str(seed), seed=seed, outcomes=outcomes if seed == 2 else {}, **like).root
        for seed in (1, 2)
    ]
    text = shown(compare(*roots, None), 100, colour=True)
    assert "[red]boom[/red]" in re.sub(r"\s+", " ", text)
    assert set(re.findall("\x1b.{0,5}?m", text)) <= {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[1;31m"}
    rest = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert all(each.isprintable() or each in "\n\xa0" for each in rest)
    assert "1 broken" in text
