"""The first sentence names the cause that was planted, and none where nothing was: a few of benchmarks/diagnosis.py."""

import pytest

from reports.analysis import summary
from tests.planted import CAUSES, Machine


@pytest.mark.parametrize("ranks", [2, 8])
@pytest.mark.parametrize("cause", CAUSES)
def test_the_planted_cause_is_named(cause, ranks, tmp_path):
    machine = Machine(ranks, cause, 0.30, seed=1)
    found = summary.summarise(machine.build(tmp_path / "run"))
    (row,) = found.causes
    assert machine.right(row), row
    assert f", above all because {row.text} (" in found.headline
    assert found.headline.endswith("are ok.")


@pytest.mark.parametrize(("ranks", "seed"), [(2, 0), (4, 1), (8, 2), (32, 3)])
def test_nothing_is_named_among_healthy_devices(ranks, seed, tmp_path):
    found = summary.summarise(Machine(ranks, variation=0.03, seed=seed).build(tmp_path / "run"))
    assert not found.causes
    assert not any(row.named for row in found.ranks)
    assert "because" not in found.headline


@pytest.mark.parametrize("size", [0.05, 0.10])
def test_a_rank_among_many_alike_is_named_below_what_two_may_differ_by(size, tmp_path):
    """Eleven peers tell how much such devices vary, and one peer does not."""
    for ranks, named in ((2, False), (12, size > 0.05)):
        machine = Machine(ranks, "slow device", size, variation=0.005, seed=3)
        found = summary.summarise(machine.build(tmp_path / str(ranks)))
        assert {row.rank for row in found.ranks if row.named} == ({machine.victim} if named else set())


def test_no_cause_is_named_below_six_launches(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.planted.LAUNCHES", 5)
    found = summary.summarise(Machine(4, "memory contention", 0.30).build(tmp_path / "run"))
    assert found.losses
    assert not found.causes
