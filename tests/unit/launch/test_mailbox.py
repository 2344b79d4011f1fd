"""What ranks tell reaches the driver in order, whatever the order in which it arrives at the mailbox."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from launch.ray_cluster.mailbox import Lines

COUNTS = st.lists(st.integers(0, 8), min_size=1, max_size=3)


def text(rank: int, number: int) -> str:
    return f"line {number} of rank {rank}"


@given(COUNTS, st.data())
def test_every_line_is_delivered_once_and_each_ranks_in_order(counts: list[int], data: st.DataObject) -> None:
    sent = [(rank, number) for rank, count in enumerate(counts) for number in range(count)]
    arriving = data.draw(st.permutations(sent))
    again = data.draw(st.lists(st.sampled_from(sent))) if sent else []  # as after a call that was repeated
    lines, delivered = Lines(), []
    for rank, number in [*arriving, *again]:
        lines.put(rank, number, text(rank, number))
        if data.draw(st.booleans()):
            ready = lines.after(len(delivered))
            assert lines.after(len(delivered)) == ready  # nothing is lost by asking
            delivered += ready
    delivered += lines.after(len(delivered))
    of: dict[int, list[str]] = defaultdict(list)
    for line in delivered:
        of[line.rank].append(line.text)
    assert of == {rank: [text(rank, number) for number in range(count)] for rank, count in enumerate(counts) if count}
    assert lines.after(len(delivered)) == []


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_what_has_arrived_after_a_lost_line_is_delivered_once_nobody_waits_for_that(
    arriving: list[int], lost: set[int]
) -> None:
    lines = Lines()
    for number in arriving:
        if number not in lost:
            lines.put(0, number, str(number))
    first = min(lost, default=6)
    assert [line.text for line in lines.after(0)] == list(map(str, range(first)))
    lines.skip_gaps()
    assert [line.text for line in lines.after(0)] == [str(number) for number in range(6) if number not in lost]


def test_what_is_acknowledged_is_not_kept() -> None:
    lines = Lines()
    for number in range(100):
        lines.put(0, number, "x")
    assert len(lines.after(60)) == 40
    assert len(lines._ready) == 40
