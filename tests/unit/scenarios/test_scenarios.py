"""The two scenarios: right results, honest work, and operands that no variant can choose for itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.gang import Gang, seeded
from harness.plugins import registry
from harness.scenario import Workload
from harness.work.counting import count
from harness.work.memory import peak
from harness.work.product_overlap import overlap, together
from scenarios.chapter.products.frobenius import Frobenius, _two_operands
from scenarios.chapter.products.split import Split
from tests.ranks import Ranks

cpu = torch.device("cpu")
LOGS = ("each", "deferred", "batched")
HOW = ("whole", "columns", "inner")


class Unlinked(Gang):
    """A rank whose peers cannot be reached: a reduction leaves its own part."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[None]

    def barrier(self) -> None:
        pass


def gangs(size: int) -> Iterator[Gang]:
    for rank in range(size):
        yield Unlinked(rank, size, cpu, seeded(cpu, "own", rank), seeded(cpu, "shared"))


@pytest.mark.parametrize(("log", "reads"), [("each", 1000), ("deferred", 1), ("batched", 1)])
def test_frobenius_reads_a_thousand_times_or_once(log: str, reads: int) -> None:
    (gang,) = gangs(1)
    workload = Frobenius(size=8, log=log).prepare(gang)
    assert count(workload.step).host_reads == reads
    workload.check(workload.step())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_frobenius_logs_are_one_log_however_it_is_shared(size: int) -> None:
    alone = Frobenius(matrices=10, size=5).prepare(next(gangs(1))).step()
    for log in LOGS:
        parts = [Frobenius(matrices=10, size=5, log=log).prepare(gang) for gang in gangs(size)]
        logs = [part.step() for part in parts]
        assert list(chain(*logs)) == pytest.approx(alone, rel=0 if log != "batched" else 1e-6)  # bitwise, in order
        for part, mine in zip(parts, logs, strict=True):
            part.check(mine)
        assert sum(part.work.items for part in parts) == 10


@pytest.mark.parametrize("size", [1, 2, 3, 12])
def test_frobenius_does_the_same_work_in_every_variant(size: int) -> None:
    for log in LOGS:
        parts = [Frobenius(matrices=10, size=8, log=log).prepare(gang) for gang in gangs(size)]
        assert sum(part.work.flops for part in parts) == 10 * (2 * 8**3 + 2 * 8**2)
        assert sum(count(part.step).flops for part in parts) == 10 * 2 * 8**3  # norms are not counted
        for part in parts:
            part.check(part.step())  # of no matrices too


def test_frobenius_has_the_same_operands_in_every_variant_and_they_are_two() -> None:
    operands = [Frobenius(matrices=4, size=8, log=log).operands(next(gangs(1))) for log in LOGS]
    for a, b in operands:
        assert torch.equal(a, operands[0][0]) and torch.equal(b, operands[0][1])
        assert not torch.equal(a, b)


def test_frobenius_tells_what_its_norms_are_like() -> None:
    facts = []
    for log in LOGS:
        workload = Frobenius(matrices=200, size=50, log=log).prepare(next(gangs(1)))
        facts.append(dict(workload.check(workload.step())))
    for told in facts:
        assert told["norms"] == 200
        assert told["mean_norm"] == pytest.approx(50**1.5, rel=0.01)  # the square root of n cubed
        assert told["mean_norm"] == pytest.approx(facts[0]["mean_norm"], rel=1e-6)
        assert 0 < told["error"] < 1e-6


