"""Quadratic forms: the same values by every way, shared by form, and every published mistake refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.gang import Gang
from harness.scenario import Facts, Work
from harness.work.counting import Count, count
from scenarios.chapter.products import quadratic
from scenarios.chapter.products.quadratic import Quadratic
from tests.ranks import Ranks, gang

WAYS = ("einsum", "outer", "contract", "bilinear")
CONTRACTED = {"contract", "bilinear"}


def in_full(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The formula, term by term: ``x`` [b, n], ``weight`` [n, n, k]."""
    out = x.new_zeros(len(x), weight.shape[2])
    for i in range(x.shape[1]):
        for j in range(x.shape[1]):
            out += weight[i, j] * (x[:, i] * x[:, j])[:, None]
    return out


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 4), st.integers(0, 9))
def test_every_layer_is_the_formula(way: str, batch: int, n: int, k: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, weight = torch.randn(batch, n).double(), torch.randn(n, n, k).double()
    torch.testing.assert_close(quadratic.LAYERS[way](x, weight), in_full(x, weight))
    transposed = weight.transpose(0, 1)
    torch.testing.assert_close(quadratic.LAYERS[way](x, weight - transposed), torch.zeros(batch, k).double())
    torch.testing.assert_close(quadratic.LAYERS[way](x, (weight + transposed) / 2), in_full(x, weight))


@pytest.mark.parametrize("way", WAYS)
def test_the_other_sign_has_the_same_value_to_the_bit_and_a_form_has_its_own_gradient(way: str) -> None:
    layer, x, weight = quadratic.LAYERS[way], torch.randn(4, 5), torch.randn(5, 5, 3, requires_grad=True)
    values = layer(x, weight)
    assert torch.equal(layer(-x, weight), values)
    (gradient,) = torch.autograd.grad(values[:, 1].sum(), weight)
    torch.testing.assert_close(gradient[:, :, 1], x.T @ x)
    assert not gradient[:, :, [0, 2]].any()


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 9))
def test_the_reference_is_the_formula(batch: int, n: int, seed: int) -> None:
    torch.manual_seed(seed)
    x, form = torch.randn(batch, n).double(), torch.randn(n, n).double()
    torch.testing.assert_close(quadratic._values(x, form), in_full(x, form[:, :, None])[:, 0])


def test_the_operands_are_the_same_bits_in_every_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for way in WAYS:
        monkeypatch.setitem(quadratic.LAYERS, way, lambda x, weight: seen.append((x, weight)) or weight[0])
        Quadratic(batch=3, inputs=5, outputs=4, way=way).prepare(gang(0, 1)).step()
    assert all(torch.equal(x, y) and torch.equal(v, w) for (x, v), (y, w) in pairwise(seen))


def on_a_rank(mine: Gang, way: str, outputs: int) -> tuple[torch.Tensor, Facts | None, Work, Count]:
    workload = Quadratic(batch=6, inputs=5, outputs=outputs, way=way).prepare(mine)
    output = workload.step()
    return output[1], workload.check(output), workload.work, count(workload.step)


@pytest.mark.parametrize("outputs", [4, 5, 1])  # divisible; not; a rank without a form
@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_share_the_forms_and_both_get_every_value(two_ranks: Ranks, way: str, outputs: int) -> None:
    values, facts, work, done = on_a_rank(gang(0, 1), way, outputs)
    assert facts == {"parameters": 5 * 5 * outputs}
    assert work.flops == 2 * 6 * 5 * 5 * outputs and work.items == 6
    assert done.flops == work.flops + (2 * 6 * 5 * outputs if way in CONTRACTED else 0)
    assert done.traffic_bytes == done.host_reads == done.constant_operands == 0

    first, second = two_ranks.do(on_a_rank, way, outputs)
    assert torch.equal(first[0], second[0])
    torch.testing.assert_close(first[0], values)
    assert first[1] == second[1] == facts  # of all ranks
    both = [(told[2].flops, told[2].items, told[3].flops) for told in (first, second)]
    assert [sum(each) for each in zip(*both, strict=True)] == pytest.approx([work.flops, 6, done.flops])
    again = 4 * (6 * 5 + 6 * outputs)  # the input, which both read, and all values, which both get
    assert first[2].bytes + second[2].bytes == work.bytes + again
    for told in (first, second):
        assert told[3].traffic_bytes == 4 * 2 * 6 * -(-outputs // 2)


class Unlinked(Gang):
    """A rank that hears nothing from its peers."""

    def join(self, part: torch.Tensor, total: int, dim: int = 0) -> torch.Tensor:
        return part


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [3, 7])
def test_the_work_is_shared_on_any_number_of_ranks(way: str, size: int) -> None:
    lone = gang(0, 1)
    ranks = [Unlinked(rank, size, lone.device, lone.generator, gang(0, 1).shared_generator) for rank in range(size)]
    loads = [Quadratic(batch=6, inputs=4, outputs=5, way=way).prepare(rank) for rank in ranks]
    assert sum(load.work.flops for load in loads) == 2 * 6 * 4 * 4 * 5
    assert sum(load.work.items for load in loads) == pytest.approx(6)
    extra = 2 * 6 * 4 * 5 if way in CONTRACTED else 0
    assert sum(count(load.step).flops for load in loads) == 2 * 6 * 4 * 4 * 5 + extra


