"""The CPU against the device: the copies are made at every step, both ways, and every variant does the same work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.gang import Gang, seeded
from harness.work.counting import Count, count
from scenarios.chapter.products.crossover import Crossover
from tests.ranks import Ranks, gang

WHERE = ("host", "resident", "copied")
cpu = torch.device("cpu")


class Relayed(Gang):
    """Ranks that take their turns, rank 0 first: the others get what it has broadcast. Parts are not joined."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        relay: dict[Any, Any] = self.groups  # type: ignore[assignment]
        return tensor.copy_(relay.setdefault("sent", tensor.clone()))

    def join(self, part: torch.Tensor, total: int, dim: int = 0) -> torch.Tensor:
        return part


def relayed(size: int) -> Iterator[Gang]:
    relay: dict[Any, Any] = {}
    for rank in range(size):
        yield Relayed(rank, size, cpu, seeded(cpu, rank), seeded(cpu, "shared"), groups=relay)


def told(mine: Gang, where: str, size: int) -> tuple[dict[str, Any], Count, float, torch.Tensor]:
    """Facts, what a step does, the declared FLOPs, and the product; after a reset."""
    workload = Crossover(where=where, size=size).prepare(mine)
    workload.reset()
    done = count(workload.step)
    product = workload.step()
    return dict(workload.check(product)), done, workload.work.flops, product


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("n", [1, 2, 7, 32])
def test_alone_every_variant_multiplies_the_same_matrices(where: str, n: int) -> None:
    facts, done, flops, product = told(gang(0, 1), where, n)
    assert flops == done.flops == 2 * n**3
    assert done.host_reads == (where == "copied")
    assert done.constant_operands == 0
    assert 0 <= facts["error"] < 5e-6
    assert torch.equal(product, told(gang(0, 1), "host", n)[3])


@pytest.mark.parametrize("n", [16, 7])
def test_two_ranks_share_one_product_and_only_the_copies_are_sent(two_ranks: Ranks, n: int) -> None:
    whole = told(gang(0, 1), "host", n)[3]
    for where in WHERE:
        ranks = two_ranks.do(told, where, n)
        assert sum(done.flops for _, done, _, _ in ranks) == sum(flops for _, _, flops, _ in ranks) == 2 * n**3
        products = [product for *_, product in ranks]
        joined = products if where == "copied" else [torch.cat(products)]
        for product in joined:
            torch.testing.assert_close(product, whole)
        longest = -(-n // 2)
        sent = 2 * n * n + 2 * longest * n  # both operands to the others, and everyone's rows
        assert [done.traffic_bytes for _, done, _, _ in ranks] == [4 * sent * (where == "copied")] * 2
        assert [done.host_reads for _, done, _, _ in ranks] == [int(where == "copied"), 0]  # rank 0 gets the product


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("size", "n"), [(3, 16), (4, 16), (5, 3)])
def test_rows_are_shared_over_any_number_of_ranks(where: str, size: int, n: int) -> None:
    workloads = [Crossover(where=where, size=n).prepare(mine) for mine in relayed(size)]
    rows = [workload.step() for workload in workloads]
    assert torch.equal(torch.cat(rows), Crossover(size=n).prepare(gang(0, 1)).step())
    assert sum(workload.work.flops for workload in workloads) == 2 * n**3
    assert sum(workload.work.items for workload in workloads) == pytest.approx(1)
    assert sum(count(workload.step).flops for workload in workloads) == 2 * n**3


def test_the_cpu_of_a_gpus_rank_is_all_cores_that_it_runs_on_and_a_cpu_device_is_its_own_threads() -> None:
    host, resident = Crossover(where="host"), Crossover(where="resident")
    gpu, threads = torch.device("cuda:0"), torch.get_num_threads()
    assert host.cores(gpu) == len(os.sched_getaffinity(0))
    assert host.cores(cpu) == resident.cores(gpu) == resident.cores(cpu) == threads
    workload = host.prepare(gang(0, 1))
    assert workload.check(workload.step())["cores"] == threads


