"""The two scenarios: right results, honest work, and operands that no arm can choose for itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import pytest
import torch

from harness.gang import Gang, seeded
from harness.ledger import count
from scenarios.frobenius import Frobenius
from scenarios.split import Split

cpu = torch.device("cpu")


class Unlinked(Gang):
    """A rank whose peers cannot be reached: a reduction leaves its own part."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


def gangs(size: int) -> Iterator[Gang]:
    for rank in range(size):
        yield Unlinked(rank, size, cpu, seeded(cpu, "own", rank), seeded(cpu, "shared"))


@pytest.mark.parametrize(("log", "reads"), [("each", 1000), ("deferred", 1)])
def test_frobenius_reads_a_thousand_times_or_once(log: str, reads: int) -> None:
    (gang,) = gangs(1)
    workload = Frobenius(size=8, log=log).prepare(gang)
    assert count(workload.step).host_reads == reads
    workload.check(workload.step())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_frobenius_logs_are_one_log_however_it_is_shared(size: int) -> None:
    alone = Frobenius(matrices=10, size=5).prepare(next(gangs(1))).step()
    for log in ("each", "deferred"):
        parts = [Frobenius(matrices=10, size=5, log=log).prepare(gang) for gang in gangs(size)]
        logs = [part.step() for part in parts]
        assert list(chain(*logs)) == alone  # bitwise, in order
        for part, mine in zip(parts, logs, strict=True):
            part.check(mine)
        assert sum(part.work.items for part in parts) == 10


def test_frobenius_multiplies_two_matrices_and_not_one_with_itself() -> None:
    log = torch.tensor(Frobenius(matrices=1000, size=50).prepare(next(gangs(1))).step())
    assert log.mean() == pytest.approx(50**1.5, rel=0.02)  # A Aᵀ would give about 1.4 times as much


def test_frobenius_check_sees_order_precision_and_missing_norms() -> None:
    workload = Frobenius(matrices=10, size=20).prepare(next(gangs(1)))
    log = workload.step()
    for wrong in (log[::-1], log[:-1], [value * (1 + 3e-6) for value in log]):
        with pytest.raises(AssertionError):
            workload.check(wrong)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_split_has_the_same_operand_bits_in_every_arm_on_every_rank(size: int) -> None:
    told = [
        torch.stack([matrix for pair in Split(size=8, how=how).operands(gang) for matrix in pair])
        for how in ("whole", "columns", "inner")
        for gang in gangs(size)
    ]
    assert all(torch.equal(one, other) for one, other in pairwise(told))


@pytest.mark.parametrize("how", ["whole", "columns", "inner"])
@pytest.mark.parametrize(("size", "products", "n"), [(1, 2, 16), (2, 2, 16), (2, 3, 17), (3, 2, 16)])
def test_split_does_the_same_work_in_every_arm(how: str, size: int, products: int, n: int) -> None:
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


def test_split_check_refuses_the_published_mistake_and_reduced_precision() -> None:
    (gang,) = gangs(1)
    workload = Split(size=32).prepare(gang)
    (a, b), _ = Split(size=32).operands(next(gangs(1)))
    first, second = workload.step()
    workload.check([first, second])
    rounded = first.bfloat16().float()
    for wrong in ([first, first], [first, rounded], [first], [a @ b.T, second]):
        with pytest.raises((AssertionError, ValueError)):
            workload.check(wrong)


def test_split_inner_is_wrong_without_its_reduction() -> None:
    workload = Split(size=32, how="inner").prepare(next(gangs(2)))  # no group: nothing is reduced
    with pytest.raises(AssertionError, match="normwise"):
        workload.check(workload.step())
