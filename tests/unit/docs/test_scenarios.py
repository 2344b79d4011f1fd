"""The table of published mistakes in docs/scenarios.md: for every exercise, and of tests that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.gang import Gang
from harness.plugins import registry
from harness.work import contract
from tests.ranks import Ranks, gang

UNIT = Path(__file__).parents[1]
TEXT = (UNIT.parents[1] / "docs" / "scenarios.md").read_text()
TABLE = TEXT.partition("## Published mistakes")[2]


def test_every_exercise_has_a_mistake_that_a_test_plants() -> None:
    rows = re.findall(r"^\| (5\.[^|]*) \| ([^|]+) \| `([^`:]+)::([^`]+)` \|$", TABLE, re.MULTILINE)
    assert len(rows) == TABLE.count("\n| 5.")
    named = {number for numbers, *_ in rows for number in numbers.split(", ")}
    assert named == {number for entry in registry.scenarios().values() for number in entry.numbers}
    for _, _, file, test in rows:
        assert f"\ndef {test}(" in (UNIT / file).read_text(), test


def documented(mine: Gang, source: str, name: str) -> None:
    """Do two steps of a scenario and check the output."""
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, "scenarios.md", "exec"), space)
    workload = contract.validated(space[name]().prepare(mine))
    workload.step()
    workload.check(workload.step())


@pytest.mark.parametrize("name", ["Reduce", "Gradient"])
def test_the_examples_are_right_on_one_rank_and_on_two(two_ranks: Ranks, name: str) -> None:
    (source,) = [each for each in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if f"class {name}:" in each]
    documented(gang(0, 1), source, name)
    two_ranks.do(documented, source, name)
