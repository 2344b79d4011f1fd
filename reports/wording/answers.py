"""Answers: the sentences in which a run's own figures answer the chapter's exercises."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from harness.journal.plan import Comparison, Exercise
from reports.schema.cases import CellRow, ContrastRow
from reports.schema.summary import Crossing, ExerciseRow, Quote, Summary
from reports.statistics.verdicts import limit_in_words
from reports.text import labels, units
from reports.text.labels import Labels
from reports.wording.crossings import crossing
from reports.wording.lookup import NoFigureError, Subject, contrast, most_devices, named, variants_of
from reports.wording.sentences import implausible, undecided

NO_INTERVAL = "no interval yet"


def figure(subject: Subject, name: str) -> str:
    """A figure in words. Raises NoFigureError."""
    if name in FIGURES:
        return FIGURES[name](subject)
    row = subject.row()
    known = (
        row.params
        | ({row.variant_field: row.variant} if row.variant_field and row.variant is not None else {})
        | row.facts
    )
    if name not in known:
        raise NoFigureError(f"{labels.plain(row.variant or row.scenario)} has no figure called {labels.plain(name)}")
    return labels.plain(units.fact_value(name, known[name]))


def _time(subject: Subject) -> str:
    return units.seconds(subject.timed().median_s)


def _held(subject: Subject) -> str:
    row = subject.row()
    return _in_memory(row, row.held_bytes)


def _memory(subject: Subject) -> str:
    row = subject.row()
    return _in_memory(row, row.peak_bytes)


def _in_memory(row: CellRow, size: int | None) -> str:
    if size is None:
        raise NoFigureError(f"the memory of {named(row)} is not known")
    return units.memory(size)


def _traffic(subject: Subject) -> str:
    row = subject.row(subject.sizes[-1])
    if row.traffic_bytes is None:
        raise NoFigureError(f"the traffic of {named(row)} is not known")
    return units.amount(row.traffic_bytes)


def _reads(subject: Subject) -> str:
    row = subject.row()
    if row.host_reads is None:
        raise NoFigureError(f"the reads of {named(row)} are not known")
    return units.number(row.host_reads)


def _speedup(subject: Subject) -> str:
    """On the most devices, whether that is said or not."""
    most = most_devices(subject)
    row, base = subject.timed(most), subject.timed(subject.sizes[0])
    if row.speedup is None or row.base_world_size != base.world_size:
        raise NoFigureError(f"{named(row)} and {named(base)} have no launch in common")
    grounds = _interval(row.speedup, row.speedup_low, row.speedup_high)
    what = "the throughput" if row.scaling == "weak" else "as fast"
    than = f"of {base.world_size}" if row.scaling == "weak" else f"as on {base.world_size}"
    speedup = f"{units.times(row.speedup)} {what} on {units.count(most, 'device')} {than} {grounds}"
    if undecided(row):
        speedup = f"neither surely faster nor surely slower: {speedup}"
    return f"{speedup}{implausible(row)}"


def _ideal(subject: Subject) -> str:
    """The speed-up on the most devices that the shares of the work allow."""
    row = subject.row(most_devices(subject))
    if row.ideal_speedup is None:
        raise NoFigureError(f"what speed-up {named(row)} can have is not known")
    return units.times(row.ideal_speedup)


def _ceiling(subject: Subject) -> str:
    """The speed-up that this machine's most devices reach at all, in products that need nothing of one another."""
    row = subject.row(most_devices(subject))
    if row.ceiling_speedup is None:
        raise NoFigureError(f"what speed-up this machine allows was not measured beside {named(row)}")
    return units.times_between(row.ceiling_speedup, row.ceiling_low, row.ceiling_high)


def _versus(subject: Subject) -> str:
    """The variant against its baseline, in the words of its verdict."""
    row = contrast(subject.summary, subject.comparisons[0], subject.variant, subject.size)
    return contrast_in_words(row, place=f" on {units.count(subject.size, 'device')}" if len(subject.sizes) > 1 else "")


def contrast_in_words(row: ContrastRow, place: str = "") -> str:
    """E.g. ``faster than each, with 49 % less time (−50 to −48 % on 1 device; margin 5 %)``.

    ``place`` says on how many devices, where the run has several numbers of them.
    """
    ratio, baseline = row.ratio or 1.0, labels.plain(row.baseline)
    if row.ratio_low is None or row.ratio_high is None:
        return f"not told apart from {baseline} ({units.change(ratio)} time{place}, {NO_INTERVAL})"
    grounds = f"({units.change_span(ratio, row.ratio_low, row.ratio_high)}{place}; {limit_in_words(row)})"
    change = units.change(ratio, row.ratio_low, row.ratio_high).partition(" [")[0]
    if row.verdict in ("faster", "slower"):
        amount = f"{change.lstrip(f'+{units.MINUS}')} {'less' if row.verdict == 'faster' else 'more'}"
        return f"{row.verdict} than {baseline}, with {amount} time {grounds}"
    if row.verdict == "equivalent":
        return f"no different from {baseline} {grounds}"
    return f"undecided against {baseline} ({change} time, {grounds.removeprefix('(')}"


