"""Composed networks: each published mistake is caught, the work is what is claimed, and facts are what is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count as counter
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from harness.gang import Gang, seeded
from harness.scenario import Workload
from harness.work.counting import Count, count
from scenarios.chapter.composition import branches, children, factory
from scenarios.chapter.composition.branches import Branches
from scenarios.chapter.composition.children import Children
from scenarios.chapter.composition.instances import Instances
from scenarios.chapter.composition.parallel import Fused, Parallel, Slices, Spread, Streams
from scenarios.chapter.composition.registration import InList, InListWithHead, InModuleList
from tests.ranks import Ranks, gang

CONTAINERS = ("sequential", "module_list", "list")
WAYS = ("serial", "slices", "fused", "streams", "spread")
MADE = ("instances", "repeated", "copies")
few = settings(max_examples=15, deadline=None)
sizes = st.integers(1, 5)


class Relayed(Gang):
    """Ranks that take their turns: what one broadcasts reaches the others in the round after."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        relay: dict[tuple[int, int], torch.Tensor] = self.groups  # type: ignore[assignment]
        self.__dict__.setdefault("calls", counter())
        key = next(self.__dict__["calls"]), source
        if self.rank == source:
            relay[key] = tensor
        return relay.get(key, torch.full_like(tensor, torch.nan))

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[None]


def relayed(size: int, relay: dict[Any, Any] | None = None) -> Iterator[Relayed]:
    cpu, relay = torch.device("cpu"), {} if relay is None else relay
    for rank in range(size):
        yield Relayed(rank, size, cpu, seeded(cpu, rank), seeded(cpu, "shared"), groups=relay)


def facts(workload: Workload) -> dict[str, Any]:
    return dict(workload.check(workload.step()) or {})


