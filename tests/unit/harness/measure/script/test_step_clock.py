"""The step clock learns what ends a step, and counts from the end of the warm-up."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from harness.measure.script.step_clock import MARKED, StepClock


class EndError(Exception):
    """Ends the script of a test."""


@dataclass
class Course:
    """A rank of which the parent wants so many steps."""

    steps: int
    told: list[str] = field(default_factory=list)

    def agree(self, step_s: float) -> int:
        self.told.append(f"agree {step_s:g}")
        return self.steps

    def begin(self) -> None:
        self.told.append("begin")

    def beat(self) -> None:
        pass

    def finish(self) -> None:
        raise EndError


def clock(steps: int = 3, skip: int = 3) -> StepClock:
    seconds = count()
    return StepClock(skip, Course(steps), lambda: float(next(seconds)), lambda: None)


def drive(made: StepClock, *pattern: str) -> int:
    """Let a pattern of optimizers step until the clock ends the script; how often it went through."""
    for turn in count(1):
        for key in pattern:
            try:
                made.ended(key)
            except EndError:
                return turn
        assert turn < 1000
    raise AssertionError


def test_one_optimizer_ends_each_step() -> None:
    made = clock()
    assert drive(made, "sgd") == 3 + 3
    assert len(made.timed) - 1 == 3


def test_of_two_optimizers_that_take_turns_the_second_ends_a_step() -> None:
    made = clock()
    turns = drive(made, "discriminator", "generator")
    assert made.closing == "generator"
    assert turns == 3 + 3
    assert len(made.timed) - 1 == 3


def test_several_steps_of_one_optimizer_before_another_are_one_step() -> None:
    made = clock(skip=12)
    turns = drive(made, *["critic"] * 5, "generator")
    assert made.closing == "generator"
    assert turns == 12 + 3


def test_an_optimizer_for_each_layer_ends_a_step_once() -> None:
    made = clock()
    assert drive(made, *(f"layer {number}" for number in range(20))) == 3 + 3


def test_steps_that_the_script_marks_go_before_all_others() -> None:
    made = clock()
    made.ended(MARKED)
    made.ended("sgd")
    assert made.closing == MARKED
    assert made.ended_steps == 1


def test_what_is_seen_after_the_ranks_have_agreed_changes_nothing() -> None:
    made = clock(steps=4)
    made.ended("sgd")
    made.ended("sgd")
    made.ended("late")
    assert made.closing == "sgd"


def test_the_step_after_the_agreement_begins_when_that_is_over() -> None:
    made = clock(steps=1)
    drive(made, "sgd")
    assert [each.host_s for each in made.timed] == [3.0, 4.0]  # of two looks at the clock at 1 and 2, the second counts


def test_waits_and_samples_belong_to_the_step_that_they_come_before() -> None:
    made = clock(steps=1)
    for step in range(4):
        made.waited(0.5 * step, 8.0)
        made.waited(0.25, 8.0)
        with suppress(EndError):
            made.ended("sgd")
    assert [(each.loader_s, each.items) for each in made.timed[1:]] == [(1.75, 16.0)]
