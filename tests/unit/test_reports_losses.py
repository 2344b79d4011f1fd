"""Why not linear: factors that make up the efficiency exactly, find what was put in, and name a culprit or nobody."""

import math
import re

import pytest

from reports import summary, units
from tests import factories

QUIET = {"noise": 0.002, "launch_noise": 0.002, "arms": ("whole",), "world_sizes": (1, 2)}
WORK, TRANSFER = (0.055, 0.045), 0.010
"""Of two ranks, in seconds; 65 ms a step in all."""


def together(case, work=WORK, transfer=TRANSFER):
    """The truth of a gang that meets once a step."""
    if case.probe or case.packed or case.world_size == 1:
        return factories.work_time(case)
    return max(work) + transfer


def watched(case):
    return WORK, TRANSFER


def traffic(case, *_):
    return {"traffic_bytes": 800 * (case.gang_size > 1)}


MET = {"truth": together, "watched": watched, "counted": traffic}


def losses(tmp_path, **changes):
    return summary.summarise(factories.build(tmp_path / "run", **(QUIET | changes)))


def product(row):
    told = (row.contention, row.imbalance, row.communication, row.rest)
    return math.prod(1.0 if factor is None else factor for factor in told)


@pytest.mark.parametrize(
    "changes",
    [
        MET,
        MET | {"scaling": "weak"},
        MET | {"launches": 3},
        MET | {"packed": False},
        MET | {"watched": lambda _: None},
        {},
        {"world_sizes": (1, 2, 4), "slow_ranks": {1: 1.3}},
        {"world_sizes": (2, 4)},
        {"noise": 0.2},
    ],
)
def test_the_product_is_the_efficiency_and_the_costs_are_what_is_missing(tmp_path, changes):
    found = losses(tmp_path, **changes)
    efficiencies = {row.key: row for row in found.cells if row.efficiency is not None}
    assert {row.key for row in found.losses} == set(efficiencies)
    for row in found.losses:
        cell = efficiencies[row.key]
        assert product(row) == pytest.approx(row.efficiency, rel=1e-12)
        assert row.efficiency == cell.efficiency
        assert sum(row.costs.values()) == pytest.approx(row.missing, abs=1e-12)
        assert row.missing == pytest.approx(cell.world_size / cell.base_world_size - cell.speedup)
        assert row.contention == cell.contention


def test_every_factor_is_what_was_put_in(tmp_path):
    (row,) = losses(tmp_path, **MET).losses
    assert row.basis == "collectives"
    assert row.contention == pytest.approx(1 / 1.03, rel=0.01)
    assert row.imbalance == pytest.approx(0.050 / 0.055, rel=0.01)
    assert row.communication == pytest.approx(0.055 / 0.065, rel=0.01)
    assert row.rest == pytest.approx((0.103 / 2) / 0.050, rel=0.01)  # what a fair share takes alone, over the mean work
    for name in ("contention", "imbalance", "communication", "rest"):
        low, high = (getattr(row, f"{name}_{end}") for end in ("low", "high"))
        assert low <= getattr(row, name) <= high
    assert row.work_s == pytest.approx(WORK, rel=0.01)
    assert row.wait_s == pytest.approx((0, 0.010), abs=1e-3)
    assert row.transfer_s == pytest.approx((0.010, 0.010), rel=0.01)
    assert (row.collectives, row.watched_s) == (1, pytest.approx(0.065, rel=0.01))


def test_without_collectives_the_ranks_own_times_tell_the_balance(tmp_path):
    (row,) = losses(tmp_path, slow_ranks={1: 1.2}).losses
    assert (row.basis, row.communication) == ("times", 1.0)
    assert row.imbalance == pytest.approx(1.1 / 1.2, rel=0.01)
    assert "communication" not in row.text


def test_a_slow_device_is_an_imbalance_and_not_counted_as_contention_again(tmp_path):
    """Half of the copies are slow too: all of them together lose the mean."""

    def truth(case):
        return factories.work_time(case) if case.probe else 0.1 / case.gang_size

    (row,) = losses(tmp_path, slow_ranks={1: 1.2}, truth=truth).losses
    assert row.contention == pytest.approx(1 / 1.1, rel=0.01)
    assert row.rest == pytest.approx(1, rel=0.01)


