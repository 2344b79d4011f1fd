"""The clocks of two hosts: their difference is found within the error that is told."""

from __future__ import annotations

import torch.distributed as dist

from harness.device.timing import now
from harness.gang import Gang
from harness.world.aligned_start import Offset, estimate
from tests.ranks import Ranks

AHEAD_S = 1234.5


def shifted(mine: Gang) -> Offset:
    return estimate(dist.group.WORLD, lambda: now() + AHEAD_S * mine.rank)


def test_a_clock_that_is_ahead_is_set_back(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(shifted)
    assert first == Offset()
    assert abs(second.seconds + AHEAD_S) <= second.error_s  # both ranks read one clock here, so the truth is known
    assert 0 < second.error_s < 0.05
