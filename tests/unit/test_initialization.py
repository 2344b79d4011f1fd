"""Initialisers keep what the formulas promise; the published slips do not pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from harness.gang import Gang
from scenarios.initialization import initialization
from scenarios.initialization.initialization import Initialization
from scenarios.initialization.laws import judge, law
from tests.ranks import Ranks, gang

METHODS = get_args(get_type_hints(Initialization)["method"])


@pytest.mark.parametrize("method", METHODS)
def test_every_initialiser_keeps_its_law(method: str) -> None:
    workload = Initialization(method=method).prepare(gang(0, 1))
    facts = workload.check(workload.step())
    assert facts["std"] == pytest.approx(math.sqrt(law(method, 700, 300).variance), rel=0.01)


@given(st.integers(2, 5000), st.integers(2, 5000))
@settings(max_examples=30)
def test_the_laws_are_those_of_scipy(fan_in: int, fan_out: int) -> None:
    bound = math.sqrt(6 / (fan_in + fan_out))
    for name, known in {"xavier": stats.uniform(-bound, 2 * bound), "truncated": stats.truncnorm(-2, 2)}.items():
        told = law(name, fan_in, fan_out)
        assert told.variance == pytest.approx(known.var(), rel=1e-6)
        assert told.kurtosis == pytest.approx(known.stats("k") + 3, rel=1e-6)
    custom = law("custom", fan_in, fan_out)
    assert custom.variance == pytest.approx(2 * (10**3 - 5**3) / 3 / 20)
    assert custom.kurtosis * custom.variance**2 == pytest.approx(2 * (10**5 - 5**5) / 5 / 20)


def of_shard(weight: Tensor, generator: torch.Generator) -> None:
    half = torch.empty(weight.shape[0] // 2, weight.shape[1])
    for rows in weight.chunk(2):
        rows.copy_(nn.init.xavier_uniform_(half, generator=generator))


SLIPS: dict[str, tuple[str, Callable[[Tensor, torch.Generator], object]]] = {
    "the standard deviation taken for the bound": (
        "xavier",
        lambda weight, generator: nn.init.uniform_(weight, -math.sqrt(2 / 1000), math.sqrt(2 / 1000), generator),
    ),
    "the fan of a shard": ("xavier", of_shard),
    "a normal where a uniform is due": ("xavier", lambda w, g: nn.init.xavier_normal_(w, generator=g)),
    "the fan out for the fan in": ("kaiming", lambda w, g: nn.init.kaiming_normal_(w, mode="fan_out", generator=g)),
    "the gain of a leaky slope": ("kaiming", lambda w, g: nn.init.kaiming_normal_(w, a=0.2, generator=g)),
    "the variance for the standard deviation": ("normal", lambda w, g: nn.init.normal_(w, 0, 0.01**2, generator=g)),
    "a normal that is not truncated": ("truncated", lambda w, g: nn.init.normal_(w, generator=g)),
    "one layer left out": ("normal", lambda w, _: w.fill_(0)),
    "the outer half set to zero": (
        "custom",
        lambda w, g: nn.init.uniform_(w, -10, 10, generator=g).mul_(w.abs() < 5),
    ),
    "uniform, and nothing set to zero": ("custom", lambda w, g: nn.init.uniform_(w, -10, 10, generator=g)),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_published_slips_are_wrong(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, draw = SLIPS[slip]
    monkeypatch.setitem(initialization.DRAWS, method, draw)
    workload = Initialization(method=method).prepare(gang(0, 1))
    with pytest.raises(AssertionError, match=r"is due|bound"):
        workload.check(workload.step())


def test_a_support_that_is_not_reached_is_wrong() -> None:
    with pytest.raises(AssertionError, match="nearly reached"):
        judge(torch.rand(100_000, dtype=torch.float64).clamp(0.01, 0.99) * 2 - 1, law("xavier", 3, 3))


def filled(mine: Gang) -> tuple[float, int, Tensor]:
    workload = Initialization(layers=3).prepare(mine)
    output = workload.step().clone()
    workload.check(output)
    return workload.work.items, output.numel(), output


def test_two_ranks_share_the_layers_and_draw_different_weights(two_ranks: Ranks) -> None:
    (items, size, first), (other_items, other_size, second) = two_ranks.do(filled)
    assert (items, other_items) == (size, other_size) == (2 * 700 * 300, 700 * 300)
    assert items + other_items == filled(gang(0, 1))[0]
    assert not torch.equal(first[0], second[0])


def test_a_rank_without_a_layer_has_nothing_to_do() -> None:
    workload = Initialization(layers=1).prepare(gang(1, 2))
    assert workload.work.items == 0
    assert workload.check(workload.step()) == {}