def _interval(value: float, low: float | None, high: float | None) -> str:
    return f"({NO_INTERVAL})" if low is None or high is None else f"({units.span(low, high, value)})"


def _crossover(subject: Subject) -> str:
    """Where it is, and its grounds: what is undecided there, and the widest margin that it was judged by."""
    found = crossing(subject)
    place, _, warning = str(found.bracket).removesuffix(")").partition(" (")
    grounds = [warning, "" if found.sure else NO_INTERVAL, str(found.margin)]
    return f"{place} ({'; '.join(filter(None, grounds))})"


FIGURES: dict[str, Callable[[Subject], str]] = {
    "time": _time,
    "versus": _versus,
    "speedup": _speedup,
    "ideal": _ideal,
    "ceiling": _ceiling,
    "held": _held,
    "memory": _memory,
    "traffic": _traffic,
    "reads": _reads,
    "crossover": _crossover,
}
"""The figures that every variant has; any other name is a fact of its check, or an axis."""


ITSELF = "it"
"""Stands for the variant of a scenario that has none."""
MOST = "@most"
SENTENCES = re.compile(r"(?<=[.:?]) (?=[A-Z`{])")
"""Where a sentence of a template ends, or what is said before a colon."""
WHOLE_SENTENCES = re.compile(r"(?<=[.?]) (?=[A-Z`{])")
CLAUSE = "; "
"""Where a clause of a sentence ends."""


def chapter(comparisons: Sequence[Comparison], summary: Summary) -> tuple[ExerciseRow, ...]:
    """Every exercise that the planned comparisons answer, in the chapter's order."""
    found: dict[str, Exercise] = {}
    own: dict[str, list[int]] = {}
    for index, comparison in enumerate(comparisons):
        for exercise in comparison.exercises:
            found.setdefault(exercise.number, exercise)
            own.setdefault(exercise.number, []).append(index)
    names = Labels.of(summary.first)
    return tuple(_row(found[number], tuple(own[number]), summary, names) for number in sorted(found, key=_order))


def answers_task(exercise: Exercise) -> bool:
    """Whether the answer is the whole one, and not what CPU cores can say where an accelerator is asked for."""
    return not exercise.on_cpu or exercise.answer != exercise.on_cpu


def _order(number: str) -> tuple[tuple[int, str], ...]:
    """Sorts 5.10.1 behind 5.9.2."""
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", number))


def _row(exercise: Exercise, comparisons: tuple[int, ...], summary: Summary, names: Labels) -> ExerciseRow:
    answer = answered(exercise.answer, comparisons, summary)
    return ExerciseRow(
        exercise=exercise.number,
        task=exercise.task,
        answer=answer.text,
        answered=bool(answer.text) and all(quote.known for quote in answer.quotes) and answers_task(exercise),
        scenarios=tuple(dict.fromkeys(summary.about[own].scenario for own in comparisons)),
        comparisons=comparisons,
        labels=tuple(names.comparison(summary.about[own]) for own in comparisons),
        quotes=tuple(answer.quotes),
        crossings=tuple(answer.crossings),
    )


@dataclass
class Answer:
    """A sentence as it grows."""

    text: str = ""
    quotes: list[Quote] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)

    def append(self, clauses: Sequence["Answer"], end: str) -> None:
        """Add a sentence of these clauses; what cannot be answered for the same reason is said once."""
        reasons = {quote.text for quote in self.quotes if not quote.known}
        said = []
        for clause in clauses:
            if clause.text not in reasons:
                said.append(clause)
            reasons |= {quote.text for quote in clause.quotes if not quote.known}
        for place, clause in enumerate(said):
            self.text += CLAUSE if place else " " if self.text else ""
            self.crossings += clause.crossings
            self.quotes += [quote.model_copy(update={"at": len(self.text) + quote.at}) for quote in clause.quotes]
            self.text += clause.text
        self.text += end if said else ""

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


def answered(template: str, comparisons: Sequence[int], summary: Summary) -> Answer:
    """A template with its figures filled in. Names are looked up one by one: nothing in a template is evaluated."""
    answer = Answer()
    template, strangers = _measured_part(template, comparisons, summary)
    for sentence in WHOLE_SENTENCES.split(template):
        end = sentence[-1] if sentence.endswith((".", "?")) else ""
        clauses = [_clause(clause, comparisons, summary) for clause in sentence.removesuffix(end).split(CLAUSE)]
        answer.append(clauses, end)
    if strangers:
        answer.text += " " if answer.text else ""
        answer.missing(" ".join(strangers), f"the rest needs {units.listed(strangers)}, not measured here")
    return answer