def refused(workload: Workload, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        facts(workload)


# Children: registered, or in a list


@few
@given(depth=sizes, width=st.integers(2, 6), batch=sizes)
def test_a_list_reaches_nothing_and_the_others_everything(depth: int, width: int, batch: int) -> None:
    whole = {
        "parameters": depth * (width**2 + width),
        "state_dict_keys": 2 * depth,
        "children_in_eval": depth,
        "tensors_in_double": 2 * depth,
        "tensors_trained": 2 * depth,
        "samples_restored": batch,
        "statistics_restored": 3,
    }
    mixed = {"mixed_trained": 2, "mixed_ranks": "one alone"}
    for container in CONTAINERS:
        found = facts(Children(depth=depth, width=width, batch=batch, container=container).prepare(gang(0, 1)))
        wanted = {**dict.fromkeys(whole, 0), **mixed} if container == "list" else whole
        assert found == {**wanted, "divergence": 0, "ranks": "one alone"}


def test_every_container_makes_the_same_bits_with_the_same_work_and_none_communicates(two_ranks: Ranks) -> None:
    told = [two_ranks.do(forward, container) for container in CONTAINERS]
    for each in zip(*told, strict=True):  # a rank's three containers
        assert all(torch.equal(output, each[0][0]) for output, _, _ in each)
    assert {(counted.flops, counted.traffic_bytes, declared) for each in told for _, counted, declared in each} == {
        (2 * 8 * 16**2 * 128, 0, 2 * 8 * 16**2 * 128)
    }
    assert not torch.equal(told[0][0][0], told[0][1][0])  # each rank has samples of its own: weak scaling


def forward(mine: Gang, container: str) -> tuple[torch.Tensor, Count, float]:
    workload = Children(container=container).prepare(mine)
    return workload.step(), count(workload.step), workload.work.flops


def test_ranks_stay_equal_exactly_where_children_are_registered(two_ranks: Ranks) -> None:
    for container in CONTAINERS:
        told = two_ranks.do(ranks_of, container)
        assert told[0] == told[1]
        assert told[0]["ranks"] == ("apart" if container == "list" else "equal")
        assert (told[0]["divergence"] > 0.1) == (container == "list")
    assert (told[0]["mixed_trained"], told[0]["mixed_ranks"]) == (2, "apart")  # of six tensors, and nothing was raised


def ranks_of(mine: Gang, container: str) -> dict[str, Any]:
    return facts(Children(depth=3, container=container).prepare(mine))


def test_distributed_data_parallel_itself_finds_nothing_to_train_in_a_list(two_ranks: Ranks) -> None:
    assert two_ranks.do(wrapped) == [(False, True)] * 2


def wrapped(mine: Gang) -> tuple[bool, ...]:
    def wraps(block: type[nn.Module]) -> bool:
        try:
            nn.parallel.DistributedDataParallel(block(nn.Linear(2, 2)), process_group=mine.group)
        except RuntimeError:
            return False
        return True

    return wraps(InList), wraps(InModuleList)


def test_an_optimizer_finds_nothing_in_a_list_and_eval_does_not_reach_its_dropout() -> None:
    x = torch.ones(4, 50)
    for kind, registered in ((InList, False), (InModuleList, True), (nn.Sequential, True)):
        block = kind(nn.Linear(50, 50), nn.Dropout())
        block.eval()
        assert torch.equal(block(x), block(x)) == registered
        assert (len(list(block.modules())) > 1) == registered
    with pytest.raises(ValueError, match="empty parameter list"):
        torch.optim.SGD(InList(nn.Linear(2, 2)).parameters())


def test_what_a_list_beside_a_registered_head_costs_a_data_parallel_run(two_ranks: Ranks) -> None:
    """It is accepted, its hidden layers start apart and stay apart, and the same input has an output for each rank."""
    first, second = two_ranks.do(mixed)
    assert first[0] == second[0] == 2  # of eight tensors
    assert not torch.equal(first[1], second[1])


def mixed(mine: Gang) -> tuple[int, torch.Tensor]:
    torch.manual_seed(mine.rank)
    block = InListWithHead(*(nn.Linear(4, 4) for _ in range(4)))
    model = nn.parallel.DistributedDataParallel(block, process_group=mine.group)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return len(list(model.parameters())), model(torch.ones(2, 4)).detach()


class ParametersAlone(InList):
    """Registers the parameters of its children, hands train() on to them, and forgets their buffers."""

    def __init__(self, *given: nn.Module) -> None:
        super().__init__(*given)
        for number, child in enumerate(given):
            for name, parameter in child.named_parameters():
                self.register_parameter(f"{number}_{name}", parameter)

    def train(self, mode: bool = True) -> nn.Module:
        for child in self.kept:
            child.train(mode)
        return super().train(mode)


class Reversed(nn.Sequential):
    """Calls its children in the wrong order."""

    def __init__(self, *given: nn.Module) -> None:
        super().__init__(*given[::-1])


@pytest.mark.parametrize("planted", [InList, InListWithHead, ParametersAlone])
def test_a_variant_that_claims_to_register_and_does_not_is_wrong(
    planted: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "InModuleList", planted)
    refused(Children(depth=3, container="module_list").prepare(gang(0, 1)), "is due")


def test_a_variant_that_claims_to_forget_its_children_and_does_not_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "InList", InModuleList)
    refused(Children(depth=3, container="list").prepare(gang(0, 1)), "is due")


@pytest.mark.parametrize("depth", [2, 128])
def test_children_in_another_order_are_wrong(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "InModuleList", Reversed)
    refused(Children(depth=depth, container="module_list").prepare(gang(0, 1)), "normwise")


# Branches: a parallel block


def linears(*widths: int, features: int = 3) -> list[nn.Linear]:
    return [nn.Linear(features, width) for width in widths]


