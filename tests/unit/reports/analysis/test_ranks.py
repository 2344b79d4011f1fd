"""Ranks against their peers: nobody is named, cleared or drawn where a run cannot tell."""

import pytest

from reports.analysis import summary
from reports.figures.section import sections
from reports.page.drawings import drawings
from tests import factories

MET = {
    "variants": ("whole",),
    "truth": lambda case: 0.065 if case.gang_size > 1 and not case.probe else factories.work_time(case),
    "watched": lambda case: ([0.055] + [0.045] * (case.world_size - 1), 0.010),
    "counted": lambda case, *_: {"traffic_bytes": 800 * (case.gang_size > 1)},
}
"""Rank 0 works for 55 ms, its peers for 45, and one collective makes all of them equally late."""


def ranks_of(tmp_path, **changes):
    found = summary.summarise(factories.build(tmp_path, **changes))
    text = " ".join(claim.text for claim in found.claims if claim.kind == "ranks")
    return found, text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MULTIPLICATION SIGN}", "x")


def heat_sentences(found):
    drawn = [drawings(part) for part in sections(found)]
    return [figures["heat"].sentence for figures in drawn if "heat" in figures]


@pytest.mark.parametrize("changes", [{"unwatched": 796.0}, {"unwatched": 4.0}, {"watched": lambda _: None}])
def test_a_straggler_is_not_denied_where_messages_were_not_watched(tmp_path, changes):
    """A small collective of the gang's beside those of DDP shows next to nothing of what makes ranks late."""
    found, text = ranks_of(tmp_path, **(MET | changes))
    assert {row.packed for row in found.ranks} == {True}
    assert "Whether a rank is slow on several devices is not known" in text
    assert not found.heat
    (loss,) = found.losses
    assert loss.basis == "nothing"
    assert "No rank is slow" not in loss.text


def test_an_older_journal_that_does_not_tell_what_was_watched_decides_nothing(tmp_path):
    run = factories.build(tmp_path / "run", **MET)
    factories.edit(run, lambda text: text.replace('"bytes":[800.0,800.0]', '"bytes":null'))
    found = summary.summarise(run)
    assert {row.basis for row in found.losses} == {"nothing"}


def test_what_was_watched_whole_names_the_straggler(tmp_path):
    found, text = ranks_of(tmp_path, **MET)
    assert "Rank 0 (cpu:0) is slow: 1.22x" in text
    assert "the time outside collectives of its peers" in text
    assert "not known" not in text
    assert [row.basis for row in found.losses] == ["collectives"]


def two_pieces(case, rank):
    """Two products on four ranks: the others have nothing to do."""
    return 0.5 if case.gang_size == 4 and rank < 2 else 0.0 if case.gang_size == 4 else 1 / case.gang_size


def test_ranks_whose_declared_work_differs_are_never_compared(tmp_path):
    slow = {2: 0.02, 3: 0.02}
    found, _ = ranks_of(
        tmp_path, variants=("whole",), world_sizes=(1, 4), packed=False, share=two_pieces, slow_ranks=slow
    )
    assert not found.ranks
    assert not found.heat
    assert not heat_sentences(found)
    assert {row.rank_basis for row in found.cells if row.world_size == 4} == {"unequal"}


def test_below_six_launches_nobody_is_cleared_either(tmp_path):
    found, text = ranks_of(tmp_path, variants=("whole",), launches=3, slow_ranks={1: 1.42})
    assert text == "No rank can be named: that takes 6 launches."
    assert all(
        sentence.startswith("No rank can be named: that takes 6 launches;") for sentence in heat_sentences(found)
    )


@pytest.mark.parametrize(
    ("pace", "noise", "text"),
    [
        (1.0, 0.001, "No rank is slower than its peers by more than 14 %"),
        (1.08, 0.001, "by more than 14 %: rank 1 (cpu:1) takes 1.08x [1.08, 1.08] the time"),
        (1.135, 0.02, "Whether a rank is slow is undecided: rank 1 (cpu:1) takes 1.1"),
        (1.2, 0.001, "Rank 1 (cpu:1) is slow: 1.20x"),
    ],
)
def test_a_rank_is_slow_or_not_by_more_than_the_limit_or_undecided(tmp_path, pace, noise, text):
    like = {"variants": ("whole",), "noise": noise, "packed": False, "slow_ranks": {1: pace}, "launch_noise": 0.001}
    found, claims = ranks_of(tmp_path, **like)
    assert text in claims
    (sentence,) = heat_sentences(found)
    assert sentence.split()[:2] == claims.split()[:2]
