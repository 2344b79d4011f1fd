"""Initialisers: each draws from its own law and no other, over any number of ranks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from harness.gang import Gang, seeded
from harness.work.counting import count
from scenarios.chapter.initialization import laws, weights
from scenarios.chapter.initialization.draws import Fans, fill, orthonormal
from scenarios.chapter.initialization.weights import Initialization
from tests.ranks import Ranks, gang

VARIANTS = ("normal", "constant", "trunc_normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "orthogonal")
FANS = Fans(384, 1152)


def judge(law: laws.Law, x: torch.Tensor) -> None:
    x = x.double()
    laws.refuse_another(law, x.numel(), x.sum().item(), x.square().sum().item(), x.abs().max().item())


def verdict(variant: str, draw: Callable[[torch.Tensor], object] | None = None, *, width: int = FANS.inputs) -> str:
    """What the check says to a matrix that ``draw`` has filled, or the variant itself."""
    workload = Initialization(initializer=variant, width=width).prepare(gang(0, 1))
    drawn = workload.step()
    if draw is not None:
        with torch.no_grad():
            draw(drawn)
    try:
        workload.check(drawn)
    except AssertionError as error:
        return str(error)
    return ""


# Laws


@pytest.mark.parametrize("cut", [0.5, 1.0, 2.0, 3.0])
def test_a_truncated_normal_is_scipys(cut: float) -> None:
    law, exact = laws.truncated(0.02, cut), stats.truncnorm(-cut, cut, scale=0.02)
    assert law.std == pytest.approx(exact.std(), rel=1e-9)
    assert law.kurtosis == pytest.approx(exact.stats("k").item() + 3, rel=1e-6)
    assert law.bound == pytest.approx(0.02 * cut)
    for x in (0.0, 0.005, 0.009):
        assert law.tail(x) == pytest.approx(2 * exact.sf(x), rel=1e-9)
    assert law.tail(law.bound) == law.tail(1.0) == 0


@pytest.mark.parametrize(
    ("law", "exact"),
    [(laws.normal(0.3), stats.norm(scale=0.3)), (laws.uniform(0.3), stats.uniform(-0.3 * 3**0.5, 0.6 * 3**0.5))],
)
def test_the_other_laws_are_scipys(law: laws.Law, exact: stats.rv_frozen) -> None:
    assert law.std == pytest.approx(exact.std())
    assert law.kurtosis == pytest.approx(exact.stats("k").item() + 3)
    for x in (0.0, 0.2, 0.5, 0.6):
        assert law.tail(x) == pytest.approx(2 * exact.sf(x), rel=1e-9)


SAMPLES: dict[str, tuple[laws.Law, Callable[[torch.Tensor, torch.Generator], torch.Tensor]]] = {
    "uniform": (laws.uniform(1.0), lambda x, g: nn.init.uniform_(x, -math.sqrt(3), math.sqrt(3), generator=g)),
    "normal": (laws.normal(1.0), lambda x, g: nn.init.normal_(x, generator=g)),
    "truncated": (
        laws.truncated(1 / laws.truncated(1.0).std),
        lambda x, g: nn.init.trunc_normal_(x, generator=g).div_(laws.truncated(1.0).std),
    ),
}


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from(sorted(SAMPLES)), st.sampled_from(sorted(SAMPLES)), st.integers(0, 2**40))
def test_laws_of_one_deviation_are_told_apart(drawn: str, judged: str, seed: int) -> None:
    sample = SAMPLES[drawn][1](torch.empty(100_000), torch.Generator().manual_seed(seed))
    if drawn == judged:
        judge(SAMPLES[judged][0], sample)
    else:
        with pytest.raises(AssertionError):
            judge(SAMPLES[judged][0], sample)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 2**40), st.sampled_from([0.97, 1.03]))
def test_another_deviation_or_mean_is_refused(drawn: str, seed: int, by: float) -> None:
    law, draw = SAMPLES[drawn]
    sample = draw(torch.empty(100_000), torch.Generator().manual_seed(seed))
    for wrong in (sample * by, sample + 0.03):
        with pytest.raises(AssertionError):
            judge(law, wrong)


# Draws


@pytest.mark.parametrize(
    ("variant", "torchs"),
    [
        ("normal", lambda w, g: nn.init.normal_(w, std=0.01, generator=g)),
        ("constant", lambda w, g: nn.init.ones_(w)),
        ("trunc_normal", lambda w, g: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04, generator=g)),
        ("xavier_uniform", lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
        ("xavier_normal", lambda w, g: nn.init.xavier_normal_(w, generator=g)),
        ("kaiming_uniform", lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g)),
    ],
)
def test_one_rank_draws_what_torch_draws(
    variant: str, torchs: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
) -> None:
    mine = fill(torch.empty(30, 10), variant, Fans(10, 30), gang(0, 1))
    due = torchs(torch.empty(30, 10), gang(0, 1).generator)
    torch.testing.assert_close(mine, due, rtol=1e-6, atol=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 2**40))
def test_orthonormal_columns_are_those_of_qr_with_a_positive_diagonal(columns: int, more: int, seed: int) -> None:
    shape = 2 * columns + more, columns
    a = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(a)
    torch.testing.assert_close(orthonormal(a, gang(0, 1)), q * r.diagonal().sign(), rtol=0, atol=1e-9)


# The scenario


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_initializer_passes_its_check(variant: str) -> None:
    assert verdict(variant) == ""


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_step_draws_anew_and_its_facts_do_not_change(variant: str) -> None:
    workload = Initialization(initializer=variant, width=48).prepare(gang(0, 1))
    first = workload.step().clone()
    found = workload.check(first)
    second = workload.step()
    assert torch.equal(first, second) == (variant == "constant")
    assert workload.check(second) == found


def test_the_facts_are_the_chapters_formulas() -> None:
    def facts(variant: str) -> object:
        workload = Initialization(initializer=variant, width=100).prepare(gang(0, 1))
        return workload.check(workload.step())

    a, fans = math.sqrt(6 / 400), {"fan_in": 100, "fan_out": 300}
    assert facts("xavier_uniform") == pytest.approx({**fans, "std": a / math.sqrt(3), "bound": a})
    assert facts("xavier_normal") == pytest.approx({**fans, "std": math.sqrt(2 / 400)})
    assert facts("kaiming_uniform") == pytest.approx({**fans, "std": math.sqrt(2 / 100), "bound": math.sqrt(6 / 100)})
    assert facts("trunc_normal") == pytest.approx({**fans, "std": 0.02 * 0.8796, "bound": 0.04}, rel=1e-4)
    assert facts("orthogonal") == pytest.approx({"std": math.sqrt(1 / 300)})


def test_the_fans_of_a_convolution_count_its_kernel() -> None:
    assert Fans.of(64, 32, 3, 3) == Fans(inputs=288, outputs=576)
    assert Fans.of(30, 10) == Fans(inputs=10, outputs=30)
    for shape in ((), (5,)):
        with pytest.raises(ValueError, match="two dimensions at least"):
            Fans.of(*shape)


@pytest.mark.parametrize(
    ("law", "init"),
    [
        (weights.LAWS["xavier_uniform"], nn.init.xavier_uniform_),
        (weights.LAWS["xavier_normal"], nn.init.xavier_normal_),
        (weights.LAWS["kaiming_uniform"], lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")),
    ],
)
def test_a_convolution_is_drawn_by_fans_that_count_its_kernel_and_by_no_others(
    law: Callable[[Fans], laws.Law], init: Callable[[torch.Tensor], object]
) -> None:
    torch.manual_seed(7)
    weight = nn.Conv2d(32, 64, 3).weight.detach()
    init(weight)
    judge(law(Fans.of(*weight.shape)), weight)
    for wrong in (Fans.of(*weight.shape[:2]), Fans(inputs=576, outputs=288), Fans(inputs=32 * 3, outputs=64 * 3)):
        if law(wrong).std != pytest.approx(law(Fans.of(*weight.shape)).std):  # a sum of fans knows no order
            with pytest.raises(AssertionError):
                judge(law(wrong), weight)


def test_orthonormal_columns_may_be_off_by_what_one_chain_of_sums_rounds_and_by_no_more() -> None:
    """As a GPU's kernel may add up all squares of a column, one after the other, at the size of ``--preset full``."""
    rows = 3 * 8192
    columns = np.random.default_rng(3).standard_normal((200, rows)).astype(np.float32)
    columns /= np.linalg.norm(columns.astype(np.float64), axis=1, keepdims=True)
    off = np.abs(np.add.accumulate(columns**2, axis=1, dtype=np.float32)[:, -1] - 1).max()
    assert weights.ORTHONORMAL / 3 < off < weights.orthonormal_limit(rows) == pytest.approx(4.9e-5, rel=0.01)
    assert weights.orthonormal_limit(1024) == weights.orthonormal_limit(3) == weights.ORTHONORMAL
    assert "from 1" in verdict("orthogonal", lambda w: w.mul_(1 + 1e-4), width=8)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_ranks_share_the_rows(size: int) -> None:
    work = [Initialization(width=33).prepare(gang(rank, size)).work for rank in range(size)]
    assert sum(each.items for each in work) == 33 * 99
    assert sum(each.bytes for each in work) == 33 * 99 * 4
    assert max(each.items for each in work) - min(each.items for each in work) <= 33