@few
@given(st.lists(sizes, min_size=1, max_size=4), st.lists(sizes, max_size=3))
def test_outputs_lie_side_by_side_in_order_whatever_comes_before_them(widths: list[int], shape: list[int]) -> None:
    made = linears(*widths)
    x = torch.randn(*shape, 3)
    output = Parallel(made)(x)
    assert output.shape == (*shape, sum(widths))
    for part, branch in zip(output.split(widths, dim=-1), made, strict=True):
        assert torch.equal(part, branch(x))


@few
@given(st.lists(sizes, min_size=1, max_size=4), st.lists(sizes, min_size=1, max_size=3))
def test_every_way_gives_the_same_output(widths: list[int], shape: list[int]) -> None:
    made = linears(*widths)
    x = torch.randn(*shape, 3)
    with torch.no_grad():
        wanted = Parallel(made)(x)
        for block in (Slices(made), Fused(made), Streams(made), Spread(made, gang(0, 1))):
            torch.testing.assert_close(block(x), wanted)
            assert sum(map(torch.numel, block.parameters())) == 4 * sum(widths)


def test_the_gradient_of_the_input_is_the_sum_of_the_branches() -> None:
    made = linears(2, 5)
    x = torch.randn(7, 3, requires_grad=True)
    (whole,) = torch.autograd.grad(Parallel(made)(x).sum(), x)
    each = [torch.autograd.grad(branch(x).sum(), x)[0] for branch in made]
    torch.testing.assert_close(whole, each[0] + each[1])


def test_a_network_that_is_both_branches_has_its_parameters_once_and_their_gradient_twice() -> None:
    (one,) = linears(4)
    both, x = Parallel([one, one]), torch.randn(7, 3)
    assert sum(map(torch.numel, both.parameters())) == 16
    assert both(x).shape == (7, 8)
    alone = torch.autograd.grad(one(x).sum(), [*one.parameters()])
    for twice, once in zip(torch.autograd.grad(both(x).sum(), [*both.parameters()]), alone, strict=True):
        torch.testing.assert_close(twice, 2 * once)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("widths", [(0, 3), (3, 0), (1, 2), (0, 1), (0, 0)])
def test_a_branch_may_be_of_width_one_or_none(widths: tuple[int, ...]) -> None:
    made, x = linears(*widths), torch.randn(4, 2, 3)
    with torch.no_grad():
        due = torch.cat([x @ branch.weight.T + branch.bias for branch in made], dim=-1)
        for block in (Parallel(made), Slices(made), Fused(made), Streams(made), Spread(made, gang(0, 1))):
            torch.testing.assert_close(block(x), due)


SMALL = {"batch": 4, "tokens": 3, "features": 8, "width": 4}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_all_ranks_together_do_one_pass(how: str, size: int) -> None:
    workloads = [Branches(how=how, **SMALL).prepare(mine) for mine in relayed(size)]
    due = 2 * 4 * 3 * 8 * (4 + 8)
    assert sum(each.work.flops for each in workloads) == due
    assert sum(count(each.step).flops for each in workloads) == due
    assert sum(each.work.items for each in workloads) == pytest.approx(1)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("size", "amount"), [(1, 2), (2, 2), (3, 2), (2, 5)])
def test_the_ranks_parts_are_the_pass(how: str, size: int, amount: int) -> None:
    alone = Branches(branches=amount, **SMALL).prepare(gang(0, 1)).step()
    relay: dict[Any, Any] = {}
    for _ in range(2):  # in the second round everybody has heard everybody
        workloads = [Branches(how=how, branches=amount, **SMALL).prepare(mine) for mine in relayed(size, relay)]
        parts = [each.step() for each in workloads]
    for workload, part in zip(workloads, parts, strict=True):
        workload.check(part)
    outputs = parts if how == "spread" else [torch.cat(parts)]
    for output in outputs:
        torch.testing.assert_close(output, alone)


