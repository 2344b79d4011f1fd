"""Shares and parts: everything once, in order, on every number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from harness.common.errors import Skip
from harness.gang import Gang
from harness.work.counting import Count, count
from tests.ranks import Ranks, gang


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


@given(st.integers(0, 50), st.integers(1, 9))
def test_spans_and_owners_say_who_has_which_part(total: int, size: int) -> None:
    pieces = list(range(total))
    spans = [pieces[gang(rank, size).span(total)] for rank in range(size)]
    assert spans == [gang(rank, size).part(torch.arange(total)).tolist() for rank in range(size)]
    owners = gang(0, size).owners(total)
    assert [[piece for piece in pieces if owners[piece] == rank] for rank in range(size)] == spans


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


def collectives(mine: Gang) -> dict[str, torch.Tensor]:
    x = torch.arange(4.0) + 10 * mine.rank
    return {
        "sum": mine.all_reduce(x.clone()),
        "all": mine.all_gather(x),
        "part": mine.reduce_scatter(x),
        "first": mine.broadcast(x.clone()),
        "last": mine.broadcast(x.clone(), source=mine.size - 1),
    }


def test_two_ranks_reduce_gather_scatter_and_broadcast(two_ranks: Ranks) -> None:
    x, y = torch.arange(4.0), torch.arange(4.0) + 10
    for rank, told in enumerate(two_ranks.do(collectives)):
        assert torch.equal(told["sum"], x + y)
        assert torch.equal(told["all"], torch.stack([x, y]))
        assert torch.equal(told["part"], (x + y).chunk(2)[rank])
        assert torch.equal(told["first"], x)
        assert torch.equal(told["last"], y)


def messages(mine: Gang) -> list[Count]:
    x = torch.ones(1000)
    return [
        count(lambda: mine.all_reduce(x)),
        count(lambda: mine.all_gather(x)),
        count(lambda: mine.reduce_scatter(x)),
        count(lambda: mine.broadcast(x)),
    ]


def test_the_ledger_counts_the_bytes_of_every_collective(two_ranks: Ranks) -> None:
    told = [[each.traffic_bytes for each in mine] for mine in two_ranks.do(messages)]
    assert told == [[4000, 8000, 4000, 4000]] * 2


def test_a_gang_has_one_folder_for_its_files(two_ranks: Ranks) -> None:
    first, second = two_ranks.do(folder)
    assert first == second


def folder(mine: Gang) -> str:
    assert mine.scratch.is_dir()
    return str(mine.scratch)


def test_what_has_been_swept_is_not_made_anew(tmp_path: Path) -> None:
    late = gang(0, 1, tmp_path / "scratch" / "0badcafe")  # the run has ended, and with it its scratch folder
    with pytest.raises(FileNotFoundError):
        _ = late.scratch
    assert not list(tmp_path.iterdir())


def joined(mine: Gang, shape: tuple[int, ...], dim: int) -> torch.Tensor:
    whole = torch.randn(shape, generator=mine.shared_generator)
    again = mine.join(mine.part(whole, dim), shape[dim], dim)
    assert torch.equal(again, whole)
    return again


def joined_of_a_view(mine: Gang) -> torch.Tensor:
    whole = torch.arange(12.0).view(3, 4).T
    return mine.join(mine.part(whole), 4)


@pytest.mark.parametrize(("shape", "dim"), [((6,), 0), ((7, 3), 0), ((2, 5), 1), ((2, 1, 3), 1), ((2, 5), -1)])
def test_join_is_the_way_back_from_part(two_ranks: Ranks, shape: tuple[int, ...], dim: int) -> None:
    first, second = two_ranks.do(joined, shape, dim)
    assert torch.equal(first, second)
    assert torch.equal(joined(gang(0, 1), shape, dim), first)


def test_join_takes_parts_that_are_not_contiguous(two_ranks: Ranks) -> None:
    for told in two_ranks.do(joined_of_a_view):
        assert torch.equal(told, torch.arange(12.0).view(3, 4).T)


def join_traffic(mine: Gang) -> int:
    part = mine.part(torch.randn(10, 5), 1)
    return count(lambda: mine.join(part, 5, 1)).traffic_bytes


def test_a_shorter_part_is_padded_and_the_padding_is_counted(two_ranks: Ranks) -> None:
    assert two_ranks.do(join_traffic) == [2 * 10 * 3 * 4] * 2


def _rows(gang: Gang, n: int) -> tuple[list[list[int]], dict[str, tuple[int, float]]]:
    """The mesh's ranks, and by dimension the size of this rank's group and the sum of 1 + rank over it."""
    mesh = gang.split(n)
    sums = {}
    for name in ("across", "within"):
        group = mesh.get_group(name)
        total = torch.tensor([1.0 + gang.rank])
        dist.all_reduce(total, group=group)
        sums[name] = group.size(), float(total)
        dist.destroy_process_group(group)
    return mesh.mesh.tolist(), sums


def test_two_ranks_are_split_into_rows_of_neighbours(two_ranks: Ranks) -> None:
    assert two_ranks.do(_rows, 1) == [
        ([[0], [1]], {"across": (2, 3.0), "within": (1, 1.0)}),
        ([[0], [1]], {"across": (2, 3.0), "within": (1, 2.0)}),
    ]
    assert two_ranks.do(_rows, 2) == [
        ([[0, 1]], {"across": (1, 1.0), "within": (2, 3.0)}),
        ([[0, 1]], {"across": (1, 2.0), "within": (2, 3.0)}),
    ]


@pytest.mark.parametrize("n", [0, 3, 4])
def test_rows_that_do_not_divide_the_ranks_are_skipped_by_design(n: int) -> None:
    with pytest.raises(Skip, match=f"2 ranks cannot be split into groups of {n}"):
        gang(0, 2).split(n)