# What is published wrong

LEAKY = nn.init.calculate_gain("leaky_relu")  # of its default slope, 0.01: no √2

WRONG: dict[str, tuple[str, Callable[[torch.Tensor], object]]] = {
    "a variance taken for a deviation": ("xavier_normal", lambda w: nn.init.normal_(w, std=2 / sum(FANS))),
    "a deviation taken for a bound": (
        "xavier_uniform",
        lambda w: nn.init.uniform_(w, -math.sqrt(2 / sum(FANS)), math.sqrt(2 / sum(FANS))),
    ),
    "a bound taken for a deviation": ("xavier_normal", lambda w: nn.init.normal_(w, std=math.sqrt(6 / sum(FANS)))),
    "the other xavier": ("xavier_normal", nn.init.xavier_uniform_),
    "the other xavier again": ("xavier_uniform", nn.init.xavier_normal_),
    "the leaky default for a gain of √2": (
        "kaiming_uniform",
        lambda w: nn.init.uniform_(w, -LEAKY * math.sqrt(3 / FANS.inputs), LEAKY * math.sqrt(3 / FANS.inputs)),
    ),
    "the other fan": ("kaiming_uniform", lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu")),
    "what a linear layer has by default": ("kaiming_uniform", lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5))),
    "bounds in units of the deviation": ("trunc_normal", lambda w: nn.init.trunc_normal_(w, std=0.02)),
    "cut off by clamping": ("trunc_normal", lambda w: nn.init.normal_(w, std=0.02).clamp_(-0.04, 0.04)),
    "a row that is left as it was": ("normal", lambda w: w[-1].fill_(math.nan)),
    "nothing random": ("normal", lambda w: w.fill_(0.01)),
    "rows of unit length alone": ("orthogonal", lambda w: w.copy_(nn.functional.normalize(torch.randn_like(w), dim=0))),
    "a row that is drawn once and used twice": ("normal", lambda w: w[0].copy_(w[1])),
    "half of the rows, twice": ("xavier_uniform", lambda w: w[: len(w) // 2].copy_(w[len(w) // 2 :])),
    "sixteen bits": ("normal", lambda w: w.copy_(w.half())),
    "sixteen bits with a wide range": ("kaiming_uniform", lambda w: w.copy_(w.bfloat16())),
    "another constant": ("constant", lambda w: w[0].fill_(0.0)),
}


@pytest.mark.parametrize("slip", WRONG)
def test_what_is_published_wrong_is_wrong(slip: str) -> None:
    variant, draw = WRONG[slip]
    torch.manual_seed(5)
    assert verdict(variant, draw)


def test_what_a_rectifier_keeps_of_a_signal_tells_the_initialisers_apart() -> None:
    """Through 30 layers: all of it under Kaiming, half a layer of it under Xavier, a sixth under the default."""
    torch.manual_seed(3)
    x = torch.randn(64, 512)
    kept = {}
    for name, init in {
        "kaiming": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "xavier": nn.init.xavier_uniform_,
        "default": lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
    }.items():
        y = x
        for _ in range(30):
            y = torch.relu(y @ init(torch.empty(512, 512)).T)
        kept[name] = (y.square().mean() / x.square().mean()).item() ** (1 / 30)
    assert kept == pytest.approx({"kaiming": 1, "xavier": 1 / 2, "default": 1 / 6}, rel=0.05)


# Two ranks


def distributed(mine: Gang, variant: str, plant: str = "") -> tuple[str, int]:
    fills = {
        "": weights.fill,
        "own fans": lambda rows, name, fans, mine: nn.init.xavier_uniform_(rows, generator=mine.generator),
        "one seed": lambda rows, name, fans, mine: fill(
            rows, name, fans, Gang(mine.rank, mine.size, mine.device, seeded(mine.device, 7), mine.shared_generator)
        ),
        "own columns": lambda rows, name, fans, mine: nn.init.orthogonal_(rows, generator=mine.generator),
    }
    true, weights.fill = weights.fill, fills[plant]
    try:
        workload = Initialization(initializer=variant, width=129).prepare(mine)  # 387 rows: 194 and 193
        counted = count(workload.step)
        try:
            workload.check(workload.step())
        except AssertionError as error:
            return str(error), counted.traffic_bytes
        return "", counted.traffic_bytes
    finally:
        weights.fill = true


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_ranks_draw_one_matrix_and_only_orthogonal_rows_need_each_other(two_ranks: Ranks, variant: str) -> None:
    bytes_ = 2 * 129 * 129 * 4 if variant == "orthogonal" else 0
    assert two_ranks.do(distributed, variant) == [("", bytes_)] * 2


@pytest.mark.parametrize(
    ("variant", "plant", "said"),
    [
        ("xavier_uniform", "own fans", "is due"),
        ("normal", "one seed", "a row was drawn once"),
        ("orthogonal", "own columns", "from 1"),
    ],
)
def test_shards_that_are_drawn_as_if_they_were_the_matrix_are_wrong(
    two_ranks: Ranks, variant: str, plant: str, said: str
) -> None:
    for told, _ in two_ranks.do(distributed, variant, plant):
        assert said in told