class Threads(TorchDispatchMode):
    """Notes with how many threads products are made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten.mm:
            self.seen.append(torch.get_num_threads())
        return func(*args, **(kwargs or {}))


def test_the_threads_of_the_host_are_those_of_its_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(Crossover, "cores", lambda self, device: before + 2)
    for where, during in (("host", before + 2), ("resident", before), ("copied", before)):
        workload = Crossover(where=where).prepare(gang(0, 1))
        with Threads() as threads:
            workload.check(workload.step())
        assert threads.seen[0] == during
        assert torch.get_num_threads() == before


@pytest.mark.parametrize("where", WHERE)
def test_a_product_of_earlier_operands_is_wrong(where: str) -> None:
    workload = Crossover(where=where, size=32).prepare(gang(0, 1))
    early = workload.step().clone()
    workload.check(early)
    for _ in range(3):
        workload.reset()
        with pytest.raises(AssertionError, match="normwise"):
            workload.check(early)
        workload.check(workload.step())


class SentOnce(Gang):
    """The published way to leave copies out: the operands went to the device before."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        relay: dict[Any, Any] = self.groups  # type: ignore[assignment]
        return relay.setdefault("sent", tensor.clone())


def test_operands_that_are_copied_before_the_steps_and_not_in_them_are_noticed() -> None:
    workload = Crossover(where="copied", size=32).prepare(
        SentOnce(0, 1, cpu, seeded(cpu, 0), seeded(cpu, "shared"), groups={})
    )
    workload.reset()
    workload.check(workload.step())
    workload.reset()
    with pytest.raises(AssertionError, match="normwise"):
        workload.check(workload.step())


def test_a_product_that_is_left_on_another_device_is_wrong() -> None:
    for where in WHERE:
        workload = Crossover(where=where, size=8).prepare(gang(0, 1))
        with pytest.raises(AssertionError, match="due on cpu"):
            workload.check(workload.step().to("meta"))


def test_the_copies_are_made_although_the_device_is_the_cpu() -> None:
    made: dict[str, list[int]] = {}
    for where in WHERE:
        workload = Crossover(where=where, size=64).prepare(gang(0, 1))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            workload.step()
        made[where] = [event.count for event in profile.key_averages() if event.key == "aten::copy_"]
    assert made == {"host": [], "resident": [], "copied": [2]}  # there and back


MISTAKES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "reduced precision": lambda product: product.bfloat16().float(),
    "TF32": lambda product: product * (1 + 3e-4 * torch.randn(product.shape)),
    "another order": lambda product: product.flip(0),
    "transposed": lambda product: product.T,
    "half of the rows": lambda product: product[:16],
    "no number": lambda product: product * torch.nan,
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("where", WHERE)
def test_a_wrong_product_is_refused(where: str, mistake: str) -> None:
    workload = Crossover(where=where, size=32).prepare(gang(0, 1))
    product = workload.step()
    workload.check(product)
    with pytest.raises(AssertionError):
        workload.check(MISTAKES[mistake](product))


class Unsent(Gang):
    """Nobody sends the operands."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        return tensor


class Unjoined(Gang):
    """Everyone keeps its rows."""

    def join(self, part: torch.Tensor, total: int, dim: int = 0) -> torch.Tensor:
        return part


def verdict(mine: Gang, stranger: type[Gang]) -> str:
    workload = Crossover(where="copied", size=32).prepare(stranger(**vars(mine)))
    product = workload.step()
    try:
        workload.check(product)
    except AssertionError as error:
        return str(error)
    return "right"


def test_without_its_messages_the_product_is_wrong_on_every_rank(two_ranks: Ranks) -> None:
    assert two_ranks.do(verdict, Gang) == ["right", "right"]
    assert all("normwise" in told for told in two_ranks.do(verdict, Unsent))
    assert all("shape" in told for told in two_ranks.do(verdict, Unjoined))


def test_operands_are_the_same_bits_in_every_variant_and_are_put_back_alike() -> None:
    products = []
    for where in WHERE:
        workload = Crossover(where=where, size=16).prepare(gang(0, 1))
        workload.reset()
        products.append(workload.step())
    assert torch.equal(products[0], products[1]) and torch.equal(products[0], products[2])
