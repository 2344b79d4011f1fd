"""What ranks tell each other arrives as it was sent, on real ranks over gloo; nothing of it is unpickled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch.distributed as dist
from pydantic import ValidationError

from harness.device.timing import RankSample
from harness.gang import Gang
from harness.measure.launch_ahead import QueueDepth
from harness.world.control import ControlPlane, Failure
from tests.ranks import Ranks


@dataclass(frozen=True)
class Told:
    """What a rank has of everything."""

    gathered: list[object]
    collected: list[bytes]
    settled: Failure | None


VALUES = (
    (RankSample(0.1, 0.2, None), QueueDepth(), None, {7: (1, 2.5)}, "größe 1"),
    (RankSample(1e9 / 3, math.inf, 0.5, 1e-3, late=True), QueueDepth(3), "a\x00b\n", {}, ""),
)
KIND = tuple[RankSample, QueueDepth, str | None, dict[int, tuple[int, float]], str]


def talk(mine: Gang) -> Told:
    control = ControlPlane(mine.rank, 2, {2: dist.group.WORLD})
    gathered = control.gather(VALUES[mine.rank], KIND)
    collected = control.collect(bytes(range(256)) * 100 if mine.rank else b"")
    failure = Failure.of("error", "\ud800 cannot be written", 1, math.inf) if mine.rank else None
    return Told(gathered, collected, control.settle(failure))


def test_values_arrive_as_they_were_sent_and_traces_at_the_first_rank_only(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(talk)
    assert first.gathered == second.gathered == list(VALUES)
    assert first.collected == [b"", bytes(range(256)) * 100] and second.collected == []
    assert first.settled == second.settled
    assert first.settled is not None and (first.settled.rank, first.settled.when_s) == (1, math.inf)


def mistyped(mine: Gang) -> str:
    control = ControlPlane(mine.rank, 2, {2: dist.group.WORLD})
    value, kind = ("text", str) if mine.rank == 0 else (1, int)
    with pytest.raises(ValidationError):
        control.gather(value, kind)
    return "refused"


def test_what_a_rank_does_not_expect_is_refused(two_ranks: Ranks) -> None:
    assert two_ranks.do(mistyped) == ["refused"] * 2


def test_a_rank_alone_agrees_with_itself() -> None:
    assert ControlPlane().gather(VALUES[0], KIND) == [VALUES[0]]
    assert ControlPlane().collect(b"a") == [b"a"]