@given(st.integers(1, 60), st.integers(8, 40), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_norms_of_independent_matrices_are_never_taken_for_others(matrices: int, n: int, seed: int) -> None:
    pairs = torch.randn(2, matrices, n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    _two_operands(torch.linalg.matrix_norm(pairs[0] @ pairs[1]).tolist(), n)
    if n * matrices**0.5 > 40:  # A·Aᵀ is 1 + 1/n too large, and 8 standard deviations are 20 / (n√k)
        with pytest.raises(AssertionError, match=r"A·B would give"):
            _two_operands(torch.linalg.matrix_norm(pairs[0] @ pairs[0].mT).tolist(), n)


class OneOperand(Frobenius):
    """The published answer: the product of a matrix with its own transpose."""

    def operands(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        a, _ = super().operands(gang)
        return a, a.mT.contiguous()


class OtherOperands(Frobenius):
    """A variant draws matrices of its own, twice as large."""

    def operands(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = super().operands(gang)
        return (a, b) if self.log == "each" else (2 * a, b)


@pytest.mark.parametrize("log", LOGS)
def test_frobenius_with_one_operand_is_wrong_though_its_norms_are_right(log: str) -> None:
    workload = OneOperand(log=log, matrices=100, size=50).prepare(next(gangs(1)))
    with pytest.raises(AssertionError, match=r"A·B would give"):
        workload.check(workload.step())


def test_frobenius_operands_of_an_arms_own_are_noticed() -> None:
    each, deferred = (OtherOperands(log=log, matrices=100, size=50).prepare(next(gangs(1))) for log in LOGS[:2])
    each.check(each.step())
    with pytest.raises(AssertionError, match=r"A·B would give"):
        deferred.check(deferred.step())
    with pytest.raises(AssertionError, match="not close"):
        deferred.check(each.step())


def spectral(products: torch.Tensor, **where: Any) -> torch.Tensor:
    out = where.pop("out", None)
    norms = torch.linalg.matrix_norm(products, ord=2)
    return norms if out is None else out.copy_(norms)


def collapsed(products: torch.Tensor, **where: Any) -> torch.Tensor:
    """``torch.norm(C)`` of a batch: one number."""
    return torch.sqrt((products**2).sum())


def half_precision(products: torch.Tensor, **where: Any) -> torch.Tensor:
    out = where.pop("out", None)
    norms = norm(products.half(), **where).float()
    return norms if out is None else out.copy_(norms)


norm = torch.linalg.vector_norm


@pytest.mark.parametrize(
    ("planted", "logs"),
    [(spectral, LOGS), (collapsed, ("batched",)), (half_precision, LOGS)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_frobenius_with_another_norm_is_wrong(
    planted: Callable[..., torch.Tensor], logs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for log in logs:
        workload = Frobenius(log=log, matrices=20, size=50).prepare(next(gangs(1)))
        workload.check(workload.step())
        with monkeypatch.context() as patch:
            patch.setattr(torch.linalg, "vector_norm", planted)
            told = workload.step()
        with pytest.raises(AssertionError):
            workload.check(told)


@pytest.mark.parametrize("log", LOGS)
def test_frobenius_of_another_ranks_matrices_is_wrong(log: str) -> None:
    mine, others = (Frobenius(matrices=10, size=20, log=log).prepare(gang) for gang in gangs(2))
    mine.check(mine.step())
    with pytest.raises(AssertionError, match="not close"):
        mine.check(others.step())


def test_frobenius_norms_that_an_earlier_step_left_are_not_taken_for_these(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = Frobenius(matrices=10, size=20, log="deferred").prepare(next(gangs(1)))
    monkeypatch.setattr(torch.linalg, "vector_norm", lambda *_, **__: None)
    assert all(map(math.isnan, workload.step()))


def test_frobenius_norms_that_are_thrown_away_are_no_log() -> None:
    """As published: the loop leaves nothing behind, and what it was asked to print was commented out."""
    workload = Frobenius(matrices=10, size=20).prepare(next(gangs(1)))
    with pytest.raises((RuntimeError, TypeError)):  # so that its status is error
        workload.check(None)


class Half(Frobenius):
    """Only every second product is computed."""

    def operands(self, gang: Gang) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = super().operands(gang)
        return (a, b) if self.log == "each" else (a[::2], b[::2])


def test_frobenius_with_half_of_the_products_is_wrong_or_not_comparable() -> None:
    told = Frobenius(matrices=10, size=8).prepare(next(gangs(1)))
    log = told.step()
    for dropped in (log[::2], [value for value in log[::2] for _ in range(2)], [*log[:5], *[0.0] * 5]):
        with pytest.raises(AssertionError):
            told.check(dropped)
    each, deferred = (Half(log=log, matrices=10, size=8).prepare(next(gangs(1))) for log in LOGS[:2])
    assert deferred.work.flops == each.work.flops / 2  # declared as such: the ledger says that the work differs
    assert count(deferred.step).flops == count(each.step).flops / 2  # declared as all: it is refused


def test_frobenius_check_sees_order_precision_and_missing_norms() -> None:
    workload = Frobenius(matrices=10, size=20).prepare(next(gangs(1)))
    log = workload.step()
    wrongs = (log[::-1], log[:-1], [], [*log, log[0]], [value * (1 + 3e-6) for value in log])
    wrongs = (*wrongs, [math.nan] * 10, [math.inf] * 10)  # an overflow in half precision
    for wrong in wrongs:
        with pytest.raises(AssertionError):
            workload.check(wrong)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_split_has_the_same_operand_bits_in_every_variant_on_every_rank(size: int) -> None:
    told = [
        torch.stack([matrix for pair in Split(size=8, how=how).operands(gang) for matrix in pair])
        for how in HOW
        for gang in gangs(size)
    ]
    assert all(torch.equal(one, other) for one, other in pairwise(told))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("size", "products", "n"), [(1, 2, 16), (2, 2, 16), (2, 3, 17), (3, 2, 16)])
def test_split_does_the_same_work_in_every_variant(how: str, size: int, products: int, n: int) -> None:
    workloads = [Split(products=products, size=n, how=how).prepare(gang) for gang in gangs(size)]
    assert sum(load.work.flops for load in workloads) == products * 2 * n**3
    assert sum(count(load.step).flops for load in workloads) == products * 2 * n**3
    assert sum(load.work.items for load in workloads) == pytest.approx(products)


def test_split_parts_together_are_the_products() -> None:
    pairs = Split(products=3, size=12).operands(next(gangs(1)))
    exact = [a.double() @ b.double() for a, b in pairs]
    whole = [product for gang in gangs(2) for product in Split(products=3, size=12, how="whole").prepare(gang).step()]
    columns = [Split(products=3, size=12, how="columns").prepare(gang).step() for gang in gangs(2)]
    inner = [Split(products=3, size=12, how="inner").prepare(gang).step() for gang in gangs(2)]
    for number, product in enumerate(exact):
        torch.testing.assert_close(whole[number].double(), product, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            torch.cat([part[number] for part in columns], 1).double(), product, rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(sum(part[number] for part in inner).double(), product, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("log", LOGS)
def test_frobenius_of_large_matrices_is_right_too(log: str) -> None:
    workload = Frobenius(matrices=2, size=1000, log=log).prepare(next(gangs(1)))
    right = workload.step()
    workload.check(right)  # fp32 adds up a million squares: 1e-5 on a CPU
    with pytest.raises(AssertionError):
        workload.check(right[::-1])


def test_split_check_refuses_the_published_mistake_and_reduced_precision() -> None:
    (gang,) = gangs(1)
    workload = Split(size=32).prepare(gang)
    (a, b), _ = Split(size=32).operands(next(gangs(1)))
    first, second = workload.step()
    workload.check([first, second])
    rounded = first.bfloat16().float()
    wrongs = ([first, first], [first, rounded], [first], [], [a @ b.T, second], [second, first])
    for wrong in (*wrongs, [first.to("meta"), second], [first, torch.full_like(second, torch.nan)]):
        with pytest.raises(AssertionError):
            workload.check(wrong)


def test_split_inner_is_wrong_without_its_reduction() -> None:
    workload = Split(size=32, how="inner").prepare(next(gangs(2)))  # no group: nothing is reduced
    with pytest.raises(AssertionError, match="normwise"):
        workload.check(workload.step())


def test_products_overlap_by_the_time_in_which_every_rank_has_one() -> None:
    assert together([[(0, 2)], [(0, 2)]]) == 1
    assert together([[(0, 2)], [(1, 3)]]) == pytest.approx(1 / 3)
    assert together([[(0, 1)], [(1, 2)]]) == 0
    assert together([[(0, 1), (2, 3)], [(1, 2), (3, 4)]]) == 0  # taking turns, product by product
    assert together([[(0, 1), (1, 2)], [(0, 2)]]) == 1
    assert together([[(0, 3)], [(0, 1)], [(0, 0)]]) == pytest.approx(1 / 3)  # the third has no product at all
    assert together([]) == together([[(1, 1)]]) == 0


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=3), min_size=1))
def test_an_overlap_is_a_fraction_and_knows_no_order(ranks: list[list[tuple[int, int]]]) -> None:
    spans = [[(start, start + length) for start, length in rank] for rank in ranks]
    assert 0 <= together(spans) <= 1
    assert together(spans) == pytest.approx(together([rank[::-1] for rank in spans[::-1]]))


class TakingTurns(Split):
    """The products are shared, but each rank waits until the one before has made its own."""

    def prepare(self, gang: Gang) -> Workload:
        workload = super().prepare(gang)

        def step() -> list[torch.Tensor]:
            for rank in range(gang.size):
                if rank == gang.rank:
                    products: list[torch.Tensor] = workload.step()
                gang.barrier()
            return products

        return replace(workload, step=step)


def overlaps(gang: Gang, scenario: type[Split]) -> float:
    workload = scenario(size=64).prepare(gang)
    return overlap(gang, workload.step)


def facts_of(gang: Gang) -> dict[str, Any]:
    workload = Split(size=64).prepare(gang)
    return dict(workload.check(workload.step()))


def test_ranks_that_take_turns_overlap_by_nothing(two_ranks: Ranks) -> None:
    assert two_ranks.do(overlaps, TakingTurns) == [0, 0]
    for found in two_ranks.do(facts_of):
        assert 0 <= found["overlap"] <= 1


class Copies(Split):
    """Copies its operands at every step, as slices of an own are made in the published answer."""

    def prepare(self, gang: Gang) -> Workload:
        workload, pairs = super().prepare(gang), self.operands(gang)

        def step() -> list[torch.Tensor]:
            return [a @ b for a, b in [(a.clone(), b.clone()) for a, b in pairs]]

        return replace(workload, step=step)


def test_what_a_step_allocates_is_seen() -> None:
    needed = {}
    for kind in (Split, Copies):
        workload = kind(size=1024).prepare(next(gangs(1)))
        workload.step()
        with peak(cpu) as told:
            workload.step()
        needed[kind] = told.bytes
    each = 4 * 1024**2  # two products; and four copies
    assert needed[Split] >= 1.9 * each  # resident memory is counted in pages
    assert needed[Copies] >= needed[Split] + 3 * each


class OneProduct(Split):
    """The published answer: both results are the same product."""

    def operands(self, gang: Gang) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return super().operands(gang)[:1] * self.products


class OwnOperands(Split):
    """The published answer: each variant draws its own matrices."""

    def operands(self, gang: Gang) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return Split.operands(self, replace(gang, shared_generator=seeded(gang.device, self.how, gang.rank)))


@pytest.mark.parametrize("how", HOW)
def test_split_makes_products_that_differ(how: str) -> None:
    right = Split(size=16, how=how).prepare(next(gangs(1)))
    assert right.check(right.step())["products"] == 2
    same = OneProduct(size=16, how=how).prepare(next(gangs(1)))
    with pytest.raises(AssertionError, match="one and the same"):
        same.check(same.step())


def products_of(gang: Gang, scenario: type[Split], how: str) -> tuple[bool, int, list[torch.Tensor]]:
    """Whether they are right, what they cost, and the products themselves."""
    workload = scenario(how=how, size=16).prepare(gang)
    products = workload.step()
    flops = count(workload.step).flops
    try:
        workload.check(products)
    except AssertionError:
        return False, flops, products
    return True, flops, products


@pytest.mark.parametrize("how", HOW)
def test_split_on_two_real_ranks_makes_the_products_of_one(two_ranks: Ranks, how: str) -> None:
    exact = [a.double() @ b.double() for a, b in Split(size=16).operands(next(gangs(1)))]
    told = two_ranks.do(products_of, Split, how)
    assert all(right for right, *_ in told)
    assert [flops for _, flops, _ in told] == [2 * 16**3] * 2  # both are busy, with half of the work each
    parts = [products for *_, products in told]
    whole = {
        "whole": lambda: [*parts[0], *parts[1]],
        "columns": lambda: [torch.cat(pair, 1) for pair in zip(*parts, strict=True)],
        "inner": lambda: parts[0],
    }[how]()
    assert len(whole) == 2
    for mine, its in zip(whole, exact, strict=True):
        torch.testing.assert_close(mine.double(), its, rtol=1e-4, atol=1e-4)
    if how == "inner":
        assert all(map(torch.equal, *parts))  # the sum is the same on both


def test_split_with_operands_of_each_ranks_own_is_wrong_where_ranks_add_up(two_ranks: Ranks) -> None:
    assert not any(right for right, *_ in two_ranks.do(products_of, OwnOperands, "inner"))


class OnTwoDevices(Split):
    """The published answer: one matrix of each product is on the second device."""

    def operands(self, gang: Gang) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(a.to("cuda:0"), b.to("cuda:1")) for a, b in super().operands(gang)]


class OnItsOwn(Split):
    """Both matrices are on the rank's device."""

    def operands(self, gang: Gang) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(a.to(f"cuda:{gang.rank}"), b.to(f"cuda:{gang.rank}")) for a, b in super().operands(gang)]


def test_split_multiplies_nothing_across_devices() -> None:
    with FakeTensorMode():
        for gang in gangs(2):
            step = OnItsOwn(size=16).prepare(gang).step
            assert {product.device for product in step()} == {torch.device("cuda", gang.rank)}
            across = OnTwoDevices(size=16).prepare(gang)
            with pytest.raises(RuntimeError, match=r"cuda:0.*cuda:1"):  # so that its status is error
                across.step()


class OneDevice(Gang):
    """The published answer: every chunk of a matrix stays on the first device."""

    def part(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        return tensor if self.rank == 0 else tensor.narrow(dim, 0, 0)

    def span(self, total: int) -> slice:
        return slice(total if self.rank == 0 else 0)


@pytest.mark.parametrize("how", ["whole", "columns"])
def test_split_chunks_on_one_device_can_have_no_speed_up(how: str) -> None:
    spread, piled = (
        [Split(how=how, size=16).prepare(kind(**vars(gang))).work.flops for gang in gangs(2)]
        for kind in (Unlinked, OneDevice)
    )
    assert sum(spread) / max(spread) == 2
    assert sum(piled) / max(piled) == 1  # the report's ideal: what the busiest rank has cannot be waited for less


@given(st.integers(1, 12), st.integers(1, 9))
@settings(deadline=None)
def test_whole_products_can_be_shared_only_so_far(products: int, devices: int) -> None:
    flops = [Split(products=products, size=2).prepare(gang).work.flops for gang in gangs(devices)]
    assert sum(flops) / max(flops) == pytest.approx(products / math.ceil(products / devices))


def right_in(mine: Gang, how: str, dtype: str) -> tuple[str, set[torch.dtype], float]:
    workload = Split(size=64, how=how, dtype=dtype).prepare(mine)
    products = workload.step()
    said = ""
    try:
        workload.check(products)
    except AssertionError as error:
        said = str(error)
    return said, {product.dtype for product in products}, workload.work.bytes


@pytest.mark.parametrize("how", HOW)
def test_split_in_bf16_is_right_on_two_ranks_and_moves_half_the_bytes(two_ranks: Ranks, how: str) -> None:
    half, whole = (two_ranks.do(right_in, how, dtype) for dtype in ("bfloat16", "float32"))
    assert [said for said, *_ in half] == ["", ""]
    assert [kinds for _, kinds, _ in half] == [{torch.bfloat16}] * 2
    assert [2 * moved for *_, moved in half] == [moved for *_, moved in whole]


def test_split_in_bf16_refuses_fewer_digits_and_another_type() -> None:
    workload = Split(size=64, dtype="bfloat16").prepare(next(gangs(1)))
    products = workload.step()
    assert Split(size=64, dtype="bfloat16").memory(2) * 2 == Split(size=64).memory(2)
    with pytest.raises(AssertionError, match="not every product is of bfloat16"):
        workload.check([product.float() for product in products])
    with pytest.raises(AssertionError, match="normwise"):
        workload.check([product.to(torch.float8_e4m3fn).to(torch.bfloat16) for product in products])


@pytest.mark.parametrize("name", ["load", "part", "restore", "program", "save"])
def test_files_are_of_a_gigabyte_where_a_gpu_is_to_be_filled(name: str) -> None:
    (entry,) = registry.find(name)
    (width,) = entry.sweep("width", "full")
    assert entry.cls(width=width).memory(1) >= 2**30
    assert entry.cls().memory(1) < 2**27
