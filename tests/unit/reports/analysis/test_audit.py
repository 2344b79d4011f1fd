"""The audit: a sound run passes all twelve rules; each that can fail is made to by changing the data, and only that."""

import json

import pytest

from reports.analysis import summary
from reports.text import units
from tests import factories
from tests.pages import text_of

BASE, OTHER = "split[how=whole,size=1024]@1", "split[how=whole,size=1024]@2"
SOUND = {"rounds": 12, "noise": 0.005, "launch_noise": 0.002}
ALL = range(6)


def audited(path, edit=None, **changes):
    """The rows by rule; ``edit`` changes what lies in the run directory."""
    run = factories.build(path / "run", **(SOUND | changes))
    if edit:
        edit(run)
    return {row.rule: row for row in summary.summarise(run).audit}


def environment(**told):
    """An edit: so much else in environment.json, None for nothing of a name."""

    def edit(run):
        known = json.loads(run.environment_path.read_text())
        run.environment_path.write_text(json.dumps({name: each for name, each in (known | told).items() if each}))

    return edit


def journal(change):
    """An edit of every record of the journal."""
    return lambda run: factories.edit(run, lambda text: json.dumps(change(json.loads(text))))


def growing_work(line):
    for fact in line.get("facts", ()):
        fact["flops"] *= 1 + line["launch"]
    return line


def another_fingerprint(line):
    return line | ({"fingerprint": "0ther"} if line["type"] == "launch" and line["launch"] == 3 else {})


def unaligned(run):
    plan = json.loads(run.plan_path.read_text())
    del plan["regime"]["alignment"]
    run.plan_path.write_text(json.dumps(plan))


def superlinear(case):
    return factories.work_time(case) if case.probe or case.world_size == 1 or case.packed else 0.02


def kinked(case):
    """Two devices are as fast as four."""
    return factories.work_time(case) if case.probe or case.packed else {1: 0.1, 2: 0.052, 4: 0.051}[case.world_size]


FAULTS = [
    (1, {"outcomes": {(launch, BASE): ("error", 0, "boom") for launch in ALL}}, "`split how=whole` on 2 devices"),
    (2, {"outcomes": {(3, OTHER): ("missing", None, "")}, "launches": 7}, "1 of 84 planned cells have no record"),
    (2, {"edit": environment(host={"cpu": "Synthetic 3000", "cores": 4})}, "2 of the host's 4 devices are in use"),
    (3, {"edit": journal(growing_work)}, "4 of 4 rates rest on work that differs between launches"),
    (4, {"outcomes": {(5, BASE): ("error", 0, "boom")}, "launch_noise": 0.1}, "of fewer launches than the times"),
    (5, {"launches": 5}, "4 of 4 times have no interval, which takes 6 launches"),
    (7, {"launches": 5}, "2 of 2 comparisons have no interval"),
    (8, {"course": lambda place, _: 3 if place % 10 == 0 else 1}, "more than 1.50x the median, and 3.0"),
    (8, {"rounds": 1, "visits": 3}, "too few samples for a twentieth of them, which takes 20"),
    (9, {"edit": lambda run: run.environment_path.unlink()}, "does not tell host.cpu, host.cores, devices,"),
    (9, {"edit": environment(software={"python": "3.11.2"})}, "does not tell software.torch."),
    (9, {"edit": environment(git={"commit": "abc", "changed": True})}, "changes that are in no commit"),
    (9, {"edit": journal(another_fingerprint)}, "Launches were made in 2 different environments"),
    (10, {"late": 0.05}, "ranks start late or a time misses work"),
    (10, {"edit": unaligned}, "does not tell how starts are aligned"),
    (11, {"probes": False}, "2 of 2 speed-ups have no ceiling"),
    (11, {"truth": superlinear}, "2 of 2 speed-ups exceed their bounds: e.g. `split how=whole` on 2 devices."),
    (
        12,
        {"world_sizes": (1, 4)},
        "The line to `split how=whole` on 4 devices passes counts none of which was measured",
    ),
    (12, {"world_sizes": (1, 2, 4), "truth": kinked}, "off where it passes a count (limit 5"),
]
TOO = {(5, "launches"): {7}, (7, "launches"): {5}, (4, "outcomes"): {5}}
"""Rules that the same fault breaks too, by the rule and by what is changed."""