def _clause(template: str, comparisons: Sequence[int], summary: Summary) -> Answer:
    """A clause with its figures; where all of them are missing it asserts nothing, and says why."""
    clause = Answer()
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        clause.missing(template, f"the answer cannot be read ({error})")
        return clause
    for text, name, form, conversion in parts:
        clause.text += text
        if name is None:
            continue
        if form or conversion:
            clause.missing(name, f"{{{name}}} has a format")
        else:
            _fill(clause, name, comparisons, summary)
    if not clause.quotes or any(quote.known for quote in clause.quotes):
        return clause
    reasons = Answer()
    for quote in {quote.text: quote for quote in clause.quotes}.values():
        reasons.append([Answer(quote.text, [quote.model_copy(update={"at": 0})])], end="")
    return reasons


def _measured_part(template: str, comparisons: Sequence[int], summary: Summary) -> tuple[str, list[str]]:
    """A template without the clauses that quote nothing that was planned, and the scenarios and variants of those.

    One that would have no figure left stays as it is.
    """
    by_scenario = _by_scenario(comparisons, summary)
    sentences, strangers, has_figures = [], [], False
    for sentence in SENTENCES.split(template):
        kept = []
        clauses = sentence.rstrip(".").split(CLAUSE)
        for clause in clauses:
            names = re.findall(r"{([^{}]*)}", clause)
            unplanned = [stranger for name in names if (stranger := _stranger(name, by_scenario, summary))]
            if names and len(unplanned) == len(names):
                strangers += unplanned
            else:
                kept.append(clause)
                has_figures |= bool(names)
        if len(kept) == len(clauses):
            sentences.append(sentence)
        elif kept:
            sentences.append(CLAUSE.join([kept[0][:1].upper() + kept[0][1:], *kept[1:]]) + ".")
    return (" ".join(sentences), list(dict.fromkeys(strangers))) if has_figures else (template, [])


def _stranger(name: str, by_scenario: dict[str, list[int]], summary: Summary) -> str | None:
    """The scenario or variant that a figure is of, where the run has no plan for it."""
    scenario, slash, variant = name.rpartition(".")[0].removesuffix(MOST).rpartition("/")
    if slash and scenario not in by_scenario:
        return scenario
    own = {scenario: by_scenario[scenario]} if slash else by_scenario
    return variant if variant and not list(_having(variant, own, summary)) else None


def _fill(answer: Answer, name: str, comparisons: Sequence[int], summary: Summary) -> None:
    who, dot, what = name.rpartition(".")
    if not (dot and who and what):
        answer.missing(name, f"{{{name}}} names no figure of a variant")
        return
    where: dict[str, Any] = {"figure": what}
    try:
        subject = _subject(who, comparisons, summary)
        where |= {"comparison": subject.comparisons[0], "most": subject.most}
        answer.quote(name, figure(subject, what), **where)
        if what == "crossover":
            answer.crossings.append(crossing(subject).row)
    except NoFigureError as error:
        answer.missing(name, str(error), **where)


def _subject(who: str, comparisons: Sequence[int], summary: Summary) -> Subject:
    """``[scenario/]variant[@most]`` among the comparisons of an exercise. Raises NoFigureError."""
    most, who = who.endswith(MOST), who.removesuffix(MOST)
    scenario, slash, variant = who.rpartition("/")
    by_scenario = _by_scenario(comparisons, summary)
    if slash and scenario not in by_scenario:
        raise NoFigureError(f"{scenario} was not measured")
    having = list(_having(variant, {scenario: by_scenario[scenario]} if slash else by_scenario, summary))
    if not having:
        raise NoFigureError(f"{variant} was not measured")
    if len(having) > 1:
        raise NoFigureError(f"{variant} stands in {' and '.join(having)}")
    comparisons = tuple(by_scenario[having[0]])
    without_variants = variants_of(summary, comparisons[0]) == (None,)
    return Subject(summary, comparisons, None if without_variants else variant, most)


def _by_scenario(comparisons: Sequence[int], summary: Summary) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for own in comparisons:
        found.setdefault(summary.about[own].scenario, []).append(own)
    return found


def _having(variant: str, by_scenario: dict[str, list[int]], summary: Summary) -> Iterator[str]:
    """The scenarios that have such a variant."""
    for scenario, own in by_scenario.items():
        variants = variants_of(summary, own[0])
        if variant in variants or (variant == ITSELF and variants == (None,)):
            yield scenario
