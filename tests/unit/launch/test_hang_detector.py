"""Who hangs: not the rank that waits, but the one it waits for; and nobody, as long as they all move."""

from __future__ import annotations

import math

import pytest

from harness.journal.protocol import RankNote, State, VisitNote
from harness.journal.records import LaunchRecord, Status
from launch.supervision.hang_detector import GAP_S, SETTLE_S, SETUP_S, SLACK_S, HangDetector

UP = LaunchRecord(launch=0, launcher="t", started="", fingerprint="", lead_s=0, ranks=())
VISIT = VisitNote(comparison=0, case="a@2", round=0, rounds=1)
DEADLINE_S = 10.0


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def up(clock: Clock, size: int = 2) -> HangDetector:
    detector = HangDetector(size, DEADLINE_S, clock)
    detector.hear(UP)
    return detector


def note(rank: int, state: State) -> RankNote:
    return RankNote(rank=rank, state=state, at=f"step (plugin.py:{rank})", stack="stack\n" * 2000)


def after(clock: Clock, detector: HangDetector, **states: State) -> tuple[int | None, float]:
    """Who hangs, and how long after the deadline that is known, where the ranks tell so at the deadline."""
    clock.now_s += DEADLINE_S
    for name, state in states.items():
        detector.hear(note(int(name[1:]), state))
    slack_s = detector.until_s - clock.now_s
    clock.now_s = detector.until_s
    return detector.verdict().rank, slack_s


def test_a_gang_that_never_comes_up_has_a_deadline_of_its_own(clock: Clock) -> None:
    detector = HangDetector(2, DEADLINE_S, clock)
    assert detector.until_s == clock.now_s + SETUP_S
    assert detector.verdict().rank is None and "not ready" in detector.verdict().message


@pytest.mark.parametrize(
    ("states", "guilty"),
    [
        ({"r0": "collective", "r1": "stuck"}, 1),  # rank 0 waits in a collective for one who does not come
        ({"r0": "waits", "r1": "stuck"}, 1),
        ({"r0": "waits", "r1": "collective"}, 1),  # in a collective that nobody else is in
        ({"r0": "stuck", "r1": "collective"}, 0),
        ({"r0": "collective"}, 1),  # rank 1 is stopped: it tells nothing
        ({"r1": "stuck"}, 0),
        ({"r0": "waits"}, 1),
        ({"r0": "waits", "r1": "waits"}, None),
        ({}, 0),
    ],
)
def test_who_hangs_is_named_and_not_who_waits(clock: Clock, states: dict[str, State], guilty: int | None) -> None:
    told = after(clock, up(clock), **states)
    assert told == (guilty, SLACK_S)


def test_ranks_without_a_part_in_a_long_case_wait_without_end(clock: Clock) -> None:
    detector = up(clock)
    for _ in range(100):
        clock.now_s += DEADLINE_S
        detector.hear(note(0, "moves"))
        detector.hear(note(1, "waits"))
        assert detector.until_s == clock.now_s + DEADLINE_S + SLACK_S


def test_a_complaint_is_withdrawn_by_who_moves_again(clock: Clock) -> None:
    detector = up(clock)
    clock.now_s += DEADLINE_S
    detector.hear(note(0, "stuck"))
    detector.hear(VISIT)  # rank 0 has come to its next visit
    assert detector.until_s == clock.now_s + SLACK_S  # which is due from rank 1 anyway
    detector.hear(note(1, "waits"))
    assert detector.until_s == clock.now_s + DEADLINE_S + SLACK_S


def test_a_machine_that_stood_still_as_a_whole_may_withdraw_all_complaints(clock: Clock) -> None:
    detector = up(clock)
    clock.now_s += 3 * DEADLINE_S
    for rank in range(2):
        detector.hear(note(rank, "stuck"))
    assert detector.until_s == clock.now_s + SLACK_S
    for rank in range(2):
        detector.hear(note(rank, "moves"))
    assert detector.until_s == clock.now_s + DEADLINE_S + SLACK_S


def test_who_was_heard_of_lately_is_not_silent(clock: Clock) -> None:
    detector = up(clock)
    clock.now_s += DEADLINE_S / 2
    detector.hear(note(0, "moves"))  # and then it waits for rank 1, which was stopped meanwhile
    clock.now_s = detector.until_s
    assert detector.silent == [1]
    assert detector.verdict().rank == 1
    assert [outcome.outcome for outcome in detector.outcomes()] == [
        "rank 0, which was up",
        "rank 1, which does not even answer",
    ]


def test_nothing_is_expected_from_who_has_ended(clock: Clock) -> None:
    detector = up(clock)
    detector.dismiss(1)
    assert after(clock, detector, r0="stuck") == (0, SLACK_S)
    detector.dismiss(0)
    assert detector.silent == []
    detector = up(clock)
    for rank in (0, 1):
        detector.dismiss(rank)
    assert detector.until_s == math.inf


def test_the_fates_have_every_ranks_stack_cut_to_a_page(clock: Clock) -> None:
    detector = up(clock, 3)
    after(clock, detector, r0="collective", r1="stuck")
    first, second, third = detector.outcomes()
    assert (
        first.outcome == "rank 0, in a collective of step (plugin.py:0)" and len(first.words or "") == 3999
    )  # without the last line break
    assert second.outcome == "rank 1, in step (plugin.py:1)"
    assert third.outcome == "rank 2, which does not even answer" and third.words is None