def test_messages_outside_the_gang_leave_work_and_waiting_mixed(tmp_path):
    (row,) = losses(tmp_path, **(MET | {"watched": lambda _: None})).losses
    assert (row.basis, row.imbalance, row.communication) == ("nothing", None, None)
    assert "imbalance, communication and the rest" in row.text


def test_no_factor_is_sure_below_six_launches(tmp_path):
    (row,) = losses(tmp_path, **MET, launches=5).losses
    assert row.sure == ()
    assert row.imbalance_low is None
    assert "cannot be split" in row.text


def test_no_factor_is_sure_within_the_noise(tmp_path):
    found = losses(tmp_path, noise=0.25, launch_noise=0.0, seed=3)
    assert found.about[0].aa > 0.05
    assert all(abs(1 - getattr(row, name)) > found.about[0].aa for row in found.losses for name in row.sure)


def test_the_sentence_tells_sure_costs_that_add_up(tmp_path):
    found = losses(tmp_path, **MET)
    (row,) = found.losses
    text = row.text.replace(units.TIMES, "x")
    costs = r"Of the missing 0\.46x, contention costs 0\.0\dx, imbalance 0\.1\dx, communication 0\.2\dx, and the rest "
    assert re.match(costs, text), text
    (claim,) = [claim.text for claim in found.claims if claim.kind == "scaling"]
    assert claim.endswith(row.text)


def test_a_step_that_overlaps_is_told_to_be_longer_when_watched(tmp_path):
    overlapped = MET | {"truth": lambda case: together(case, transfer=0.0)}
    (row,) = losses(tmp_path, **overlapped).losses
    assert "takes 1.18" in row.text
    assert row.rest > 1.1


def test_the_culprit_of_a_gang_that_meets_is_told_by_its_work(tmp_path):
    """All ranks take the same time, whoever is slow."""
    (row, other) = (row for row in losses(tmp_path, **MET).ranks if not row.packed)
    assert (row.rank, row.basis, row.named) == (0, "work", True)
    assert row.ratio == pytest.approx(0.055 / 0.045, rel=0.01)
    assert (row.slowest_share, row.slowest_launches, row.launches) == (1, 6, 6)
    assert (other.named, other.slowest_launches) == (False, 0)


def test_it_is_named_in_one_place_and_nobody_is_where_work_is_equal(tmp_path):
    named = losses(tmp_path / "one", **MET)
    assert named.losses[0].slow_rank == 0
    assert "Rank 0 is slow." in named.losses[0].text
    (claim,) = [claim.text for claim in named.claims if claim.kind == "ranks"]
    assert "the time outside collectives of its peers" in claim
    assert "slowest in 6 of 6 launches" in claim
    same = MET | {"watched": lambda _: ((0.055, 0.055), TRANSFER), "noise": 0.03}
    for seed in range(5):
        found = losses(tmp_path / str(seed), **same, seed=seed)
        assert not any(row.named for row in found.ranks)
        assert found.losses[0].slow_rank is None
        assert any(claim.text.startswith("No rank is slower than its peers by more") for claim in found.claims)


def test_ranks_that_meet_unwatched_are_not_told_apart_by_times_that_meeting_makes_alike(tmp_path):
    """In a replayed graph no collective can be watched: who starts first there takes longest."""
    met = {"slow_ranks": {0: 1.3}, "packed": False, "counted": traffic}
    assert not losses(tmp_path / "met", **met).ranks
    assert any(row.named for row in losses(tmp_path / "apart", slow_ranks={0: 1.3}, packed=False).ranks)


def test_where_one_rank_does_more_by_design_nobody_is_slow(tmp_path):
    """One reads what it broadcasts: declared work is equal, and yet it is no fault."""
    for slow in (MET, {"slow_ranks": {0: 1.3}, "packed": False}):
        assert any(row.named for row in losses(tmp_path / f"{len(slow)}", **slow).ranks)
        uneven = slow | {"counted": lambda *each: traffic(*each) | {"uneven": each[0].gang_size > 1}}
        found = losses(tmp_path / f"{len(slow)}uneven", **uneven)
        assert {row.packed for row in found.ranks} <= {True}
        assert found.losses[0].slow_rank is None


def test_unequal_shares_are_nobodys_fault(tmp_path):
    share = {"share": lambda case, rank: 1 / 1 if case.gang_size == 1 else (0.55, 0.45)[rank]}
    (row,) = losses(tmp_path, **MET, **share).losses
    assert row.slow_rank is None
    assert "The work divides unequally: at best 1.82" in row.text
