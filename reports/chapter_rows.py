"""The chapter in summary.json: each exercise with the sentence that answers it, and where its figures come from."""

from __future__ import annotations

from collections.abc import Iterator

from harness.plan import Record


class Quote(Record):
    """A figure of the run in the sentence of an answer."""

    field: str
    """As the answer's author names it: ``each.time``."""
    figure: str
    """Its last part: ``time``; empty where the name cannot be read."""
    text: str
    """What stands in the sentence in its place."""
    at: int
    """Where in the sentence, in characters from 0."""
    known: bool
    """False where there is no such figure: ``text`` says why."""
    comparison: int | None = None
    """Index of the comparison that it comes from."""
    most: bool = False
    """True: on the most devices; else on the fewest."""


class Crossing(Record):
    """Where along a swept axis an arm overtakes its baseline, or the most devices overtake the fewest."""

    comparisons: tuple[int, ...]
    """Those along the axis, in its order."""
    axis: str
    arm: str | None
    baseline: str | None
    """The arm that is overtaken; None where devices are compared."""
    world_sizes: tuple[int, ...]
    """The number of devices; two of them, the fewer first, where devices are compared."""
    after: float | None
    """The last value at which it is surely slower."""
    before: float | None
    """The first value from which on it is surely faster, everywhere."""


class ExerciseRow(Record):
    """One exercise of the chapter, as this run answers it."""

    exercise: str
    """Its number."""
    task: str
    answer: str
    """The sentence, with the run's own figures; empty where the scenario has none."""
    answered: bool
    """Whether there is a sentence, and every figure in it is known."""
    scenarios: tuple[str, ...]
    comparisons: tuple[int, ...]
    """Indices of the comparisons that were measured for it."""
    labels: tuple[str, ...]
    """Their names."""
    quotes: tuple[Quote, ...]
    crossings: tuple[Crossing, ...]

    @property
    def pieces(self) -> Iterator[tuple[str, Quote | None]]:
        """The sentence, cut where a figure begins and where it ends."""
        at = 0
        for quote in self.quotes:
            yield self.answer[at : quote.at], None
            yield quote.text, quote
            at = quote.at + len(quote.text)
        yield self.answer[at:], None
