"""When a number is shown: one rule for every renderer, as docs/definitions.md has it."""

import json

import pytest

from harness.journal.plan import Exercise
from reports.analysis.summary import summarise
from reports.formats.formats import FORMATS
from tests import factories

KEY = "split[how=pieces,size=1024]@2"
ASKED = (Exercise(number="5.1", task="A task.", answer="{pieces@most.time}"),)


def tiny(case):
    return 2e-6 if case.variant == "pieces" and case.gang_size == 2 else factories.work_time(case)


def case_of(path, states, **like):
    """The case's row, what the exports say of it, its verdict, and whether the exercise is answered."""
    outcomes = {(launch, KEY): (state, 0, "x") for launch, state in enumerate(states) if state != "ok"}
    run = factories.build(path / "run", outcomes=outcomes, exercises=ASKED, **like)
    found = summarise(run)
    (row,) = (row for row in found.cells if row.key == KEY)
    (contrast,) = (each for each in found.comparisons if each.world_size == 2)
    lines = str(FORMATS["openmetrics"].write(run)).splitlines()
    scraped = [line for line in lines if line.startswith("rankbench_step_seconds{") and KEY in line]
    charted = [entry["name"] for entry in json.loads(FORMATS["github-action-benchmark"].write(run))]
    return row, bool(scraped), KEY in charted, contrast.verdict, found.chapter[0].answered


@pytest.mark.parametrize(
    ("states", "timed", "judged", "answered"),
    [
        (["ok"] * 6, True, True, True),
        (["skipped"], True, True, True),
        (["missing"], True, True, True),
        (["died"], True, False, False),
        (["hang"], True, False, False),
        (["oom"], True, False, False),
        (["error"], True, False, False),
        (["died"] * 6, False, False, False),
        (["missing"] * 6, False, False, False),
        (["wrong"], False, False, False),
    ],
)
def test_every_renderer_shows_a_number_by_the_same_rule(tmp_path, states, timed, judged, answered):
    row, scraped, charted, verdict, is_answered = case_of(tmp_path, states)
    assert (row.timed, scraped) == (timed, timed)
    assert row.scaled == timed
    assert (verdict != "not comparable") == judged
    assert (charted, is_answered) == (answered, answered)


def test_a_time_below_resolution_is_shown_nowhere(tmp_path):
    row, scraped, charted, verdict, answered = case_of(tmp_path, [], truth=tiny)
    assert row.below_resolution
    assert (row.timed, row.scaled, scraped, charted, answered) == (False,) * 5
    assert verdict != "equivalent"
