"""Answers: the sentences in which a run's own figures answer the chapter's exercises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from harness.plan import Comparison, Exercise
from reports import labels, units
from reports.book import Book, NoFigureError, Subject
from reports.chapter_rows import Crossing, ExerciseRow, Quote
from reports.crossings import crossing
from reports.labels import Labels
from reports.quoted import figure

ITSELF = "it"
"""Stands for the arm of a scenario that has none."""
MOST = "@most"
SENTENCES = re.compile(r"(?<=[.:?]) (?=[A-Z`{])")
"""Where a sentence of a template ends."""
CLAUSE = "; "
"""Where a clause of a sentence ends."""


def chapter(comparisons: Sequence[Comparison], book: Book) -> tuple[ExerciseRow, ...]:
    """Every exercise that the planned comparisons answer, in the chapter's order."""
    found: dict[str, Exercise] = {}
    own: dict[str, list[int]] = {}
    for index, comparison in enumerate(comparisons):
        for exercise in comparison.exercises:
            found.setdefault(exercise.number, exercise)
            own.setdefault(exercise.number, []).append(index)
    names = Labels.of(book.cells.values())
    return tuple(_row(found[number], tuple(own[number]), book, names) for number in sorted(found, key=_order))


def _order(number: str) -> tuple[tuple[int, str], ...]:
    """Sorts 5.10.1 behind 5.9.2."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", number))


def _row(exercise: Exercise, comparisons: tuple[int, ...], book: Book, names: Labels) -> ExerciseRow:
    answer = answered(exercise.answer, comparisons, book)
    return ExerciseRow(
        exercise=exercise.number,
        task=exercise.task,
        answer=answer.text,
        answered=bool(answer.text) and all(quote.known for quote in answer.quotes),
        scenarios=tuple(dict.fromkeys(book.about[own].scenario for own in comparisons)),
        comparisons=comparisons,
        labels=tuple(names.comparison(book.about[own]) for own in comparisons),
        quotes=tuple(answer.quotes),
        crossings=tuple(answer.crossings),
    )


@dataclass
class Answer:
    """A sentence as it grows."""

    text: str = ""
    quotes: list[Quote] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)

    def missing(self, name: str, why: str, **more: Any) -> None:
        """Say in a figure's place why it is not there."""
        self.quote(name, f"[not answered: {labels.plain(why)}]", known=False, **more)

    def quote(self, name: str, text: str, *, known: bool = True, **more: Any) -> None:
        """Put a figure into the sentence."""
        self.quotes.append(
            Quote.model_validate(
                {"field": name, "figure": "", "text": text, "at": len(self.text), "known": known} | more
            )
        )
        self.text += text


def answered(template: str, comparisons: Sequence[int], book: Book) -> Answer:
    """A template with its figures filled in. Names are looked up one by one: nothing in a template is evaluated."""
    answer = Answer()
    template, strangers = _measured_part(template, comparisons, book)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        answer.missing(template, f"the answer cannot be read ({error})")
        return answer
    for text, name, form, conversion in parts:
        answer.text += text
        if name is None:
            continue
        if form or conversion:
            answer.missing(name, f"{{{name}}} has a format")
        else:
            _fill(answer, name, comparisons, book)
    if strangers:
        answer.text += " " if answer.text else ""
        answer.missing(" ".join(strangers), f"the rest needs {units.listed(strangers)}, not measured here")
    return answer


def _measured_part(template: str, comparisons: Sequence[int], book: Book) -> tuple[str, list[str]]:
    """A template without the clauses that quote nothing that was planned, and the scenarios and arms of those.

    One that would have no figure left stays as it is.
    """
    by_scenario = _by_scenario(comparisons, book)
    sentences, strangers, told = [], [], False
    for sentence in SENTENCES.split(template):
        kept = []
        clauses = sentence.rstrip(".").split(CLAUSE)
        for clause in clauses:
            names = re.findall(r"{([^{}]*)}", clause)
            unplanned = [stranger for name in names if (stranger := _stranger(name, by_scenario, book))]
            if names and len(unplanned) == len(names):
                strangers += unplanned
            else:
                kept.append(clause)
                told |= bool(names)
        if len(kept) == len(clauses):
            sentences.append(sentence)
        elif kept:
            sentences.append(CLAUSE.join([kept[0][:1].upper() + kept[0][1:], *kept[1:]]) + ".")
    return (" ".join(sentences), list(dict.fromkeys(strangers))) if told else (template, [])


def _stranger(name: str, by_scenario: dict[str, list[int]], book: Book) -> str | None:
    """The scenario or arm that a figure is of, where the run has no plan for it."""
    scenario, slash, arm = name.rpartition(".")[0].removesuffix(MOST).rpartition("/")
    if slash and scenario not in by_scenario:
        return scenario
    own = {scenario: by_scenario[scenario]} if slash else by_scenario
    return arm if arm and not list(_having(arm, own, book)) else None


def _fill(answer: Answer, name: str, comparisons: Sequence[int], book: Book) -> None:
    who, dot, what = name.rpartition(".")
    if not (dot and who and what):
        answer.missing(name, f"{{{name}}} names no figure of an arm")
        return
    where: dict[str, Any] = {"figure": what}
    try:
        subject = _subject(who, comparisons, book)
        where |= {"comparison": subject.comparisons[0], "most": subject.most}
        answer.quote(name, figure(subject, what), **where)
        if what == "crossover":
            answer.crossings.append(crossing(subject).row)
    except NoFigureError as error:
        answer.missing(name, str(error), **where)


def _subject(who: str, comparisons: Sequence[int], book: Book) -> Subject:
    """``[scenario/]arm[@most]`` among the comparisons of an exercise. Raises NoFigureError."""
    most, who = who.endswith(MOST), who.removesuffix(MOST)
    scenario, slash, arm = who.rpartition("/")
    by_scenario = _by_scenario(comparisons, book)
    if slash and scenario not in by_scenario:
        raise NoFigureError(f"{scenario} was not measured")
    found = list(_having(arm, {scenario: by_scenario[scenario]} if slash else by_scenario, book))
    if not found:
        raise NoFigureError(f"{arm} was not measured")
    if len(found) > 1:
        raise NoFigureError(f"{arm} stands in {' and '.join(found)}")
    return Subject(book, tuple(by_scenario[found[0]]), None if _armless(found[0], by_scenario, book) else arm, most)


def _by_scenario(comparisons: Sequence[int], book: Book) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for own in comparisons:
        found.setdefault(book.about[own].scenario, []).append(own)
    return found


def _having(arm: str, by_scenario: dict[str, list[int]], book: Book) -> Iterator[str]:
    """The scenarios that have such an arm."""
    for scenario, own in by_scenario.items():
        arms = book.arms(own[0])
        if arm in arms or (arm == ITSELF and arms == (None,)):
            yield scenario


def _armless(scenario: str, by_scenario: dict[str, list[int]], book: Book) -> bool:
    return book.arms(by_scenario[scenario][0]) == (None,)