def test_two_ranks_hand_each_other_their_branches(two_ranks: Ranks) -> None:
    alone = Branches(**SMALL).prepare(gang(0, 1)).step()
    for output, found, counted in two_ranks.do(spread):
        assert torch.equal(output, alone)
        share = 8 / 12  # so at most 1.5 times as fast
        assert found == {
            "parameters": 9 * 12, "bitwise": True, "streams": 1, "trains": False, "largest_share": share,
        }  # fmt: skip
        assert counted.traffic_bytes == alone.nbytes


def spread(mine: Gang) -> tuple[torch.Tensor, dict[str, Any], Count]:
    workload = Branches(how="spread", **SMALL).prepare(mine)
    return workload.step(), facts(workload), count(workload.step)


def test_ranks_that_share_the_samples_do_not_communicate(two_ranks: Ranks) -> None:
    for found, counted in two_ranks.do(shared):
        assert found["largest_share"] == 0.5
        assert counted.traffic_bytes == 0


def shared(mine: Gang) -> tuple[dict[str, Any], Count]:
    workload = Branches(**SMALL).prepare(mine)
    return facts(workload), count(workload.step)


def planted(change: Callable[[Parallel, torch.Tensor], torch.Tensor]) -> type[Parallel]:
    return type("Planted", (Parallel,), {"forward": change})


