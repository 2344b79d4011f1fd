"""The terminal table at the widths that people have, and plain when piped."""

import io
import re

import pytest
from rich.console import Console

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Exercise
from reports.analysis.summary import summarise
from reports.formats import terminal
from tests import factories

KEY = "split[how=pieces,size=1024]@2"


def shown(run, width, *, colour=False):
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, force_terminal=colour, color_system="standard" if colour else None)
    terminal.show(summarise(run), console)
    return buffer.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits(tmp_path, width):
    outcomes = {(2, KEY): ("wrong", 1, "Tensor-likes are not close! " * 9)}
    run = factories.build(tmp_path / "run", sizes=(512, 1024), launches=6, outcomes=outcomes)
    text = shown(run, width)
    assert max(map(len, text.splitlines())) <= width
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("split size=1024")]
    (failed,) = [line for line in lines if "wrong (rank 1)" in line]
    assert "how=pieces" in failed
    assert " ms" not in failed
    scaled = [line for line in lines if line.startswith("  how=whole ") and "1.8" in line]
    assert ["[1.8" in line for line in scaled] == [width == 120] * 2
    assert "\x1b" not in text


def test_colour_only_on_a_terminal(tmp_path):
    run = factories.build(tmp_path / "run")
    assert "\x1b[" in shown(run, 100, colour=True)


def test_warnings_are_letters_with_a_legend(tmp_path):
    text = shown(factories.build(tmp_path / "run", launches=2), 120)
    rows = [line for line in text.splitlines() if line.startswith("  how=")]
    assert len(rows) == 4
    assert all(row.rstrip().endswith(" a") for row in rows)
    assert "a few-launches: use --launches 6 or more for an interval" in text


def test_no_letter_is_cut_where_there_is_little_room(tmp_path):
    kinds = (Kind.FOREIGN_LOAD, Kind.UNCOUNTED_WORK, Kind.CONSTANT_OPERANDS, Kind.ALLOCATOR_RETRIES)
    warnings = tuple(MeasurementWarning(kind=kind, rank=0, fact="it is so") for kind in kinds)
    keys = [f"split[how={how},size=1024]@{size}" for how in ("whole", "pieces") for size in (1, 2)]
    every = {(launch, key): warnings for launch in range(10) for key in keys}
    wrong = {(2, KEY): ("wrong", 1, "no")}  # with whom nothing is comparable, which is a long word
    run = factories.build(tmp_path / "run", launches=10, done=9, warnings=every, outcomes=wrong)
    lines = shown(run, 80).splitlines()
    letters = "".join(line.split()[0] for line in lines if re.match(r" *[a-z] [a-z-]+: ", line))
    assert len(letters) >= 4
    rows = [line for line in lines if line.startswith("  how=")]
    assert len(rows) == 4
    assert all(row.rstrip().endswith(letters) for row in rows if "wrong" not in row), rows


def test_what_is_missing_is_counted_beside_the_time(tmp_path):
    text = shown(factories.build(tmp_path / "run", launches=8, done=3), 120)
    assert text.count(" missing, 3 of 8") == 4


def test_baseline_and_verdict_stand_in_their_rows(tmp_path):
    lines = shown(factories.build(tmp_path / "run"), 120).splitlines()
    rows = [line for line in lines if line.startswith("  how=")]
    assert ["baseline" in row for row in rows] == [True, False, True, False]
    assert ["slower +" in row for row in rows] == [False, True, False, True]


def test_markup_in_names_is_text(tmp_path):
    outcomes = {(0, KEY): ("error", 0, "[red]boom[/red] [/]")}
    text = shown(factories.build(tmp_path / "run", outcomes=outcomes), 120)
    assert "[red]boom[/red] [/]" in text


@pytest.mark.parametrize("width", range(80, 131, 5))
def test_no_width_cuts_a_mark_off(tmp_path, width):
    """A table that is too wide by one letter once lost its last column, which is the warnings."""
    run = factories.build(tmp_path / "run", sizes=(512, 1024), drift=0.3, slow_ranks={1: 1.3}, probes=False, rounds=4)
    rows = [line for line in shown(run, width).splitlines() if line.startswith("  how=")]
    assert [row.split()[-1] for row in rows] == ["a", "a", "ab", "ab"] * 2


TASK = "A task."
ANSWER = "A `list` registers {whole.parameters}; pieces are {pieces.versus}, and {pieces.tme}. " * 2


@pytest.mark.parametrize("width", [80, 120])
def test_answers_stand_behind_their_numbers(tmp_path, width):
    exercises = (Exercise(number="5.1.1", task=TASK, answer=ANSWER), Exercise(number="5.10.2", task=TASK, answer=""))
    run = factories.build(tmp_path / "run", exercises=exercises, found=lambda *_: {"parameters": 8458})
    lines = shown(run, width).splitlines()
    assert max(map(len, lines)) <= width
    first = next(place for place, line in enumerate(lines) if line.startswith("  5.1.1 "))
    text = " ".join(line.strip() for line in lines[first : lines.index("", first)])
    assert text.startswith("5.1.1   A list registers 8458; pieces are slower than whole, with 5")
    assert "[not answered: pieces has no figure called tme]. A list" in text
    assert text.endswith("5.10.2  [not answered: the scenario has no sentence for it]")
    assert all(line.startswith(" " * 10) for line in lines[first + 1 : lines.index("", first) - 1])
    assert "\x1b" not in text


def test_a_chapter_of_many_comparisons_leaves_single_cases_to_the_page(tmp_path):
    run = factories.build(tmp_path / "run", sizes=(1, 2, 4, 8, 16), launches=6, rounds=4)
    text = shown(run, 80)
    assert "as fast as one device" not in text
    assert "20 more claims are on the page." in text
    assert "No rank is slower than its peers by more than" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
