"""Graphs: what is captured, and how, and what is refused; against torch.cuda as documented."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from harness.common.errors import RefusedError
from harness.journal.records import Traffic
from harness.measure.cuda_graphs import captured, refusal
from harness.scenario import Work, Workload
from harness.work import contract
from harness.work.counting import Count, count
from scenarios.chapter.lazy.construction import Construction
from scenarios.chapter.sharing.tying import Tying
from tests.cuda_api import Cuda
from tests.ranks import gang

GPU = torch.device("cuda", 0)
SUM = (Traffic(kind="all_reduce", group_size=2, count=1, bytes_in=8, bytes_out=8, bytes=8),)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda.installed(monkeypatch)


def test_it_is_warmed_up_and_captured_on_one_side_stream_and_then_replayed(cuda: Cuda) -> None:
    total = torch.zeros(())

    def step() -> torch.Tensor:
        cuda.launch(lambda: total.add_(1))
        return total

    replay = captured(step, GPU, ["own", "shared"])  # type: ignore[list-item]
    assert cuda.told == [
        *("side waits for main", *["launch on side"] * 3, "main waits for side"),
        *("register own", "register shared", "capture on side, thread_local", "launch on side"),
    ]
    assert total == 3  # a capture does nothing yet
    cuda.told.clear()
    assert replay() is total and total == 4
    assert replay() is total and total == 5
    assert cuda.told == ["replay", "replay"]


def test_what_fails_while_it_is_captured_is_refused_by_the_first_line_of_its_own_error(cuda: Cuda) -> None:
    def step() -> None:
        cuda.launch(lambda: None)
        cuda.item(torch.ones(()))

    with pytest.raises(RefusedError) as raised:
        captured(step, GPU, [])
    assert str(raised.value) == "cannot be captured: CUDA error: operation not permitted when stream is capturing"


def test_a_step_that_launches_nothing_is_refused(cuda: Cuda) -> None:
    with pytest.raises(RefusedError, match="launches nothing"):
        captured(lambda: torch.ones(2).sum(), GPU, [])


def test_out_of_memory_stays_what_it_is(cuda: Cuda) -> None:
    def step() -> None:
        if cuda.capturing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")

    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        captured(step, GPU, [])


@pytest.mark.parametrize(
    ("seen", "backend", "reason"),
    [
        (Count(), "nccl", None),
        (Count(messages=SUM), "nccl", None),
        (Count(host_reads=1), "nccl", "reads to the host once a step"),
        (Count(host_reads=1000), "nccl", "reads to the host 1000 times a step"),
        (Count(host_operations=2), "nccl", "computes on the host 2 times a step, which a replay would not repeat"),
        (Count(reseeds=True), "nccl", "seeds random numbers in a step, which a replay would not repeat"),
        (Count(messages=SUM), "gloo", "its messages go through the host (gloo)"),
    ],
)
def test_counting_tells_what_cannot_be_captured(seen: Count, backend: str, reason: str | None) -> None:
    assert refusal(seen, backend) == reason


def test_operations_on_the_host_are_counted_where_the_step_has_another_device() -> None:
    def step() -> None:
        torch.randperm(8)
        torch.ones(3, device="meta") * 2

    assert count(step, lambda: "a stream").host_operations == 1
    assert count(step).host_operations == 0


def test_a_step_that_seeds_is_told_from_one_that_draws_and_nobodys_numbers_are_changed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert not count(lambda: torch.rand(2)).reseeds
    assert torch.equal(torch.rand(3), expected)
    assert count(lambda: torch.manual_seed(5)).reseeds  # the very seed that is set already
    assert torch.initial_seed() == 5
    lazily = Construction(layers=2, width=8, how="lazy").prepare(gang(0, 1))
    assert refusal(count(lazily.step), "nccl") == "seeds random numbers in a step, which a replay would not repeat"


@pytest.mark.parametrize("hidden", ["untied", "tied"])
def test_training_is_right_where_only_its_launches_are_replayed(hidden: str) -> None:
    """No Python of a step runs in a replay: what counts steps there counts none."""
    workload = Tying(batch=9, uses=2, width=12, hidden=hidden).prepare(gang(0, 1))
    output = workload.step()
    replayed, steps = copy.copy(workload), 4
    workload.reset()
    python = {name: value for name, value in vars(step_owner(workload)).items() if isinstance(value, int)}
    for _ in range(steps):
        replayed.step()
        vars(step_owner(workload)).update(python)
    assert contract.check(workload, output, steps)
    with pytest.raises(AssertionError, match="normwise"):
        contract.check(workload, output, steps + 1)


def step_owner(workload: Workload) -> object:
    """The object whose method is the step."""
    return workload.step.__self__  # type: ignore[attr-defined]


def plain(_: object) -> None: ...


def with_steps(_: object, steps: int) -> dict[str, int]:
    return {"steps": steps}


@pytest.mark.parametrize(
    ("check", "steps"),
    [
        (with_steps, 7), (partial(with_steps), 7), (lambda output, steps: {"steps": steps}, 7),
        (plain, None), (lambda output, limit=3: None, None), (lambda *outputs: None, None),
        (partial(lambda limit, output: None, 3), None),
    ],
)  # fmt: skip
def test_a_check_of_two_parameters_gets_the_steps_too(check: Callable[..., Any], steps: int | None) -> None:
    found = contract.check(Workload(lambda: None, check=check, work=Work()), "output", 7)
    assert (found or {}).get("steps") == steps