def dimension_one(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([branch(x) for branch in block.branches], dim=1)


def swapped(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([branch(x) for branch in reversed(list(block.branches))], dim=-1)


def in_place(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    first, second = block.branches
    return torch.cat([first(x), second(x.relu_())], dim=-1)


def rounded(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    return Parallel.forward(block, x).bfloat16().float()


def first_twice(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    first, _ = block.branches
    return torch.cat([first(x), first(x)], dim=-1)


@pytest.mark.parametrize(
    ("mistake", "why"),
    [
        (dimension_one, "shape"),
        (swapped, "normwise"),
        (in_place, "changed the input"),
        (rounded, "normwise"),
        (first_twice, "normwise"),
    ],
)
def test_the_published_mistakes_are_wrong_even_where_widths_are_equal(
    mistake: Callable[..., torch.Tensor], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "Slices", planted(mistake))
    refused(Branches(how="slices", imbalance=1, **SMALL).prepare(gang(0, 1)), why)


def test_concatenating_in_dimension_one_does_not_even_run_where_widths_differ() -> None:
    with pytest.raises(RuntimeError, match="Sizes of tensors"):
        planted(dimension_one)(linears(2, 3))(torch.randn(2, 5, 3))


def test_branches_that_are_not_handed_over_are_wrong() -> None:
    first, _ = relayed(2)  # the first rank's turn comes before the second has told it anything
    refused(Branches(how="spread", **SMALL).prepare(first), "normwise")


def nearly(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    return Parallel.forward(block, x) * (1 + 2**-20)  # well within the tolerance


def test_one_after_the_other_branches_give_the_very_bits_that_they_give_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branches, "Slices", planted(nearly))
    assert facts(Branches(how="slices", **SMALL).prepare(gang(0, 1)))["bitwise"] is False
    monkeypatch.setattr(branches, "Parallel", planted(nearly))
    refused(Branches(how="serial", **SMALL).prepare(gang(0, 1)), "alone")


def detached(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    return Parallel.forward(block, x).detach()


def one_detached(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    first, second = block.branches
    return torch.cat([first(x), second(x).detach()], dim=-1)


def by_data(block: Parallel, x: torch.Tensor) -> torch.Tensor:
    """Weights through ``.data``, as in a layer of the book's own: they get no gradient, and the input does."""
    return torch.cat([x @ branch.weight.data.T + branch.bias for branch in block.branches], dim=-1)


@pytest.mark.parametrize(
    ("mistake", "why"),
    [(detached, "no gradient passes"), (one_detached, "the input's gradient"), (by_data, "the weights' gradient")],
)
def test_branches_that_are_detached_are_wrong_though_their_output_is_right(
    mistake: Callable[..., torch.Tensor], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "Streams", planted(mistake))
    refused(Branches(how="streams", **SMALL).prepare(gang(0, 1)), why)


def test_a_block_with_a_branch_too_many_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle(Parallel):
        def __init__(self, made: list[nn.Linear]) -> None:
            super().__init__(made)
            self.idle = nn.Linear(2, 2)

    monkeypatch.setattr(branches, "Fused", Idle)
    refused(Branches(how="fused", **SMALL).prepare(gang(0, 1)), "114 parameters")


def test_streams_start_after_the_caller_and_the_caller_goes_on_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    caller = torch.cpu.current_stream()
    monkeypatch.setattr(torch.cpu.Stream, "wait_stream", lambda self, other: told.append((self, other)))
    made = linears(2, 3)
    for branch in made:
        branch.register_forward_hook(lambda *_: told.append(torch.cpu.current_stream()))
    block = Streams(made)
    block(torch.randn(4, 3))
    one, other = block.streams
    assert one is not other
    assert told == [(one, caller), one, (other, caller), other, (caller, one), (caller, other)]


# Instances: built, repeated, or copied


PUBLISHED = {"blocks": 3, "width": 10, "hidden": 5, "outputs": 2, "batch": 4}


@pytest.mark.parametrize(("made", "parameters", "storages", "weights"), [
    ("instances", 367, 14, 3), ("repeated", 137, 6, 1), ("copies", 367, 14, 1),
])  # fmt: skip
def test_what_there_is_of_a_network_of_three(made: str, parameters: int, storages: int, weights: int) -> None:
    assert facts(Instances(made=made, **PUBLISHED).prepare(gang(0, 1))) == {
        "parameters": parameters,
        "storages": storages,
        "state_dict_numbers": 367,  # whatever is shared: counting here hides the mistake
        "initial_weights": weights,
        "statistics": 1 if made == "repeated" else 3,
        "gradient_bytes": 4 * parameters,
    }


@few
@example(blocks=1, width=2, hidden=4, outputs=1, batch=5)  # the gradient of its last bias nearly cancels
@given(blocks=sizes, width=st.integers(2, 5), hidden=st.integers(2, 5), outputs=sizes, batch=sizes)
def test_instances_of_any_size_are_checked_and_do_the_declared_work(**size: int) -> None:
    for made in MADE:
        workload = Instances(made=made, **size).prepare(gang(0, 1))
        facts(workload)
        assert count(workload.step).flops == workload.work.flops


def sharing_statistics(build: Callable[[], nn.Module], count: int) -> list[nn.Module]:
    """Blocks with parameters of their own, and the buffers of the first."""
    first, *others = (build() for _ in range(count))
    for other in others:
        for name, buffer in first.named_buffers():
            setattr(other, name, buffer)
    return [first, *others]


@pytest.mark.parametrize(("claimed", "planted"), [
    ("instances", factory.repeated), ("instances", factory.copies),
    ("copies", factory.repeated), ("copies", factory.instances), ("repeated", factory.instances),
    ("instances", sharing_statistics),
])  # fmt: skip
def test_a_factory_that_does_something_else_is_wrong(
    claimed: str, planted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, claimed, planted)
    refused(Instances(made=claimed, **PUBLISHED).prepare(gang(0, 1)), "is due")


def test_a_repeated_block_updates_its_statistics_once_for_every_use() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))

    counted = {}
    for make in (factory.instances, factory.repeated, factory.copies):
        net = nn.Sequential(*make(block, 3))
        net(torch.randn(8, 3))
        counted[make.__name__] = [int(each[1].num_batches_tracked) for each in net]
    assert counted == {"instances": [1, 1, 1], "repeated": [3, 3, 3], "copies": [1, 1, 1]}


@pytest.mark.parametrize("make", [factory.instances, factory.repeated, factory.copies])
def test_a_factory_makes_none_and_one_as_well(make: Callable[..., Any]) -> None:
    assert make(lambda: nn.Linear(2, 2), 0) == []
    assert [type(each) for each in make(lambda: nn.Linear(2, 2), 1)] == [nn.Linear]


def test_a_block_is_built_once_for_each_instance() -> None:
    for make, times in ((factory.instances, 5), (factory.repeated, 1), (factory.copies, 1)):
        built: list[nn.Module] = []
        made = make(lambda built=built: built.append(nn.Linear(2, 2)) or built[-1], 5)
        assert len(built) == times
        assert len(made) == 5
        assert len(set(map(id, made))) == (1 if make is factory.repeated else 5)


def test_of_a_single_block_nobody_can_tell_how_it_was_made() -> None:
    told = [facts(Instances(**{**PUBLISHED, "blocks": 1}, made=made).prepare(gang(0, 1))) for made in MADE]
    assert told[0] == told[1] == told[2]  # 137 parameters each: why there are more blocks than one


@pytest.mark.parametrize("made", MADE)
def test_names_and_their_parameters_are_as_many_only_where_no_block_is_repeated(made: str) -> None:
    net = Instances(made=made, **PUBLISHED).net(gang(0, 1))
    assert len(dict(net.named_parameters(remove_duplicate=False))) == len(net.state_dict()) == 14
    assert len(list(net.parameters())) == (6 if made == "repeated" else 14)
    assert (len(net), len(list(net.children()))) == (4, 2 if made == "repeated" else 4)


@pytest.mark.parametrize("made", MADE)
def test_writing_to_one_block_changes_another_only_where_one_is_repeated(made: str) -> None:
    net = Instances(made=made, **PUBLISHED).net(gang(0, 1))
    before = net[2][0].weight.detach().clone()
    with torch.no_grad():
        net[0][0].weight.add_(1)
    assert torch.equal(net[2][0].weight, before) == (made != "repeated")


def test_a_seed_gives_the_same_network_again() -> None:
    one, other = (Instances(**PUBLISHED).prepare(gang(0, 1)).step() for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("made", MADE)
def test_ranks_average_their_gradients_in_one_message_of_all_parameters(made: str, two_ranks: Ranks) -> None:
    (first, found, counted, declared), (second, _, _, _) = two_ranks.do(gradient, made)
    assert torch.equal(first, second)
    assert counted.traffic_bytes == found["gradient_bytes"] == first.nbytes
    assert counted.flops == declared == Instances(**PUBLISHED).prepare(gang(0, 1)).work.flops  # each rank as one alone


def gradient(mine: Gang, made: str) -> tuple[torch.Tensor, dict[str, Any], Count, float]:
    workload = Instances(made=made, **PUBLISHED).prepare(mine)
    return workload.step(), facts(workload), count(workload.step), workload.work.flops


def test_a_gradient_that_is_not_averaged_is_wrong_on_every_rank(two_ranks: Ranks) -> None:
    assert all("a gradient: a normwise error" in told for told in two_ranks.do(own_gradient))


def own_gradient(mine: Gang) -> str:
    workload = Instances(**PUBLISHED).prepare(mine)
    alone = Instances(**PUBLISHED).prepare(gang(0, 1)).step()  # of the first rank's samples
    try:
        workload.check(alone)
    except AssertionError as error:
        return str(error)
    return "right"


def test_the_gradient_of_a_repeated_instance_is_the_sum_over_its_uses_and_not_that_of_one() -> None:
    repeated = Instances(made="repeated", **PUBLISHED).prepare(gang(0, 1))
    *uses, head = Instances(made="copies", **PUBLISHED).prepare(gang(0, 1)).step().split([115, 115, 115, 22])
    torch.testing.assert_close(repeated.step(), torch.cat([sum(uses), head]))
    repeated.check(torch.cat([sum(uses), head]))
    for use in uses:
        with pytest.raises(AssertionError, match="normwise"):
            repeated.check(torch.cat([use, head]))
    with pytest.raises(AssertionError, match="numbers"):
        repeated.check(torch.cat([*uses, head]))
