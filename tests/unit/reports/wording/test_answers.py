"""Answers: a run's own figures in the sentences of the chapter, and honest gaps where there are none."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.journal.measurement_warnings import Kind, MeasurementWarning
from harness.journal.plan import Exercise
from reports.analysis import summary
from reports.analysis.cases import agreed
from reports.schema.cases import CellRow
from reports.schema.summary import ComparisonFacts, Summary
from reports.wording.answers import answered
from reports.wording.crossings import _line
from reports.wording.lookup import Subject
from tests import factories
from tests.chapters import CROSSING, EXACT, SWEPT, ask, spaced
from tests.factories import Synthetic

ONE, TWO = "split[how=pieces,size=1024]@1", "split[how=pieces,size=1024]@2"


def rows_of(path, *answers, others=(), **changes):
    like = Synthetic(exercises=ask(*answers), rounds=4, **changes)
    return summary.summarise(factories.build(path / "run", like, *others)).chapter


def told(path, answer, **changes):
    (row,) = rows_of(path, answer, **changes)
    return spaced(row.answer), row.answered


def test_times_verdicts_and_speedups(tmp_path):
    text, whole = told(
        tmp_path,
        "{whole.time}, {pieces.time}; {pieces.versus}; {pieces@most.time}; {whole.speedup}.",
        world_sizes=(1, 2, 4),
        **EXACT,
    )
    assert text == (
        "100 ms, 150 ms; slower than whole, with 50.0 % more time (+50.0 to +50.0 % on 1 device; margin 5 %); 75.0 ms; "
        "2.00x as fast on 4 devices as on 1 (2.00-2.00)."
    )
    assert whole


def test_what_the_shares_of_the_work_allow_and_what_the_machine_does(tmp_path):
    def truth(case):
        busy = 1.25 if case.probe and case.world_size == 2 else 1  # two probes at once are in each other's way
        return factories.work_time(case) * busy

    like = Synthetic(exercises=ask("{whole.ideal}, {whole.ceiling}"), rounds=4, **(EXACT | {"truth": truth}))
    found = summary.summarise(factories.build(tmp_path / "two" / "run", like))
    (row,) = (row for row in found.cells if (row.variant, row.world_size) == ("whole", 2))
    assert row.ceiling_speedup == pytest.approx(1.6, rel=0.05)
    assert spaced(found.chapter[0].answer) == (
        f"2.00x, {row.ceiling_speedup:.2f}x [{row.ceiling_low:.2f}, {row.ceiling_high:.2f}]"
    )
    assert found.chapter[0].answered
    text, _ = told(tmp_path / "none", "{whole.ideal}, {whole.ceiling}", **(EXACT | {"probes": False}))
    assert text == "2.00x, [not answered: what speed-up this machine allows was not measured beside whole@2]"
    text, _ = told(tmp_path / "one", "{whole.ideal} {whole.ceiling}", world_sizes=(1,), **EXACT)
    assert text == "[not answered: only 1 device was measured]"


def test_where_all_figures_of_a_clause_are_missing_it_asserts_nothing(tmp_path):
    answer = "It takes {whole.time}; spread out it is quick, {whole.speedup}. So it scales: {whole.ideal} at most."
    text, whole = told(tmp_path, answer, world_sizes=(1,), **EXACT)
    assert (text, whole) == ("It takes 100 ms; [not answered: only 1 device was measured].", False)
    (row,) = rows_of(tmp_path / "places", answer, world_sizes=(1,), **EXACT)
    assert [row.answer[quote.at :][: len(quote.text)] for quote in row.quotes] == [quote.text for quote in row.quotes]


def takes(seconds):
    """A case takes 100 ms on one device, and so long on two."""
    return lambda case: factories.work_time(case) if case.probe else seconds if case.gang_size > 1 else 0.1


def test_a_speedup_whose_interval_holds_1_is_told_as_neither(tmp_path):
    text, _ = told(tmp_path, "{whole.speedup}", truth=takes(0.1), launch_noise=0.02)
    assert re.fullmatch(
        r"neither surely faster nor surely slower: (1\.0|0\.9)\S+x as fast on 2 devices as on 1 .*", text
    )


def test_a_speedup_that_is_higher_than_can_be_is_suspect(tmp_path):
    text, _ = told(tmp_path, "{whole.speedup}", truth=takes(0.04))
    assert text.endswith(", which is suspect (superlinear)")


def test_what_a_cpu_says_in_place_of_an_accelerator_is_no_whole_answer(tmp_path):
    asked = Exercise(number="5.6.1", task="From which size?", answer="{whole.time}", on_cpu="{pieces.time}")
    for device, whole in (("cpu:0", False), ("cuda:0", True)):
        like = Synthetic(exercises=(asked.on(device),), rounds=4)
        (row,) = summary.summarise(factories.build(tmp_path / device, like)).chapter
        assert row.answered is whole


@pytest.mark.parametrize(
    ("factor", "noise", "verdict", "words"),
    [
        (
            0.5,
            0.0,
            "faster",
            r"faster than whole, with 50\.0 % less time \(−50\.0 to −50\.0 % on 1 device; margin 5 %\)",
        ),
        (2.0, 0.0, "slower", r"slower than whole, with 100 % more time \(\+100 to \+100 % on 1 device; margin 5 %\)"),
        (1.02, 0.0, "equivalent", r"no different from whole \(\+2\.0 to \+2\.0 % on 1 device; margin 5 %\)"),
        (
            1.05,
            0.05,
            "undecided",
            r"undecided against whole \(\+\d\.\d % time, .\d\.\d to \+\d+\.\d % on 1 device; margin \d(\.\d)? %\)",
        ),
    ],
)
def test_verdicts_are_those_of_the_table(tmp_path, factor, noise, verdict, words):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.1 * (factor if case.variant == "pieces" else 1)

    like = Synthetic(exercises=ask("{pieces.versus}"), truth=truth, noise=noise, launch_noise=0.0)
    found = summary.summarise(factories.build(tmp_path / "run", like))
    assert re.fullmatch(words, spaced(found.chapter[0].answer))
    assert {row.verdict for row in found.comparisons if row.world_size == 1} == {verdict}


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.06, 2.0])
def test_an_interval_reads_upwards_and_holds_its_figure(tmp_path, factor):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.1 * (factor if case.variant == "pieces" else 1)

    text, _ = told(tmp_path, "{pieces.versus} {pieces.speedup}", truth=truth, noise=0.05)
    text = re.sub(r"; margin [^)]*", "", text).replace("−", "-").replace("than whole by", "by")
    versus, _, speedup = text.partition(")")
    value, low, high = (float(figure) for figure in re.findall(r"[0-9]+\.[0-9]+", speedup))
    assert low <= value <= high
    *value, low, high = (float(figure) for figure in re.findall(r"[-+]?[0-9.]+(?= %| to)", versus))
    assert low < high
    assert all(low <= each <= high or low <= -each <= high for each in value)


def test_without_intervals_nobody_wins(tmp_path):
    text, whole = told(tmp_path, "{pieces.versus}, {whole.speedup}", launches=5, **EXACT)
    versus = "not told apart from whole (+50 % time on 1 device, no interval yet)"
    assert text == f"{versus}, 1.41x as fast on 2 devices as on 1 (no interval yet)"
    assert whole


def test_weak_scaling_is_a_throughput(tmp_path):
    def truth(case):
        return factories.work_time(case) if case.probe else 0.1

    text, _ = told(tmp_path, "{whole.speedup}", **(EXACT | {"scaling": "weak", "truth": truth}))
    assert text == "2.00x the throughput on 2 devices of 1 (2.00-2.00)"


def test_counts_come_from_the_rank_that_has_most_and_traffic_from_the_most_devices(tmp_path):
    def counted(case, launch, rank):
        busy = case.variant == "pieces"
        return {
            "held_bytes": (3 + rank) * 2**29 if busy else None,
            "peak_bytes": (512 + rank) * 2**20 if busy else None,
            "traffic_bytes": 2568 * rank if busy else 0,
            "host_reads": 1000 // case.world_size + rank,
        }

    text, whole = told(
        tmp_path,
        "{pieces.held}, {pieces.memory}, {pieces@most.memory}, {pieces.traffic}, {pieces.reads}, {whole@most.reads}",
        counted=counted,
    )
    assert (text, whole) == ("1.50 GiB, 512 MiB, 513 MiB, 2.57 kB, 1000, 501", True)
    text, whole = told(tmp_path / "none", "{whole.traffic}, {whole.memory}", counted=counted)
    assert (text, whole) == ("0 B, [not answered: the memory of whole@1 is not known]", False)


FACTS = {
    "parameters": 8458,
    "many": 4_001_577,
    "file_bytes": 1_050_624,
    "load_s": 0.0235,
    "trains": True,
    "error": 3.1e-7,
    "z": 2.348,
    "kind": "`Conv2d`\n<b>",
}


def test_facts_have_their_units(tmp_path):
    text, _ = told(tmp_path, ", ".join(f"{{whole.{name}}}" for name in FACTS), found=lambda *_: FACTS)
    assert text == "8458, 4,001,577, 1.05 MB, 23.5 ms, yes, 3.10 x 10⁻⁷, 2.35, 'Conv2d' <b>"


def test_facts_are_those_of_rank_0_on_the_fewest_devices_or_the_most(tmp_path):
    text, _ = told(
        tmp_path, "{whole.p}, {whole@most.p}, {whole.size}, {whole.how}", found=lambda case, _: {"p": case.world_size}
    )
    assert text == "1, 2, 1024, whole"


def test_launches_that_differ_have_a_median_or_are_told(tmp_path):
    def found(case, launch):
        return {"z": float(launch), "n": launch, "ok": launch > 1, "word": "a" if launch < 3 else "b"}

    text, whole = told(tmp_path, "{whole.z}; {whole.n}; {whole.ok}; {whole.word}", found=found)
    assert text == "2.50; 2.50; no in 2 launches and yes in 4 launches; a in 3 launches and b in 3 launches"
    assert whole


def test_true_and_one_are_not_alike():
    assert agreed("x", [True, 1]) == "yes in 1 launch and 1 in 1 launch"
    assert agreed("x", [3, 3, 4]) == 3
    assert isinstance(agreed("x", [3, 3, 4]), int)


STATES = {
    "wrong": "pieces@1 is wrong",
    "died": "pieces@1 died",
    "hang": "pieces@1 hung",
    "oom": "pieces@1 ran out of memory",
    "error": "pieces@1 failed",
}


@pytest.mark.parametrize("state", STATES)
def test_a_case_that_is_not_ok_answers_nothing(tmp_path, state):
    """In whichever launch it was, and whichever figure is asked for."""
    text, whole = told(
        tmp_path,
        "{whole.time} {pieces.time} {pieces.versus} {pieces.speedup} {pieces.parameters} {pieces.memory}",
        outcomes={(3, ONE): (state, 0, "differs")},
        found=lambda *_: {"parameters": 7},
    )
    assert text == " ".join([text.split(" ")[0], "ms", *[f"[not answered: {STATES[state]}]"] * 5])
    assert not whole


def test_what_was_skipped_in_a_launch_is_answered_by_the_others(tmp_path):
    outcomes = {(5, ONE): ("skipped", None, "the budget was spent"), (4, ONE): ("missing", None, "")}
    text, whole = told(tmp_path, "{pieces.time}, {pieces.versus}", outcomes=outcomes, **EXACT)
    assert (text, whole) == ("150 ms, not told apart from whole (+50 % time on 1 device, no interval yet)", True)


def test_sentences_about_what_was_not_measured_give_way_to_one_remark(tmp_path):
    template = "It takes {whole.time}. Fitted, it errs by {symmetry/tied.error} and {symmetry/untied.error}. All told."
    text, whole = told(tmp_path, template, **EXACT)
    assert text == "It takes 100 ms. All told. [not answered: the rest needs symmetry, not measured here]"
    assert not whole


def test_clauses_about_variants_that_were_left_out_give_way_too(tmp_path):
    template = (
        "Halves take {halves.time}; and split in pieces, which is {pieces.versus}, {pieces.time}; {halves.speedup}."
    )
    text, whole = told(tmp_path, template, **EXACT)
    assert text == (
        "And split in pieces, which is slower than whole, with 50.0 % more time (+50.0 to +50.0 % on 1 device; "
        "margin 5 %), 150 ms. [not answered: the rest needs halves, not measured here]"
    )
    assert not whole


def test_what_was_never_measured_is_said_so(tmp_path):
    outcomes = {(launch, ONE): ("skipped", None, "the budget was spent") for launch in range(6)}
    text, whole = told(tmp_path, "{pieces.time} {halves.time} {reduce/whole.time}", outcomes=outcomes)
    assert text == (
        "[not answered: pieces@1 was skipped] [not answered: halves was not measured] "
        "[not answered: reduce was not measured]"
    )
    assert not whole


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{whole.tme}", "[not answered: whole has no figure called tme]"),
        ("{whole}", "[not answered: {whole} names no figure of a variant]"),
        ("{}", "[not answered: {} names no figure of a variant]"),
        ("{whole.time:.2f}", "[not answered: {whole.time} has a format]"),
        ("{whole.time!r}", "[not answered: {whole.time} has a format]"),
        ("{whole.__class__}", "[not answered: whole has no figure called __class__]"),
        ("{whole.time.__class__}", "[not answered: whole.time was not measured]"),
        ("{0.__init__}", "[not answered: 0 was not measured]"),
        ("{whole[0].time}", "[not answered: whole[0] was not measured]"),
        ("{whole@least.time}", "[not answered: whole@least was not measured]"),
        ("{whole.versus}", "[not answered: whole is the baseline itself]"),
        ("{whole.crossover}", "[not answered: no axis was swept over several numbers]"),
        ("{whole.time", "[not answered: the answer cannot be read (expected '}' before end of string)]"),
        ("a } b", "[not answered: the answer cannot be read (Single '}' encountered in format string)]"),
        ("{{whole.time}}", "{whole.time}"),
        ("", ""),
    ],
)
def test_a_slip_in_a_template_is_a_clear_gap(tmp_path, template, text):
    got, whole = told(tmp_path, template, launches=1)
    assert got == text
    assert whole == (template == "{{whole.time}}")


@given(st.text("{}.!:@/[]`ab whole.time"))
def test_no_template_breaks_the_report(template):
    found = answered(template, (0,), book({"n": 1}))
    at = 0
    for quote in found.quotes:
        assert found.text[quote.at : quote.at + len(quote.text)] == quote.text
        assert quote.at >= at
        at = quote.at + len(quote.text)


def book(*values):
    """Comparisons with these parameters; their cases are planned, and were measured nowhere."""
    about = [
        ComparisonFacts(
            comparison=place,
            scenario="split",
            title="",
            exercises=(),
            scaling="strong",
            variant_field="how",
            baseline="whole",
            params=params,
            aa=0,
            margin=0.05,
        )
        for place, params in enumerate(values)
    ]
    cells = tuple(
        CellRow(
            comparison=place,
            key="",
            scenario="split",
            variant="whole",
            variant_field="how",
            params=params,
            scaling="strong",
            world_size=size,
            launcher="",
            side="",
            status="missing",
        )
        for place, params in enumerate(values)
        for size in (1, 2)
    )
    return Summary.model_construct(
        about=tuple(about), cells=cells, comparisons=(), run=SimpleNamespace(sides=(SimpleNamespace(name=""),))
    )


def test_a_shared_device_has_no_speedup(tmp_path):
    text, _ = told(tmp_path, "{whole.speedup}", devices=("cuda:0", "cuda:0"))
    assert text == "[not answered: several ranks shared one device]"


def test_one_device_has_no_speedup(tmp_path):
    text, _ = told(tmp_path, "{whole.speedup} {whole@most.time}", world_sizes=(1,), **EXACT)
    assert text == "[not answered: only 1 device was measured] 100 ms"


def test_below_resolution_there_is_no_time(tmp_path):
    def truth(case):
        return factories.work_time(case) * (1 if case.probe else 3e-5)

    text, whole = told(tmp_path, "{pieces.time} {pieces.versus} {pieces.speedup} {pieces.size}", truth=truth)
    assert re.fullmatch(r"(\[not answered: (pieces|whole)@[12] is below resolution\] ){3}1024", text)
    assert not whole


@pytest.mark.parametrize("key", [ONE, "split[how=whole,size=1024]@1"])
def test_variants_that_declare_different_work_are_not_compared(tmp_path, key):
    warnings = {(launch, key): (MeasurementWarning(kind=Kind.WORK_DIFFERS, fact="more"),) for launch in range(6)}
    text, _ = told(tmp_path, "{pieces.versus}", warnings=warnings)
    assert text == "[not answered: pieces and whole are not comparable: the variants declare different work]"


def test_a_scenario_without_variants_is_it(tmp_path):
    text, whole = told(tmp_path, "{it.time} {it.speedup} {it.size}", variant_field=None, **EXACT)
    assert (text, whole) == ("100 ms 1.41x as fast on 2 devices as on 1 (1.41-1.41) 1024", True)


def test_scenarios_that_share_an_exercise_are_told_apart(tmp_path):
    text = "{split/whole.time}, {sum/whole.time}, {halves.time}, {whole.time}, {it.time}"
    other = Synthetic(scenario="sum", variants=("whole", "halves"), exercises=ask(text), rounds=4, **EXACT)
    lone = Synthetic(scenario="lone", variant_field=None, exercises=ask(text), rounds=4, **EXACT)
    (row,) = rows_of(tmp_path, text, others=(other, lone), **EXACT)
    assert spaced(row.answer) == "100 ms, 100 ms, 100 ms, [not answered: whole stands in split and sum], 100 ms"
    assert (row.scenarios, row.comparisons, row.labels) == (
        ("split", "sum", "lone"),
        (0, 1, 2),
        ("split", "sum", "lone"),
    )


def test_exercises_stand_in_the_order_of_their_numbers(tmp_path):
    exercises = tuple(Exercise(number=number, task="A task.", answer="") for number in ("5.10.1", "5.2.1", "5.2.10"))
    like = Synthetic(exercises=exercises, launches=1)
    found = summary.summarise(factories.build(tmp_path / "run", like)).chapter
    assert [row.exercise for row in found] == ["5.2.1", "5.2.10", "5.10.1"]
    assert not any(row.answered for row in found)


def test_a_crossover_is_bracketed_by_two_measured_sizes_and_figures_are_those_of_the_first(tmp_path):
    (row,) = rows_of(tmp_path, CROSSING, **SWEPT)
    assert spaced(row.answer) == "between 64 and 256 (margin 5 %); between 256 and 1024 (margin 5 %); 2.56 ms; 64"
    variants, devices = row.crossings
    assert (variants.axis, variants.variant, variants.baseline, variants.world_sizes) == (
        "size",
        "pieces",
        "whole",
        (1,),
    )
    assert (variants.comparisons, variants.after, variants.before) == ((1, 0, 3, 2), 64, 256)
    assert (devices.variant, devices.baseline, devices.world_sizes) == ("whole", None, (1, 2))
    assert (devices.after, devices.before) == (256, 1024)


def test_a_size_without_figures_is_left_out_of_the_bracket(tmp_path):
    outcomes = {(2, "split[how=pieces,size=256]@1"): ("wrong", 0, "differs")}
    text, whole = told(tmp_path, "{pieces.crossover}", outcomes=outcomes, **SWEPT)
    assert (text, whole) == ("between 64 and 1024 (margin 5 %)", True)


def test_a_crossover_without_any_figure_says_why(tmp_path):
    outcomes = {(2, f"split[how=pieces,size={size}]@1"): ("wrong", 0, "differs") for size in SWEPT["sizes"]}
    assert told(tmp_path, "{pieces.crossover}", outcomes=outcomes, **SWEPT) == (
        "[not answered: pieces@1 is wrong]",
        False,
    )


def test_a_crossover_of_more_devices_takes_more_than_one(tmp_path):
    text, _ = told(tmp_path, "{whole@most.crossover}", world_sizes=(1,), **{**SWEPT, **EXACT})
    assert text == "[not answered: only 1 device was measured]"


def test_a_crossover_of_few_launches_rests_on_ratios_and_says_so(tmp_path):
    text, _ = told(tmp_path, "{pieces.crossover}", launches=2, **SWEPT)
    assert text == "between 64 and 256 (no interval yet; margin 5 %)"


def test_a_variant_that_is_never_ahead_is_said_so(tmp_path):
    text, _ = told(tmp_path, "{pieces.crossover}", **(SWEPT | {"sizes": (16, 32, 64)}))
    assert text == "not up to 64 (margin 5 %)"
    text, _ = told(tmp_path / "on", "{pieces.crossover}", **(SWEPT | {"sizes": (256, 512)}))
    assert text == "from 256 on (margin 5 %)"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([{"n": 1, "m": 1}, {"n": 2, "m": 1}, {"n": 1, "m": 2}], "several axes were swept: n, m"),
        ([{"n": 1, "m": "a"}, {"n": 1, "m": "b"}], "no axis was swept over several numbers"),
        ([{"n": False}, {"n": True}], "no axis was swept over several numbers"),
    ],
)
def test_a_crossover_needs_one_axis_of_numbers(values, why):
    found = answered("{whole@most.crossover}", tuple(range(len(values))), book(*values))
    assert found.text == f"[not answered: {why}]"


def test_an_axis_beside_is_kept_at_its_first_value():
    values = [{"n": 2, "m": "a"}, {"n": 1, "m": "a"}, {"n": 2, "m": "b"}, {"n": 4, "m": "b"}, {"n": 8, "m": "a"}]
    assert _line(Subject(book(*values), (0, 1, 2, 3, 4), "whole")) == ("n", (1, 0, 4))
