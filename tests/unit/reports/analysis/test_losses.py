"""Why not linear: seconds that add up, find what was put in, and name a culprit or nobody."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.journal.records import Traffic
from reports.analysis import summary
from reports.analysis.losses import waiting_s
from tests import factories

QUIET = {"noise": 0.002, "launch_noise": 0.002, "variants": ("whole",), "world_sizes": (1, 2)}
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
        {"share": lambda case, rank: 1 / 1 if case.gang_size == 1 else (15 / 16, 1 / 16)[rank]},
    ],
)
def test_the_parts_are_the_seconds_above_the_ideal(tmp_path, changes):
    found = losses(tmp_path, **changes)
    cells = {row.key: row for row in found.cells if row.ideal_s is not None}
    assert {row.key for row in found.losses} == set(cells)
    for row in found.losses:
        cell = cells[row.key]
        assert math.fsum(part.seconds for part in row.parts.values()) == pytest.approx(row.missing_s, abs=1e-12)
        assert row.missing_s == pytest.approx(cell.median_s - cell.ideal_s, abs=1e-12)
        assert cell.ideal_s / cell.median_s == pytest.approx(row.efficiency)
        for part in row.parts.values():
            assert part.low is None or part.low <= part.seconds <= part.high


def test_every_part_is_what_was_put_in(tmp_path):
    (row,) = losses(tmp_path, **MET).losses
    assert row.basis == "collectives"
    assert row.contention.seconds == pytest.approx(0.0015, abs=2e-4)  # 3 % of the ideal's 50 ms
    assert row.imbalance.seconds == pytest.approx(0.010, abs=3e-4)
    assert row.communication.seconds == pytest.approx(TRANSFER, abs=1e-4)
    assert row.other.seconds == pytest.approx(0.045 - 0.050 - 0.0015, abs=5e-4)  # the waiting rank's work is less
    assert row.work_s == pytest.approx(WORK, rel=0.01)
    assert row.wait_s == pytest.approx((0, 0.010), abs=1e-3)
    assert row.transfer_s == pytest.approx((0.010, 0.010), rel=0.01)
    assert (row.collectives, row.watched_s) == (1, pytest.approx(0.065, rel=0.01))


def test_what_is_hidden_behind_work_is_told_beside_what_is_exposed(tmp_path):
    (row,) = losses(tmp_path, **MET, hidden_s=0.030).losses
    assert row.hidden_s == (0.030, 0.030)
    assert row.exposed_s == pytest.approx(TRANSFER, rel=0.01)  # the busiest rank waits for nobody
    assert row.overlap == pytest.approx(0.75, rel=0.01)
    assert row.communication.seconds == pytest.approx(TRANSFER, rel=0.01)
    text = row.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Another 30.0 ms of communication, 75 % of it, is hidden behind work." in text
    (row,) = losses(tmp_path / "none", **MET).losses
    assert row.overlap == 0
    assert "hidden" not in row.text


def test_each_cases_messages_stand_by_kind_with_the_time_that_they_take(tmp_path):
    def counted(case, _, rank):
        if case.gang_size == 1:
            return {}
        sums = Traffic(kind="all_reduce", group_size=2, count=2, bytes_in=500, bytes_out=500, bytes=500)
        sends = Traffic(
            kind="send", group_size=2, count=1, bytes_in=100 * (1 + rank), bytes_out=0, bytes=100 * (1 + rank)
        )
        return {"traffic_bytes": 600 + 100 * rank, "messages": (sums, sends)}

    run = losses(tmp_path, **(MET | {"counted": counted}), hidden_s=0.030)
    alone, both = sorted(run.cells, key=lambda row: row.world_size)
    assert alone.messages == ()
    sums, sends = both.messages
    assert (sums.kind, sums.count, sums.bytes_in, sums.bytes_out) == ("all_reduce", 2, 500, 500)
    assert (sums.under_way_s, sums.exposed_s) == (pytest.approx(0.040), pytest.approx(TRANSFER))
    assert (sends.bytes_in, sends.bytes_out, sends.exposed_s) == (200, 0, None)  # the rank that sends most


def test_a_link_that_takes_nearly_all_of_a_step_is_communication_with_its_rate_and_its_hosts(tmp_path):
    """On a link of 100 Mbit/s a step of 341 ms is practically all transfer."""

    def truth(case):
        return 0.341 if case.gang_size > 1 and not case.probe else 0.011 if case.packed else 0.010

    sent = {"counted": lambda case, *_: {"traffic_bytes": 4_000_000 * (case.gang_size > 1)}}
    like = {"truth": truth, "watched": lambda _: ((0.0055, 0.0055), 0.3355), "host": lambda _, rank: f"node-{rank}"}
    (row,) = losses(tmp_path, **sent, **like).losses
    assert row.communication.seconds == pytest.approx(0.3355, rel=0.01)
    assert row.communication.seconds > 0.95 * row.missing_s
    assert row.bytes_per_s == pytest.approx(4e6 / 0.3355, rel=0.01)
    assert row.hosts == ("node-0", "node-1")
    text = row.text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r", communication takes 33\d ms \(4.00 MB at 11.9 MB/s between node-0 and node-1\)", text), text


def test_without_collectives_the_ranks_own_times_tell_the_balance(tmp_path):
    (row,) = losses(tmp_path, slow_ranks={1: 1.2}).losses
    assert (row.basis, row.communication) == ("times", None)
    assert row.imbalance.seconds == pytest.approx(0.2 * 0.0535, rel=0.02)
    assert "communication" not in row.text


@pytest.mark.parametrize(("slow", "other_s"), [(0, -0.01), (1, 0.0)])
def test_a_slow_device_is_an_imbalance_and_no_contention(tmp_path, slow, other_s):
    """Its copies are slow too, but the first device's copy is compared with that device alone.

    Where the first device is the slow one the base is slow, and the others give back what it makes them wait.
    """

    def truth(case):
        return factories.work_time(case) if case.probe else 0.1 / case.gang_size

    (row,) = losses(tmp_path, slow_ranks={slow: 1.2}, truth=truth).losses
    assert row.imbalance.seconds == pytest.approx(0.2 * 0.05, rel=0.02)
    assert not row.contention.sure
    assert row.other.seconds == pytest.approx(other_s, abs=3e-4)


def test_one_straggler_is_charged_whole_however_few_its_peers(tmp_path):
    """A rank that sleeps 200 ms in a step costs 200 ms, on two ranks as on four."""
    for ranks in (2, 4):
        work = [0.2 + 0.1 / ranks] + [0.1 / ranks] * (ranks - 1)
        like = {
            "truth": lambda case, work=work: together(case, work=work, transfer=0.0),
            "watched": lambda _, work=work: (work, 0.0),
            "world_sizes": (1, ranks),
        }
        (row,) = losses(tmp_path / str(ranks), **(MET | like)).losses
        assert row.imbalance.seconds == pytest.approx(0.2, rel=0.02)
        assert "imbalance takes 200" in row.text
        assert "Rank 0 (cpu:0) is slow." in row.text


def test_ranks_that_take_turns_wait_for_one_another(tmp_path):
    """Each is the busiest in every other sample: their sums are alike, and yet they wait."""
    turns = np.array([[0.06, 0.04, 0.06, 0.04], [0.04, 0.06, 0.04, 0.06]])
    assert waiting_s(turns, np.zeros_like(turns), np.ones(2)) == pytest.approx(0.02)


@given(
    arrays(float, (4, 6), elements=st.floats(1e-3, 1.0)),
    arrays(float, (4,), elements=st.floats(0.0, 1.0)),
    st.permutations(range(4)),
)
def test_waiting_is_none_of_the_ranks_numbers(work, shares, order):
    """Nor more than a step, and nothing for who has less to do by as much as is declared."""
    shares[0] = 1.0
    zero = np.zeros_like(work)
    waited = waiting_s(work, zero, shares)
    assert waited == pytest.approx(waiting_s(work[order], zero, shares[order]))
    assert waited <= work.max(axis=0).max() + 1e-12
    by_design = np.outer(shares, np.ones(6))
    assert waiting_s(by_design, zero, shares) == pytest.approx(0.0, abs=1e-12)


def test_messages_outside_the_gang_leave_work_and_waiting_mixed(tmp_path):
    (row,) = losses(tmp_path, **(MET | {"watched": lambda _: None})).losses
    assert (row.basis, row.imbalance, row.communication) == ("nothing", None, None)
    assert "imbalance and communication are not known, as not all messages were watched" in row.text


def test_a_sentence_of_which_only_other_is_known_is_one(tmp_path):
    (row,) = losses(tmp_path, **(MET | {"watched": lambda _: None, "packed": False})).losses
    text = row.text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.match(
        r"Of the 15\.\d ms of a step above its ideal of [\d.]+ ms, other takes 15\.\d ms; contention is not", text
    )


def test_no_part_is_sure_below_six_launches(tmp_path):
    (row,) = losses(tmp_path, **MET, launches=5).losses
    assert not any(part.sure for part in row.parts.values())
    assert row.imbalance.low is None
    assert "cannot be split: that takes 6 launches" in row.text


def test_no_part_is_sure_within_the_noise(tmp_path):
    found = losses(tmp_path, noise=0.25, launch_noise=0.0, seed=3)
    assert found.about[0].aa > 0.05
    for row in found.losses:
        assert all(abs(part.seconds) > row.noise_s for part in row.parts.values() if part.sure)


def test_the_sentence_tells_sure_parts_the_greatest_first(tmp_path):
    found = losses(tmp_path, **MET)
    (row,) = found.losses
    text = row.text.replace("\N{NO-BREAK SPACE}", " ")
    parts = (
        r"Of the 15\.\d ms of a step above its ideal of [\d.]+ ms, communication takes [\d.]+ ms "
        r"\(800 B at [\d.]+ kB/s\), imbalance [\d.]+ ms and contention 1\.\d+ ms; "
        r"other gives back 6\.\d+ ms\. Rank 0 \(cpu:0\) is slow\."
    )
    assert re.fullmatch(parts, text), text
    (claim,) = [claim.text for claim in found.claims if claim.kind == "scaling"]
    assert claim.endswith(row.text)


def test_a_step_that_overlaps_is_told_to_be_longer_when_watched(tmp_path):
    overlapped = MET | {"truth": lambda case: together(case, transfer=0.0)}
    (row,) = losses(tmp_path, **overlapped).losses
    assert "takes 1.18" in row.text
    assert row.other.seconds < -TRANSFER


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
    assert "Rank 0 (cpu:0) is slow." in named.losses[0].text
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
        asymmetric = slow | {"counted": lambda *each: traffic(*each) | {"asymmetric": each[0].gang_size > 1}}
        found = losses(tmp_path / f"{len(slow)}uneven", **asymmetric)
        assert {row.packed for row in found.ranks} <= {True}
        assert found.losses[0].slow_rank is None


def test_unequal_shares_are_nobodys_fault_and_no_loss(tmp_path):
    """What is declared unequal is in the ideal: the other rank waits by design."""
    share = {"share": lambda case, rank: 1 / 1 if case.gang_size == 1 else (0.55, 0.45)[rank]}
    found = losses(tmp_path, **MET, **share)
    (row,) = found.losses
    assert row.slow_rank is None
    assert row.ideal_s == pytest.approx(0.055, rel=0.01)
    assert not row.imbalance.sure
    (claim,) = [claim.text for claim in found.claims if claim.kind == "scaling"]
    assert "(at best 1.82" in claim


def test_ranks_with_unequal_work_by_design_are_not_cleared(tmp_path):
    """A case without rows of ranks, as where one rank reads and broadcasts, says nothing of slow ranks."""
    asymmetric = MET | {"counted": lambda *each: traffic(*each) | {"asymmetric": each[0].gang_size > 1}}
    (row,) = losses(tmp_path, **asymmetric).losses
    assert "unequal work by design, so none of them can be called slow" in row.text
    assert "No rank" not in row.text
