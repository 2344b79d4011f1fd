"""What ranks tell each other arrives as it was sent, on real ranks over gloo; nothing of it is unpickled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch.distributed as dist
from pydantic import ValidationError

from harness.device.timing import Lap
from harness.gang import Gang
from harness.measure.launch_ahead import Room
from harness.world.control import Agreement, Failure
from tests.ranks import Ranks


@dataclass(frozen=True)
class Told:
    """What a rank has of everything."""

    gathered: list[object]
    collected: list[bytes]
    settled: Failure | None


VALUES = (
    (Lap(0.1, 0.2, None), Room(), None, {7: (1, 2.5)}, "größe 1"),
    (Lap(1e9 / 3, math.inf, 0.5, -math.inf), Room(3), "a\x00b\n", {}, ""),
)
KIND = tuple[Lap, Room, str | None, dict[int, tuple[int, float]], str]


def talk(mine: Gang) -> Told:
    agreement = Agreement(mine.rank, 2, {2: dist.group.WORLD})
    gathered = agreement.gather(VALUES[mine.rank], KIND)
    collected = agreement.collect(bytes(range(256)) * 100 if mine.rank else b"")
    failure = Failure.of("error", "\ud800 cannot be written", 1, math.inf) if mine.rank else None
    return Told(gathered, collected, agreement.settle(failure))


def test_values_arrive_as_they_were_sent_and_traces_at_the_first_rank_only(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(talk)
    assert first.gathered == second.gathered == list(VALUES)
    assert first.collected == [b"", bytes(range(256)) * 100] and second.collected == []
    assert first.settled == second.settled
    assert first.settled is not None and (first.settled.rank, first.settled.when_s) == (1, math.inf)


def mistyped(mine: Gang) -> str:
    agreement = Agreement(mine.rank, 2, {2: dist.group.WORLD})
    value, kind = ("text", str) if mine.rank == 0 else (1, int)
    with pytest.raises(ValidationError):
        agreement.gather(value, kind)
    return "refused"


def test_what_a_rank_does_not_expect_is_refused(two_ranks: Ranks) -> None:
    assert two_ranks.do(mistyped) == ["refused"] * 2


def test_a_rank_alone_agrees_with_itself() -> None:
    assert Agreement().gather(VALUES[0], KIND) == [VALUES[0]]
    assert Agreement().collect(b"a") == [b"a"]
