"""The answers about parameters quote only what their scenarios have."""

from __future__ import annotations

from string import Formatter

import pytest

from harness.catalog import load
from tests.ranks import gang

SCENARIOS = [
    load(f"scenarios.{where}")
    for where in (
        "initialization.weights:Initialization", "sharing.nested:Nested",
        "sharing.symmetry:Symmetry", "sharing.tying:Tying",
    )
]  # fmt: skip
EVERY = {"time", "versus", "speedup", "memory", "traffic", "reads", "crossover"}


@pytest.mark.parametrize("number", ["5.2.1", "5.2.2", "5.2.3", "5.2.4"])
def test_every_figure_of_an_answer_is_there(number: str) -> None:
    entries = {entry.name: entry for entry in SCENARIOS if number in entry.numbers}
    (answer,) = {
        exercise.answer for entry in entries.values() for exercise in entry.exercises if exercise.number == number
    }
    quoted = [name for _, name, _, _ in Formatter().parse(answer.replace(".", "\0")) if name]
    assert quoted
    for name in quoted:
        where, figure = name.split("\0")
        scenario, _, arm = where.rpartition("/")
        assert scenario or len(entries) == 1
        entry = entries[scenario or next(iter(entries))]
        workload = entry.cls(**{entry.arm_field: arm}).prepare(gang(0, 1))
        found = workload.check(workload.step())
        assert arm in entry.arms and figure in {*EVERY, *found, *entry.defaults}