def outer(x: torch.Tensor) -> torch.Tensor:
    return x[:, :, None] * x[:, None, :]


def stale() -> quadratic.Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A layer that hands out what it made first."""
    made: list[torch.Tensor] = []

    def layer(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        made.append(quadratic.LAYERS["outer"](x, weight))
        return made[0]

    return layer


MISTAKES = {
    "i broadcast and summed": lambda x, w: torch.einsum("bj,ijk->bk", x * x.sum(1, keepdim=True), w),
    "one of two inputs left out": lambda x, w: torch.einsum("bj,ijk->bk", x, w),
    "squares alone": lambda x, w: torch.einsum("bi,iik->bk", x * x, w),
    "a rank too many": lambda x, w: torch.einsum("bij,ijk->bki", outer(x), w),
    "contracted over j and k": lambda x, w: torch.einsum("bij,kij->bk", outer(x), w),
    "k where i belongs": lambda x, w: torch.einsum("bi,bj,kij->bk", x, x, w),
    "k where j belongs": lambda x, w: torch.einsum("bi,bj,ikj->bk", x, x, w),
    "the input's gradient by one factor alone": lambda x, w: (
        quadratic.LAYERS["outer"](x, w) + torch.einsum("bi,bj,ijk->bk", x.detach() - x, x.detach(), w)
    ),
    "weight.data": lambda x, w: quadratic.LAYERS["outer"](x, w.data),
    "a gradient that is not the values'": lambda x, w: quadratic.LAYERS["outer"](x, (w.detach() - w) + w.detach()),
    "a scale by the fans that Xavier finds in three dimensions": lambda x, w: quadratic.LAYERS["outer"](
        x, w * (2 / sum(nn.init._calculate_fan_in_and_fan_out(w.permute(2, 0, 1)))) ** 0.5
    ),
    "a weight that was never initialised": lambda x, w: quadratic.LAYERS["outer"](x, torch.full_like(w, torch.nan)),
    "bfloat16": lambda x, w: quadratic.LAYERS["outer"](x, w).bfloat16().float(),
    "stale": stale(),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_refuses(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.setitem(quadratic.LAYERS, "einsum", MISTAKES[mistake])
    workload = Quadratic(batch=4, inputs=6, outputs=6).prepare(gang(0, 1))  # n = k: wrong orders keep the shape
    output = workload.step()
    with pytest.raises(AssertionError):
        workload.check(output)


def published(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of a "product" x_j Σ_i x_i, which is one by broadcasting, contracted under a letter too many."""
    product = torch.einsum("bij,bik->bjk", x.unsqueeze(1), x.unsqueeze(2)).squeeze(2)
    return torch.einsum("bij,kij->bk", product, weight)


def repaired(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The same with as many letters as there are dimensions."""
    product = torch.einsum("bij,bik->bjk", x.unsqueeze(1), x.unsqueeze(2))
    assert torch.allclose(product[..., 0], x * x.sum(1, keepdim=True))
    return torch.einsum("bjk,oij->boi", product, weight)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (1, 6), (6, 6)])
def test_the_published_layer_has_no_output_for_any_input(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((RuntimeError, IndexError)):
        published(torch.randn(shape), torch.randn(6, 6, 6))
    monkeypatch.setitem(quadratic.LAYERS, "einsum", published)
    with pytest.raises(RuntimeError):  # so that its status is error
        Quadratic(batch=4, inputs=6, outputs=6).prepare(gang(0, 1)).step()


def test_the_published_layer_repaired_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(quadratic.LAYERS, "einsum", repaired)
    workload = Quadratic(batch=4, inputs=6, outputs=6).prepare(gang(0, 1))
    with pytest.raises(AssertionError, match="shape"):
        workload.check(workload.step())


def test_a_form_transposed_is_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = quadratic.LAYERS["outer"]
    monkeypatch.setitem(quadratic.LAYERS, "einsum", lambda x, w: layer(x, w.transpose(0, 1)))
    workload = Quadratic(batch=4, inputs=6, outputs=6).prepare(gang(0, 1))
    workload.check(workload.step())


def swapped(mine: Gang) -> None:
    workload = Quadratic(batch=4, inputs=6, outputs=4).prepare(mine)
    part, everyone = workload.step()
    for wrong in (everyone.roll(2, 1), everyone.flip(0), part.detach()):
        with pytest.raises(AssertionError):
            workload.check((part, wrong))


def test_values_of_the_wrong_rank_sample_or_number_are_refused(two_ranks: Ranks) -> None:
    two_ranks.do(swapped)
