"""What ranks are to hold alike: a checksum that sees every bit, and checks that see every rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.gang import Gang, seeded
from harness.plugins import registry
from harness.work import contract
from scenarios import replicas
from scenarios.replicas import checksum
from tests.ranks import Ranks
from tests.unit.scenarios.test_every_scenario import ENTRIES, SMALL

cpu = torch.device("cpu")
ALIKE = ("branches", "children", "construction", "crossover", "fourier", "frobenius", "instances", "nested", "split")
"""Scenarios whose exact result each rank computes from what it holds itself."""
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64])


def summed(*tensors: torch.Tensor) -> int:
    return int(checksum(tensors, cpu))


@given(dtypes, st.lists(st.integers(1, 4), max_size=3), st.integers(0, 2**32), st.data())
def test_the_checksum_sees_every_bit_and_its_place(
    dtype: torch.dtype, shape: list[int], seed: int, data: st.DataObject
) -> None:
    random = torch.Generator().manual_seed(seed)
    made = torch.randint(0, 9, shape, generator=random).to(dtype)
    before = summed(made)
    assert summed(made.clone()) == before
    flat = (torch.view_as_real(made) if dtype.is_complex else made).clone()
    bits = flat.view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, len(bits) - 1))
    bits[place] ^= 1 << data.draw(st.integers(0, 7 if dtype != torch.bool else 0))
    assert summed(torch.view_as_complex(flat) if dtype.is_complex else flat) != before
    assert summed(made, made) != before
    assert summed(made[None]) != before


def test_the_checksum_sees_order_layout_and_sign() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    same = (x, x.T.contiguous().T, x.clone().as_strided((2, 3), (3, 1)))
    others = (x.flip(0), x.T, x.reshape(3, 2), x.reshape(6), -x, x + 0 * torch.inf, x.double())
    assert len({summed(each) for each in same}) == 1
    assert len({summed(each) for each in (x, *others)}) == 8
    assert summed(x, x + 1) != summed(x + 1, x)
    assert summed(torch.zeros(2)) != summed(torch.zeros(3)) != summed() == 0


def test_long_tensors_are_summed_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_CHUNK", 3)
    x = torch.arange(8)
    assert len({summed(x), summed(x.roll(3)), summed(x.flip(0)), summed(x[:6]), summed(x[:7])}) == 5


def verdict(mine: Gang, name: str, stranger: int | None) -> str:
    """What the check says on a rank where one has drawn its operands from a generator of its own."""
    drawn = seeded(mine.device, "its own") if mine.rank == stranger else mine.shared_generator
    settings: dict[str, Any] = SMALL.get(name, {}) | ({"size": 8, "batch": 6} if name == "fourier" else {})
    workload = registry.load(ENTRIES[name].reference).cls(**settings).prepare(replace(mine, shared_generator=drawn))
    workload.reset()
    try:
        contract.check(workload, workload.step(), 1)
    except AssertionError as error:
        return str(error)
    finally:
        mine.barrier()
    return "right"


@pytest.mark.parametrize("name", ALIKE)
def test_a_rank_that_holds_other_operands_than_its_peers_is_wrong_on_every_rank(two_ranks: Ranks, name: str) -> None:
    assert two_ranks.do(verdict, name, None) == ["right", "right"]
    assert all("rank 1 holds other bits than rank 0" in told for told in two_ranks.do(verdict, name, 1))


@pytest.mark.parametrize("name", ["quadratic", "symmetry", "tying", "widths"])
def test_where_ranks_add_up_or_join_their_parts_other_operands_are_wrong_by_what_comes_out(
    two_ranks: Ranks, name: str
) -> None:
    assert all("normwise error" in told for told in two_ranks.do(verdict, name, 1))
