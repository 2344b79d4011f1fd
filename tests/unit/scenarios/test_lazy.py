"""Lazy layers, dimensions that do not match, inputs of varying width: right results, honest work, planted mistakes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from torch.nn.parameter import is_lazy

from harness.gang import Gang
from harness.work.counting import count
from scenarios.chapter.lazy import dryrun, encoders, mismatch, widths
from scenarios.chapter.lazy.construction import Construction
from scenarios.chapter.lazy.encoders import Adapters, Groups, Padded, Sliced
from scenarios.chapter.lazy.mismatch import Mismatch
from scenarios.chapter.lazy.stack import stack
from scenarios.chapter.lazy.widths import Widths
from tests.ranks import Ranks, gang

cpu = torch.device("cpu")
WAYS = ["eager", "first", "lazy", "meta"]
FINDS = ["forward", "meta", "declared"]
TIES = ["pad", "slice", "adapters"]
SMALL = {"widths": 3, "widest": 40, "hidden": 16, "outputs": 3, "samples": 23}


def alone(scenario: Any) -> Any:
    """The workload's facts, after one step, on one device."""
    workload = scenario.prepare(gang(0, 1))
    return workload.check(workload.step())


# 5.3.1: construction


@pytest.mark.parametrize(("how", "at_once"), [("eager", 7946), ("first", 5376), ("lazy", 0), ("meta", 7946)])
def test_what_is_initialised_at_once_in_the_books_network(how: str, at_once: int) -> None:
    reached = {"eager": 2, "first": 1, "lazy": 0, "meta": 2}[how]  # layers, by an initialiser before the first batch
    assert alone(Construction(how=how)) == {"parameters": 7946, "at_once": at_once, "initialised": reached}


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_every_way_of_construction_gives_the_same_bits(layers: int) -> None:
    made = [Construction(how=how, layers=layers, width=33).prepare(gang(0, 1)).step() for how in WAYS]
    for (one, output), (other, its_output) in pairwise(made):
        assert torch.equal(output, its_output)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("how", WAYS)
def test_construction_is_the_same_work_on_every_rank_and_in_every_way(how: str) -> None:
    workloads = [Construction(how=how, layers=3, width=8).prepare(gang(rank, 3)) for rank in range(3)]
    flops = 2 * 2 * (20 * 8 + 8 * 8 + 8 * 10)
    assert [load.work.flops for load in workloads] == [count(load.step).flops for load in workloads] == [flops] * 3
    assert [load.work.items for load in workloads] == [20 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10] * 3


