"""Shares and parts: everything once, in order, on every number of ranks."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.gang import Gang, seeded

cpu = torch.device("cpu")


def gang(rank: int, size: int) -> Gang:
    return Gang(rank, size, cpu, seeded(cpu, rank), seeded(cpu, "shared"))


@given(st.integers(0, 200), st.integers(1, 9))
def test_shares_add_up_and_differ_by_one_at_most(total: int, size: int) -> None:
    shares = [gang(rank, size).share(total) for rank in range(size)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 50), st.integers(1, 9))
def test_parts_are_the_shares_in_rank_order(total: int, size: int) -> None:
    whole = torch.arange(total)
    parts = [gang(rank, size).part(whole) for rank in range(size)]
    assert torch.equal(torch.cat(parts), whole)
    assert [len(part) for part in parts] == [gang(rank, size).share(total) for rank in range(size)]


def test_generators_are_alike_where_they_are_shared_and_differ_where_not() -> None:
    one, other = gang(0, 2), gang(1, 2)
    assert torch.equal(torch.rand(4, generator=one.shared_generator), torch.rand(4, generator=other.shared_generator))
    assert not torch.equal(torch.rand(4, generator=one.generator), torch.rand(4, generator=other.generator))


def test_alone_the_collectives_are_the_identity() -> None:
    lone, x = gang(0, 1), torch.arange(6.0)
    assert torch.equal(lone.all_reduce(x), x)
    assert torch.equal(lone.all_gather(x), x[None])
    assert torch.equal(lone.reduce_scatter(x), x)
    assert torch.equal(lone.broadcast(x), x)
    lone.barrier()
