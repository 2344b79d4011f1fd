"""The table of published mistakes in docs/scenarios.md: for every exercise, and of tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

from harness import catalog

UNIT = Path(__file__).parent
TABLE = (UNIT.parents[1] / "docs" / "scenarios.md").read_text().partition("## Published mistakes")[2]


def test_every_exercise_has_a_mistake_that_a_test_plants() -> None:
    rows = re.findall(r"^\| (5\.[^|]*) \| ([^|]+) \| `([^`:]+)::([^`]+)` \|$", TABLE, re.MULTILINE)
    assert len(rows) == TABLE.count("\n| 5.")
    named = {number for numbers, *_ in rows for number in numbers.split(", ")}
    assert named == {number for entry in catalog.scenarios().values() for number in entry.numbers}
    for _, _, file, test in rows:
        assert f"\ndef {test}(" in (UNIT / file).read_text(), test