def test_a_sound_run_passes_all_that_it_is_about(tmp_path):
    rows = audited(tmp_path)
    assert list(rows) == list(range(1, 13))
    assert {rule: row.evidence for rule, row in rows.items() if row.verdict != "passed"} == {}


@pytest.mark.parametrize(("rule", "changes", "words"), FAULTS)
def test_data_that_break_a_rule_fail_it(tmp_path, rule, changes, words):
    rows = audited(tmp_path, **changes)
    assert rows[rule].verdict == "failed", rows[rule]
    assert words in rows[rule].evidence.replace(units.TIMES, "x"), rows[rule].evidence
    broken = {place for place, row in rows.items() if row.verdict == "failed"}
    assert broken == {rule} | TOO.get((rule, next(iter(changes))), set()), [rows[place].evidence for place in broken]


def test_the_widest_interval_is_told_by_its_ends_and_facts_are_counted_as_the_page_counts_them(tmp_path):
    run = factories.build(tmp_path / "run", **(SOUND | {"launch_noise": 0.3}))
    found = summary.summarise(run)
    rows = {row.rule: row.evidence for row in found.audit}
    widest = max(found.first, key=lambda row: (row.ci_high_s - row.ci_low_s) / row.median_s)
    ends = [end / widest.median_s for end in (widest.ci_low_s, widest.ci_high_s)]
    assert rows[5].endswith(f"the widest {units.change_span(1.0, *ends)} of its time.")
    facts = f"{len(tuple(units.flat(found.environment)))} facts about the machine"
    assert facts in rows[9]
    assert facts in text_of(run)


def test_each_rule_that_can_fail_was_made_to():
    assert {rule for rule, _, _ in FAULTS} == {*range(1, 13)} - {6}


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"world_sizes": (1,)}, {1, 10, 11}),
        ({"variant_field": None}, {7}),
        ({"scaling": "none"}, {1, 11}),
        ({"devices": ("cpu:0", "cpu:0")}, {1, 11}),
        ({"launches": 5}, {6}),
    ],
)
def test_what_a_run_is_not_about_does_not_apply(tmp_path, changes, rules):
    rows = audited(tmp_path, **changes)
    assert {rule for rule, row in rows.items() if row.verdict == "not applicable"} == rules


def test_a_run_that_never_began_fails_by_what_is_missing_alone(tmp_path):
    rows = audited(tmp_path, done=0)
    assert {rule: row.verdict for rule, row in rows.items() if row.verdict != "not applicable"} == {
        2: "failed",
        9: "passed",
    }


def drifting(line):
    """Clocks that were 5 us apart as ranks met, and cells timed while they drifted, the last launch by up to 500 us."""
    for rank in line.get("ranks", ())[1:]:
        rank["clock_error_s"] = 5e-6
    if line["type"] == "cell" and line.get("samples"):
        others = len(line["samples"]["start_s"]) - 1
        line |= {"clock_offset_s": [0, *[1e-3] * others], "clock_error_s": [0, *[line["launch"] * 1e-4] * others]}
    return line


def test_starts_are_as_sure_as_the_clocks_were_while_cells_were_timed(tmp_path):
    (row,) = [row for rule, row in audited(tmp_path, edit=journal(drifting)).items() if rule == 10]
    assert row.verdict == "passed"
    assert f"by clocks that may be {units.seconds(5e-4)} off" in row.evidence


def test_every_rule_has_one_sentence_of_evidence_with_figures(tmp_path):
    for row in audited(tmp_path).values():
        assert row.evidence.endswith(".")
        assert row.evidence.count(". ") == 0
        assert any(letter.isdigit() for letter in row.evidence) or row.rule == 10, row


def test_samples_that_do_not_look_normal_are_counted(tmp_path):
    rows = audited(tmp_path, course=lambda place, _: 1 + 0.3 * (place % 2))
    assert "the samples of 4 of 4 cases do not look normal" in rows[6].evidence


def test_of_a_line_the_counts_between_are_read_off_it(tmp_path):
    rows = audited(tmp_path, world_sizes=(1, 2, 4))
    assert rows[12].verdict == "passed"
    assert "at most 0.1" in rows[12].evidence


def test_the_page_lists_them_in_the_method(tmp_path):
    run = factories.build(tmp_path / "run", **SOUND, probes=False)
    text = text_of(run).partition('id="method"')[2]
    assert text.count('<span class="verdict-word') == 12
    assert text.count('<span class="verdict-word bad">Failed.') == 1
    for row in summary.summarise(run).audit:
        assert row.title in text