def test_who_says_that_it_failed_is_guilty_though_its_peers_wait_in_nccl(clock: Clock) -> None:
    detector = up(clock)
    failed = note(1, "failed").model_copy(update={"at": "ValueError: planted", "status": "oom", "stack": "Traceback\n"})
    detector.hear(failed)
    detector.hear(failed.model_copy(update={"rank": 0, "at": "in consequence"}))
    clock.now_s += 1
    detector.hear(note(0, "collective"))
    assert detector.until_s - clock.now_s == pytest.approx(SLACK_S)  # rank 1 is asked where it stands
    detector.hear(note(1, "waits"))
    ending = detector.verdict()
    assert (ending.status, ending.rank, ending.message) == ("oom", 1, "ValueError: planted")
    first, second = detector.outcomes()
    assert first.outcome.startswith("rank 0, in a collective of step") and second.outcome == "rank 1, which has failed"
    assert second.words == "Traceback"


def test_who_refuses_a_case_while_its_peers_wait_does_not_end_the_whole_launch(clock: Clock) -> None:
    """An ending of ``skipped`` says that there were no devices, and then nothing of the launch is tried."""
    detector = up(clock)
    detector.hear(note(1, "failed").model_copy(update={"at": "it cannot be captured", "status": "skipped"}))
    assert (detector.verdict().status, detector.verdict().message) == ("error", "it cannot be captured")


def test_a_gang_with_a_failed_rank_has_a_moment_to_settle_it(clock: Clock) -> None:
    detector = up(clock)
    detector.hear(note(1, "failed"))
    assert detector.until_s - clock.now_s == SETTLE_S < DEADLINE_S + SLACK_S
    detector.hear(VISIT)  # that may have been told before
    assert detector.until_s - clock.now_s == SETTLE_S


def test_the_fates_have_the_collectives_in_flight(clock: Clock) -> None:
    detector = up(clock)
    detector.hear(
        note(0, "collective").model_copy(update={"pending": ("nccl:all_reduce number 7", "nccl:broadcast number 8")})
    )
    words = detector.outcomes()[0].words or ""
    assert words.endswith("\nin flight: nccl:all_reduce number 7\nin flight: nccl:broadcast number 8")


def test_who_is_heard_of_at_the_last_moment_hangs_nobody(clock: Clock) -> None:
    """The verdict was due, and then all ranks told that they move: their parent had been stopped for a while."""
    detector = up(clock)
    clock.now_s += 5 * DEADLINE_S
    for rank in range(2):
        detector.hear(note(rank, "moves"))
    assert detector.until_s > clock.now_s
    assert (detector.verdict().rank, detector.verdict().status) == (None, "hang")


def looked(clock: Clock, detector: HangDetector, seconds: float) -> None:
    """Time passes while the parent looks twice a second."""
    for _ in range(round(2 * seconds)):
        detector.look()
        clock.now_s += 0.5
    detector.look()


def test_a_run_that_was_frozen_as_a_whole_has_its_deadline_anew(clock: Clock) -> None:
    detector = up(clock)
    looked(clock, detector, DEADLINE_S / 2)
    clock.now_s += 10 * DEADLINE_S
    detector.look()
    for rank in range(2):
        detector.hear(note(rank, "stuck"))  # by their clocks they have not moved for long, and their step goes on
    due_s = clock.now_s + DEADLINE_S + SLACK_S
    assert detector.until_s == due_s
    looked(clock, detector, DEADLINE_S)
    assert detector.until_s == due_s  # for one that really hangs
    assert detector.verdict().rank == 0


def test_a_run_that_was_frozen_while_it_started_may_start_for_as_long_again(clock: Clock) -> None:
    detector = HangDetector(2, DEADLINE_S, clock)
    clock.now_s += 2 * SETUP_S
    detector.look()
    assert detector.until_s == clock.now_s + SETUP_S


def test_a_rank_that_is_stopped_alone_has_no_longer_than_ever(clock: Clock) -> None:
    detector = up(clock)
    due_s = detector.until_s
    looked(clock, detector, DEADLINE_S)
    clock.now_s += 0.9 * GAP_S  # the parent writes down what it has heard
    detector.look()
    assert detector.until_s == due_s and detector.silent == []


def failed(rank: int, when_s: float, state: State = "failed", status: Status = "error") -> RankNote:
    return RankNote(rank=rank, state=state, at=f"the error of rank {rank}", status=status, when_s=when_s)


def test_a_failure_that_was_settled_ends_no_gang(clock: Clock) -> None:
    detector = up(clock)
    calm_s = detector.until_s
    detector.hear(failed(1, 1.0))
    detector.hear(failed(0, 2.0))  # it follows from the first
    assert detector.until_s == clock.now_s + SETTLE_S < calm_s
    detector.hear(failed(0, 2.0, "settled"))
    assert detector.verdict().message == "the error of rank 1"
    detector.hear(failed(1, 1.0, "settled"))
    assert detector.until_s == calm_s
    detector.hear(failed(1, 3.0))  # of the next case; word of the last comes late
    detector.hear(failed(0, 2.0, "settled"))
    assert detector.verdict().message == "the error of rank 1"


def test_the_first_to_fail_is_named_whoever_is_heard_first(clock: Clock) -> None:
    detector = up(clock)
    detector.hear(failed(0, 2.0))
    detector.hear(failed(1, 1.0))
    clock.now_s = detector.until_s
    assert (detector.verdict().status, detector.verdict().rank) == ("error", 1)


def test_who_finds_an_output_wrong_is_named_where_its_peers_then_hang(clock: Clock) -> None:
    """Until then they may be at checks of their own, which take long."""
    detector = up(clock)
    calm_s = detector.until_s
    detector.hear(failed(1, 1.0, status="wrong"))
    assert detector.until_s == calm_s
    guilty, _ = after(clock, detector, r0="collective", r1="waits")
    assert guilty == 1 and detector.verdict().status == "wrong"