def test_replicas_are_alike_on_all_ranks_and_their_batches_are_not() -> None:
    (one, output), (other, its_output) = (Construction().prepare(gang(rank, 2)).step() for rank in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(output, its_output)


def test_steps_leave_nothing_behind() -> None:
    workload = Construction(how="lazy").prepare(gang(0, 1))
    (one, _), (other, _) = workload.step(), workload.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not any(a is b for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("how", ["first", "lazy"])
def test_an_optimizer_made_before_the_first_batch_updates_what_that_initialises(how: str) -> None:
    net = Construction(how=how).construct(cpu)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    loss = net(torch.randn(8, 20)).square().sum()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    loss.backward()
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


@dataclass(frozen=True, kw_only=True)
class BothLazy(Construction):
    """The published test of "only the first layer": no layer is told its inputs, so none is initialised at once."""

    def construct(self, device: torch.device) -> nn.Sequential:
        return stack([(None, 256), (None, 10)], device)


@dataclass(frozen=True, kw_only=True)
class LazyBetween(Construction):
    """The last layer draws before the one in the middle: other weights from the same seed."""

    layers: int = 3

    def construct(self, device: torch.device) -> nn.Sequential:
        return stack([(20, 256), (None, 256), (256, 10)], device)


@dataclass(frozen=True, kw_only=True)
class DrawsFirst(Construction):
    """Something is drawn after seeding."""

    def construct(self, device: torch.device) -> nn.Sequential:
        torch.rand(1)
        return super().construct(device)


@dataclass(frozen=True, kw_only=True)
class NeverReset(Construction):
    """Memory that was given and not initialised, as the system hands it out."""

    def construct(self, device: torch.device) -> nn.Sequential:
        net = stack(self.dims, "meta").to_empty(device=device)
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        return net


@dataclass(frozen=True, kw_only=True)
class DryUnderInference(Construction):
    """A dry run under inference mode initialises weights that can never be trained."""

    def construct(self, device: torch.device) -> nn.Sequential:
        net = super().construct(device)
        with torch.inference_mode():
            net(torch.ones(1, self.inputs))
        return net


@dataclass(frozen=True, kw_only=True)
class OwnInitialiser(Construction):
    """An initialiser that asks for the exact type, applied before the first batch."""

    def construct(self, device: torch.device) -> nn.Sequential:
        def small(module: nn.Module) -> None:
            if type(module) is nn.Linear:
                nn.init.normal_(module.weight, std=0.01)

        return super().construct(device).apply(small)


@dataclass(frozen=True, kw_only=True)
class Forgetful(Construction):
    """Every batch after the first initialises the weights again."""

    def construct(self, device: torch.device) -> nn.Sequential:
        net, calls = super().construct(device), []

        def again(module: nn.Module, _: object) -> None:
            calls.append(1)
            if len(calls) > 1:
                nn.init.normal_(module[0].weight)

        net.register_forward_pre_hook(again)
        return net


@dataclass(frozen=True, kw_only=True)
class StillLazy(Construction):
    """Nothing is computed: the second layer is never initialised."""

    def prepare(self, gang: Gang) -> Any:
        workload = super().prepare(gang)
        object.__setattr__(workload, "step", lambda: (self.construct(cpu), torch.zeros(2, 10)))
        return workload


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (BothLazy(how="first"), "not the layers wait"),
        (LazyBetween(how="first"), "not close"),
        (DrawsFirst(how="lazy"), "not close"),
        (DrawsFirst(how="eager"), "not close"),
        (NeverReset(how="meta"), "not close"),
        (DryUnderInference(how="lazy", layers=1), "under inference mode"),
        (OwnInitialiser(how="eager"), "not close"),
        (Forgetful(how="lazy"), "a second batch"),
        (StillLazy(how="first"), "still lazy"),
        (StillLazy(how="lazy"), "still lazy"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.how}" if isinstance(value, Construction) else "",
)
def test_construction_gone_wrong(mistake: Construction, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        alone(mistake)


def test_a_data_parallel_wrapper_refuses_layers_that_wait_for_their_first_batch(two_ranks: Ranks) -> None:
    assert two_ranks.do(wrapped) == ["Modules with uninitialized parameters"] * 2


def wrapped(mine: Gang) -> str:
    try:
        nn.parallel.DistributedDataParallel(Construction(how="lazy").construct(cpu), process_group=mine.group)
    except RuntimeError as error:
        return str(error).partition(" can't")[0]
    return "accepted"


def test_a_network_that_waits_for_its_first_batch_can_be_saved_and_not_be_loaded(tmp_path: Path) -> None:
    torch.save(Construction(how="lazy").construct(cpu).state_dict(), tmp_path / "it")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "it", weights_only=True)


def test_an_empty_batch_initialises_and_every_layer_once() -> None:
    net = Construction(how="lazy").construct(cpu)
    called = []
    for layer in net:
        if isinstance(layer, nn.LazyLinear):
            initialise = layer.initialize_parameters
            layer.initialize_parameters = lambda *x, own=initialise: called.append(1) or own(*x)
    assert net(torch.empty(0, 20)).shape == (0, 10)
    net(torch.randn(2, 20))
    assert len(called) == 2
    assert sum(each.numel() for each in net.parameters()) == 7946


def test_an_initialiser_before_the_first_batch_passes_lazy_layers_by_silently_or_raises() -> None:
    found = alone(OwnInitialiser(how="lazy"))
    assert (found["parameters"], found["initialised"]) == (7946, 0)  # default weights, and the facts say why
    net = Construction(how="lazy").construct(cpu)

    def by_kind(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):  # and so nn.LazyLinear too
            nn.init.normal_(module.weight)

    with pytest.raises(ValueError, match="uninitialized parameter"):
        net.apply(by_kind)


def test_a_second_batch_changes_neither_types_nor_bits_nor_identities() -> None:
    net, x = Construction(how="lazy").construct(cpu), torch.randn(2, 20)
    first = net(x)
    kept = [(id(each), type(each), each.detach().clone()) for each in net.parameters()]
    second = net(x)
    assert torch.equal(first, second)
    for (name, kind, bits), now in zip(kept, net.parameters(), strict=True):
        assert (name, kind) == (id(now), type(now)) and torch.equal(bits, now)


def test_construction_sees_reduced_precision() -> None:
    workload = Construction().prepare(gang(0, 1))
    net, output = workload.step()
    with pytest.raises(AssertionError, match="normwise"):
        workload.check((net, output.bfloat16().float()))


# 5.3.2: dimensions that do not match


@pytest.mark.parametrize("how", FINDS)
@pytest.mark.parametrize("size", [{"width": 8}, {"layers": 1}, {"width": 64, "layers": 3, "batch": 1}])
def test_mismatch_is_found_in_the_last_layer_and_named(how: str, size: dict[str, int]) -> None:
    facts = alone(Mismatch(how=how, **size))
    assert facts["initialised"] == (how == "forward")  # a failed first forward pass is not atomic
    assert facts["silent"] == (2 if how == "declared" else 3)


def test_mismatch_quotes_what_pytorch_says() -> None:
    reason = alone(Mismatch(width=256))["reason"]
    assert "32x256" in reason
    assert "128x10" in reason


@pytest.mark.parametrize("how", FINDS)
def test_every_rank_looks_through_as_many_layers(how: str) -> None:
    workloads = [Mismatch(how=how, width=8).prepare(gang(rank, 2)) for rank in range(2)]
    assert [load.work.items for load in workloads] == [8, 8]


def test_the_dry_run_computes_nothing_however_wide_the_layers() -> None:
    wide = 10**6
    net = stack([(wide, wide), (wide, wide), (wide // 2, 10)], "meta")  # 8 TB, if they were there
    found = dryrun.meta(net, torch.empty(32, wide, device="meta"), torch.empty(32, 10))
    assert found is not None
    assert found.layer == "4"


layer_dims = st.lists(st.tuples(st.none() | st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4)


def expected(dims: Sequence[tuple[int | None, int]], features: int, outputs: int) -> str | None:
    """By hand: the first layer that does not take what the one before gives."""
    for number, (fan_in, fan_out) in enumerate(dims):
        if fan_in not in {None, features}:
            return str(2 * number)
        features = fan_out
    return None if features == outputs else "output"


@settings(deadline=None, max_examples=60)
@given(layer_dims, st.integers(1, 4), st.integers(1, 4))
def test_all_ways_find_the_same_mismatch(dims: list[tuple[int | None, int]], features: int, outputs: int) -> None:
    for find in (dryrun.meta, dryrun.declared, dryrun.forward):  # the last changes the network
        net = stack(dims, cpu)
        lazy = [is_lazy(parameter) for parameter in net.parameters()]
        found = find(net, torch.randn(5, features), torch.randn(5, outputs))
        assert (found and found.layer) == expected(dims, features, outputs)
        assert find is dryrun.forward or lazy == [is_lazy(parameter) for parameter in net.parameters()]


def test_a_lazy_layer_that_a_forward_pass_initialised_can_be_trained() -> None:
    net = stack([(None, 4)], cpu)
    assert dryrun.forward(net, torch.randn(5, 3), torch.randn(5, 4)) is None
    net(torch.randn(5, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_state_of_other_sizes_is_refused_after_the_rest_of_it_was_copied() -> None:
    """``strict=False`` forgives names, and no sizes; and what is refused is half loaded."""
    net, other = stack([(3, 4), (4, 5)], cpu), stack([(3, 4), (4, 6)], cpu)
    before = [each.detach().clone() for each in net.parameters()]
    with pytest.raises(RuntimeError, match=r"size mismatch for 2\.weight"):
        net.load_state_dict(other.state_dict(), strict=False)
    changed = [not torch.equal(*pair) for pair in zip(before, net.parameters(), strict=True)]
    assert changed == [True, True, False, False]


def test_a_failed_first_batch_decides_for_good() -> None:
    net, target = stack([(None, 8), (4, 2)], cpu), torch.randn(5, 2)
    assert dryrun.meta(net, torch.randn(5, 20), target) is not None
    assert dryrun.forward(net, torch.randn(5, 20), target).layer == "2"  # type: ignore[union-attr]
    assert dryrun.forward(net, torch.randn(5, 30), target).layer == "0"  # type: ignore[union-attr]


Found = dryrun.Mismatched | None


def not_dry(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """A real forward pass."""
    return dryrun.forward(net, x, target)


def too_early(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Names the first layer, whichever it was."""
    found = dryrun.meta(net, x, target)
    return found and found._replace(layer="0")


def wordless(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Does not say which widths there were."""
    found = dryrun.meta(net, x, target)
    return found and found._replace(reason="shapes differ")


def shy(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Only believes what raises: a loss that broadcasts goes unseen."""
    found = dryrun.meta(net, x, target)
    return found if found and found.layer != "output" else None


def suspicious(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Finds a mismatch everywhere."""
    return dryrun.meta(net, x, target) or dryrun.Mismatched("0", "somewhere")


def rough(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Leaves its traces on the network."""
    with torch.no_grad():
        net[-1].bias.add_(1.0)
    return dryrun.meta(net, x, target)


def blind(net: nn.Sequential, x: Tensor, target: Tensor) -> Found:
    """Finds nothing."""


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (not_dry, "leaves lazy layers"),
        (too_early, "but 0 was found"),
        (wordless, "name both widths"),
        (shy, "went unseen"),
        (suspicious, "where there is none"),
        (rough, "changed the network"),
        (blind, "found nothing"),
    ],
)
def test_a_search_gone_wrong(mistake: Callable[..., Found], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        forward, declared = staticmethod(dryrun.forward), staticmethod(dryrun.declared)
        meta = staticmethod(mistake)

    monkeypatch.setattr(mismatch, "dryrun", Wrong)
    with pytest.raises(AssertionError, match=told):
        alone(Mismatch(width=8, how="meta"))


# 5.3.3: inputs of varying width


@dataclass(frozen=True, kw_only=True)
class Book(Widths):
    """Widths that are not evenly spaced."""

    known: ClassVar = [5, 17, 40]


@pytest.mark.parametrize(("how", "parameters"), [("pad", 6979), ("slice", 6979), ("adapters", 8515)])
def test_tied_networks_have_as_many_parameters_as_the_formula_says(how: str, parameters: int) -> None:
    scenario = Book(widths=3, widest=40, hidden=64, outputs=3, samples=50, how=how)
    columns = {"columns": 35, "moved_by_sgd": 0, "moved_by_adam": 35} if how != "adapters" else {}
    assert alone(scenario) == {"parameters": parameters, "untied": 17225, **columns}


@given(st.integers(1, 40), st.integers(1, 40))
def test_widths_go_up_to_the_widest(number: int, widest: int) -> None:
    known = Widths(widths=number, widest=widest).known
    assert len(known) == min(number, widest)
    assert all(1 <= one < other for one, other in pairwise([*known, widest + 1]))
    assert known[-1] == widest


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("how", TIES)
def test_the_work_is_shared_and_stays_the_same(how: str, size: int) -> None:
    workloads = [Widths(how=how, **SMALL).prepare(Apart.of(rank, size)) for rank in range(size)]
    due = Widths(how="slice", **SMALL).prepare(gang(0, 1)).work
    assert sum(load.work.flops for load in workloads) == due.flops
    assert sum(load.work.items for load in workloads) == due.items == 23
    for load in workloads:
        counted = count(load.step).flops
        assert counted > load.work.flops if how == "pad" else counted == load.work.flops


class Apart(Gang):
    """A rank whose peers cannot be reached: a sum is only its own part."""

    @classmethod
    def of(cls, rank: int, size: int) -> Apart:
        whole = gang(rank, size)
        return cls(rank, size, cpu, whole.generator, whole.shared_generator)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        return tensor


@pytest.mark.parametrize("how", TIES)
def test_parts_add_up_to_the_whole(how: str) -> None:
    parts = [Widths(how=how, **SMALL).prepare(Apart.of(rank, 3)).step()[1] for rank in range(3)]
    _, whole = Widths(how=how, **SMALL).prepare(gang(0, 1)).step()
    torch.testing.assert_close(torch.stack(parts).sum(0), whole)


@pytest.mark.parametrize("how", TIES)
def test_gradients_that_are_not_added_up_are_wrong(how: str) -> None:
    workload = Widths(how=how, **SMALL).prepare(Apart.of(0, 2))
    with pytest.raises(AssertionError, match="gradient of"):
        workload.check(workload.step())


def train(mine: Gang, how: str, samples: int) -> tuple[object, int, list[int]]:
    workload = Widths(**{**SMALL, "samples": samples}, how=how).prepare(mine)
    facts = workload.check(workload.step())
    return facts, count(workload.step).traffic_bytes, [int(workload.work.flops), int(workload.work.items)]


@pytest.mark.parametrize("samples", [23, 3, 1])  # with so few, a rank lacks widths, or has nothing at all
@pytest.mark.parametrize("how", TIES)
def test_two_ranks_train_as_one(two_ranks: Ranks, how: str, samples: int) -> None:
    (facts, traffic, _), (others, its_traffic, _) = two_ranks.do(train, how, samples)
    assert facts == others
    assert traffic == its_traffic == 4 * facts["parameters"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True), st.integers(0, 5))
def test_a_slice_is_the_same_as_padding_with_zeros(known: list[int], number: int) -> None:
    torch.manual_seed(0)
    sliced, padded = Sliced(known, 8, cpu), Padded(known, 8, cpu)
    padded.load_state_dict(sliced.state_dict())
    groups = [torch.randn(number, width) for width in known]
    torch.testing.assert_close(sliced(groups), padded(groups), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [Sliced, Padded])
def test_columns_beyond_an_inputs_width_get_a_gradient_of_exactly_zero(kind: type[Sliced]) -> None:
    encoder = kind([5, 17, 40], 8, cpu)
    encoder([torch.randn(3, 5), torch.randn(3, 17)]).square().sum().backward()
    gradient = encoder.linear.weight.grad
    assert gradient is not None
    assert not gradient[:, 17:].any()
    assert gradient[:, :17].all()


@pytest.mark.parametrize("kind", [Sliced, Padded])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_columns_that_no_input_ever_used_keep_their_bits(kind: type[Sliced], optimizer: type[Any]) -> None:
    encoder = kind([5, 17, 40], 8, cpu)
    adam, before = optimizer(encoder.parameters(), lr=0.1), encoder.linear.weight.detach().clone()
    for _ in range(3):
        adam.zero_grad()
        encoder([torch.randn(3, 5), torch.randn(3, 17)]).square().sum().backward()
        adam.step()
    changed = (encoder.linear.weight != before).any(dim=0)
    assert changed[:17].all() and not changed[17:].any()


@pytest.mark.parametrize(
    ("optimizer", "columns"),
    [
        (lambda these: torch.optim.SGD(these, lr=0.1), 0),
        (lambda these: torch.optim.SGD(these, lr=0.1, momentum=0.9), 35),
        (lambda these: torch.optim.SGD(these, lr=0.1, weight_decay=0.1), 35),
        (lambda these: torch.optim.Adam(these, lr=0.1), 35),
    ],
)
def test_columns_that_wider_inputs_used_once_move_on_where_an_optimizer_remembers(
    optimizer: Callable[[Any], torch.optim.Optimizer], columns: int
) -> None:
    encoder = Sliced([5, 17, 40], 8, cpu)
    assert encoders.moved(encoder, optimizer(encoder.parameters()), torch.Generator().manual_seed(1)) == columns


def test_sgd_that_moves_columns_that_no_input_used_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decaying(torch.optim.SGD):
        def __init__(self, parameters: Any, lr: float) -> None:
            super().__init__(parameters, lr=lr, weight_decay=0.1)

    Decaying.__name__ = "SGD"
    monkeypatch.setattr(torch.optim, "SGD", Decaying)
    with pytest.raises(AssertionError, match="columns that no input used"):
        alone(Widths(how="slice", **SMALL))


@pytest.mark.parametrize("kind", [Sliced, Padded, Adapters])
@pytest.mark.parametrize("width", [4, 41])
def test_an_unknown_width_is_a_clear_error(kind: type[nn.Module], width: int) -> None:
    with pytest.raises(ValueError, match=rf"width {width}, which is none of \[5, 17, 40\]"):
        kind([40, 5, 17], 8, cpu)([torch.randn(3, width)])


class LastColumns(Sliced):
    """Takes the weight's last columns."""

    def forward(self, groups: Groups) -> Tensor:
        weight, bias = self.linear.weight, self.linear.bias
        return torch.cat([linear(encoders.known(x, self.widths), weight[:, -x.shape[1] :], bias) for x in groups])


class Unguarded(Sliced):
    """Pads whatever comes; what is too wide is cut without a word."""

    def forward(self, groups: Groups) -> Tensor:
        return self.linear(torch.cat([pad(x, (0, self.linear.in_features - x.shape[1])) for x in groups]))


class PadsWithOnes(Sliced):
    """Pads with something else than zeros."""

    def forward(self, groups: Groups) -> Tensor:
        widest = self.linear.in_features
        return self.linear(
            torch.cat([pad(encoders.known(x, self.widths), (0, widest - x.shape[1]), value=1.0) for x in groups])
        )


class Forgets(Sliced):
    """The published "change the dimension": a new layer for every batch, and none that learns."""

    def forward(self, groups: Groups) -> Tensor:
        hidden = self.linear.out_features
        made = [nn.Linear(encoders.known(x, self.widths).shape[1], hidden)(x) for x in groups]
        return torch.cat(made) + 0 * self.linear(torch.zeros(1, self.linear.in_features))


class Narrows(Sliced):
    """The published "reduce the dimension": everything is cut down to the narrowest."""

    def forward(self, groups: Groups) -> Tensor:
        least = min(self.widths)
        kept = [encoders.known(x, self.widths)[:, :least] for x in groups]
        return torch.cat([linear(x, self.linear.weight[:, :least], self.linear.bias) for x in kept])


class Untied(Adapters):
    """A part of the trunk for each width."""

    def __init__(self, widths: Sequence[int], hidden: int, device: torch.device) -> None:
        super().__init__(widths, hidden, device)
        self.layers = nn.ModuleDict(
            {str(width): stack([(width, hidden), (hidden, hidden)], device) for width in widths}
        )


class ReducedPrecision(Sliced):
    """Operands with the ten bits of mantissa that TF32 leaves."""

    def forward(self, groups: Groups) -> Tensor:
        return super().forward([(x * 8193) - ((x * 8193) - x) for x in groups])  # Veltkamp: 11 bits are left


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (LastColumns, "outputs: a normwise"),
        (Unguarded, "unknown width"),
        (PadsWithOnes, "outputs: a normwise"),
        (Forgets, "outputs: a normwise"),
        (Narrows, "outputs: a normwise"),
        (ReducedPrecision, "outputs: a normwise"),
    ],
)
def test_an_encoder_gone_wrong(mistake: type[Sliced], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths, "Sliced", mistake)
    with pytest.raises(AssertionError, match=told):
        alone(Widths(how="slice", **SMALL))


def test_a_trunk_that_is_not_shared_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths, "Adapters", Untied)
    with pytest.raises(AssertionError, match="where the formula says"):
        alone(Widths(how="adapters", **SMALL))


class SkipsEmpty(Adapters):
    """Leaves out a width of which there are no inputs: no gradient on this rank, and one on another."""

    def forward(self, groups: Groups) -> Tensor:
        return super().forward([x for x in groups if len(x)])


def test_a_rank_that_lacks_a_width_may_not_lack_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths, "Adapters", SkipsEmpty)
    with pytest.raises(RuntimeError, match="to not have been used"):
        alone(Widths(how="adapters", **{**SMALL, "samples": 1}))


def test_gradients_of_another_loss_are_wrong() -> None:
    workload = Widths(**SMALL).prepare(gang(0, 1))
    outputs, gradient = workload.step()
    workload.check((outputs, gradient))
    for wrong in ((outputs, gradient * 2), (outputs.flip(0), gradient), (outputs, gradient[:-1])):
        with pytest.raises(AssertionError):
            workload.check(wrong)
