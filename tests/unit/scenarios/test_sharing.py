"""Shared parameters: one gradient, less to keep and to reduce; and nothing that is published wrong gets a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from harness.gang import Gang
from harness.scenario import Facts, Workload
from harness.work import contract
from harness.work.counting import count
from scenarios.chapter.sharing import blocks, nested
from scenarios.chapter.sharing.nested import Nested, by_exponent, by_loop
from scenarios.chapter.sharing.replay import replay
from scenarios.chapter.sharing.symmetry import NOISE, TAPS, Symmetry
from scenarios.chapter.sharing.training import Training
from scenarios.chapter.sharing.tying import INPUTS, OUTPUTS, Tying
from tests.ranks import Ranks, gang

SMALL = {"batch": 9, "uses": 3, "width": 12}
UNTIED, TIED = (
    (INPUTS + 1) * 12 + layers * 13 * 12 + 13 * OUTPUTS for layers in (3, 1)
)  # parameters of the small network


class Unlinked(Gang):
    """A rank whose peers cannot be reached: a reduction leaves its own part."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[None]


class Averaging(Gang):
    """A rank that averages where sums are due."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return super().all_reduce(tensor).div_(self.size)


def of_kind(kind: type[Gang], mine: Gang) -> Gang:
    return kind(mine.rank, mine.size, mine.device, mine.generator, mine.shared_generator, mine.folder, mine.groups)


def unlinked(size: int) -> list[Gang]:
    return [of_kind(Unlinked, gang(rank, size)) for rank in range(size)]


def verdict(workload: Workload, steps: int = 1) -> str:
    """What the check says to the last of some steps: nothing where it is content."""
    workload.reset()
    for _ in range(steps):
        out = workload.step()
    try:
        contract.check(workload, out, steps)
    except AssertionError as error:
        return str(error) or "wrong"
    return ""


def checked(workload: Workload) -> Facts:
    """What the check establishes about a single step."""
    workload.reset()
    return contract.check(workload, workload.step(), 1) or {}


# Work


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("make", "variants"),
    [
        (lambda variant: Tying(**SMALL, hidden=variant), ("untied", "tied")),
        (lambda variant: Nested(batch=23, halve=variant), ("loop", "exponent")),
        (lambda variant: Symmetry(samples=23, length=10, filters=variant), ("untied", "tied")),
    ],
)
def test_the_gang_does_the_same_work_in_every_variant_and_at_every_size(
    make: Callable[[str], object], variants: tuple[str, str], size: int
) -> None:
    told = set()
    for variant in variants:
        loads = [make(variant).prepare(mine) for mine in unlinked(size)]
        declared = sum(load.work.flops for load in loads)
        assert sum(count(load.step).flops for load in loads) == declared
        told.add((declared, sum(load.work.items for load in loads)))
    alone = make(variants[0]).prepare(gang(0, 1)).work
    assert told == {(alone.flops, alone.items)}


# Tying


@pytest.mark.parametrize("hidden", ["untied", "tied"])
@pytest.mark.parametrize("steps", [1, 2, 12])
def test_training_ends_where_it_does_in_float64(hidden: str, steps: int) -> None:
    assert verdict(Tying(**SMALL, hidden=hidden).prepare(gang(0, 1)), steps) == ""


def facts(hidden: str) -> dict[str, int]:
    workload = Tying(**SMALL, hidden=hidden).prepare(gang(0, 1))
    return dict(checked(workload))


def test_names_hide_uses_unless_one_asks_for_duplicates() -> None:
    """Why the published output, which prints named_parameters(), shows nothing of the second use."""
    net = Tying(**SMALL, hidden="tied").network(gang(0, 1))
    assert [name for name, _ in net.named_parameters() if name.endswith("weight")] == [
        "0.weight", "2.weight", "8.weight",
    ]  # fmt: skip
    assert len(dict(net.named_parameters(remove_duplicate=False))) == len(net.state_dict()) == 10


def test_of_two_values_for_a_shared_layer_the_last_is_kept_without_a_word() -> None:
    net = Tying(**SMALL, hidden="tied").network(gang(0, 1))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    state["6.weight"] += 1
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    assert torch.equal(net[2].weight, state["6.weight"])


@pytest.mark.parametrize("hidden", ["untied", "tied"])
def test_a_weight_and_its_gradient_are_shown_over_a_step(hidden: str) -> None:
    found = facts(hidden)
    of_uses = found["gradient_first_use"], found["gradient_last_use"]
    rate = 0.1 / 12
    assert found["weight_after"] == pytest.approx(
        found["weight_before"] - rate * found["weight_gradient"], rel=1e-5, abs=1e-8
    )
    assert found["weight_after"] != found["weight_before"]
    assert of_uses[0] != of_uses[1]  # what is shared is their sum, and they are not equal
    assert (found["weight_gradient"] == pytest.approx(of_uses[0], rel=1e-3)) == (hidden == "untied")


def test_of_two_uses_the_gradient_that_is_shown_is_the_sum() -> None:
    workload = Tying(batch=9, uses=2, width=12, hidden="tied").prepare(gang(0, 1))
    found = dict(checked(workload))
    total = found["gradient_first_use"] + found["gradient_last_use"]
    assert found["weight_gradient"] == pytest.approx(total, rel=1e-3)


def test_what_tying_saves_and_what_not() -> None:
    untied, tied = facts("untied"), facts("tied")
    assert (untied["parameters"], tied["parameters"]) == (UNTIED, TIED)
    assert (untied["state_bytes"], tied["state_bytes"]) == (12 * UNTIED, 12 * TIED)  # values, gradients, momentum
    assert (untied["names"], untied["tensors"]) == (10, 10)
    assert (tied["names"], tied["tensors"]) == (10, 6)
    assert untied["activation_bytes"] == tied["activation_bytes"] == 4 * 9 * 12 * 4  # a tanh for each of four layers


def test_the_facts_do_not_depend_on_how_long_was_trained() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    first = dict(checked(workload))
    assert dict(checked(workload)) == first


def test_a_reset_puts_everything_back() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    ends = []
    for _ in range(2):
        workload.reset()
        workload.step()
        ends.append([use.detach().clone() for use in workload.step()])
    assert all(map(torch.equal, *ends))


def test_training_lowers_the_loss() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    training = workload.step.__self__

    def loss() -> float:
        return F.mse_loss(training.net(training.x), training.y).item()

    before = loss()
    for _ in range(100):
        workload.step()
    assert loss() < before / 2


def test_both_variants_begin_alike_and_untied_layers_part() -> None:
    tied, untied = (Tying(**SMALL, hidden=hidden).prepare(gang(0, 1)) for hidden in ("tied", "untied"))
    starts = [load.step.__self__.start for load in (tied, untied)]
    assert all(map(torch.equal, *starts))
    one, other = untied.step()[2:6:2]
    assert not torch.equal(one, other)
    one, other = tied.step()[2:6:2]
    assert one is other


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32))
def test_the_oracle_sums_what_autograd_sums(uses: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    shared = nn.Linear(width, width, dtype=torch.float64)
    layers = [layer for _ in range(uses) for layer in (shared, nn.Tanh())]
    last = nn.Linear(width, 2, dtype=torch.float64)
    net = nn.Sequential(*layers, last)
    x, y = torch.randn(5, width, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    start = [tensor.detach().clone() for tensor in [*shared.parameters()] * uses + [*last.parameters()]]
    ends, _ = replay(start, (x, y), 3, rate=0.01, tied=range(uses))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (net(x) - y).square().sum(1).mean().backward()
        optimizer.step()
    for end, exact in zip(ends, [*shared.parameters()] * uses + [*last.parameters()], strict=True):
        torch.testing.assert_close(end, exact.detach(), rtol=1e-12, atol=1e-12)


def train(mine: Gang, hidden: str) -> tuple[str, int]:
    workload = Tying(**SMALL, hidden=hidden).prepare(mine)
    said = verdict(workload, steps=3)
    return said, count(workload.step).traffic_bytes


@pytest.mark.parametrize(("hidden", "parameters"), [("untied", UNTIED), ("tied", TIED)])
def test_two_ranks_reduce_every_parameter_once_to_the_gradient_of_the_whole_batch(
    two_ranks: Ranks, hidden: str, parameters: int
) -> None:
    assert two_ranks.do(train, hidden) == [("", 4 * parameters)] * 2  # nine rows: five and four


def train_averaging(mine: Gang) -> str:
    return verdict(Tying(**SMALL).prepare(of_kind(Averaging, mine)))


def test_gradients_that_are_averaged_are_wrong(two_ranks: Ranks) -> None:
    assert all("gradients: a normwise" in said for said in two_ranks.do(train_averaging))


def test_gradients_that_are_not_reduced_are_wrong() -> None:
    assert "gradients: a normwise" in verdict(Tying(**SMALL).prepare(unlinked(2)[0]))


class Unreduced(Training):
    """Reads the gradients before they are reduced."""

    def step(self) -> list[nn.Parameter]:
        all_reduce, self.gang = self.gang.all_reduce, of_kind(Unlinked, self.gang)
        uses = super().step()
        all_reduce(self.gradients)
        return uses


class Stale(Training):
    """Shows the gradients from before a step beside the parameters from after it, as printed in the published loop."""

    def step(self) -> list[nn.Parameter]:
        self.before = [velocity.clone() for velocity in super().velocities] if self.optimizer.state else self.start
        return super().step()

    @property
    def velocities(self) -> list[torch.Tensor]:
        return self.before


class Beforehand(Training):
    """Returns the parameters from before the step."""

    def step(self) -> list[nn.Parameter]:
        before = [nn.Parameter(use.detach().clone()) for use in self.uses]
        super().step()
        return before


def train_as(mine: Gang, kind: type[Training]) -> str:
    workload = Tying(**SMALL, hidden="untied").prepare(mine)
    training = workload.step.__self__
    training.__class__ = kind
    return verdict(replace(workload, step=training.step), steps=3)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(Unreduced, "gradients: a normwise"), (Stale, "gradients: a normwise"), (Beforehand, "not all uses were trained")],
)
def test_gradients_and_parameters_of_another_moment_are_wrong(
    two_ranks: Ranks, kind: type[Training], said: str
) -> None:
    assert two_ranks.do(train_as, Training) == ["", ""]
    assert all(said in told for told in two_ranks.do(train_as, kind))


class Planted(Tying):
    """Tied as far as it says; ``spoil`` makes of its network what is published."""

    @staticmethod
    def spoil(net: nn.Sequential) -> nn.Sequential:
        raise NotImplementedError

    def network(self, mine: Gang) -> nn.Sequential:
        return self.spoil(super().network(mine))


def planted(spoil: Callable[[nn.Sequential], nn.Sequential]) -> Workload:
    cls = type("Spoilt", (Planted,), {"spoil": staticmethod(spoil)})
    return cls(**SMALL, hidden="tied").prepare(gang(0, 1))


def copied(net: nn.Sequential) -> nn.Sequential:
    """A layer each, which begin alike."""
    return Tying(**SMALL, hidden="untied").network(gang(0, 1))


def loaded(net: nn.Sequential) -> nn.Sequential:
    """A tie of parameters, not of modules: to load by assignment gives every use a parameter of its own."""
    for place in (4, 6):
        net[place] = nn.Linear(12, 12)
        net[place].weight, net[place].bias = net[2].weight, net[2].bias
    net.load_state_dict(net.state_dict(), assign=True)
    assert len(list(net.parameters())) == 10
    assert net[2].weight.data_ptr() == net[4].weight.data_ptr()  # so they look alike
    return net


def moved(net: nn.Sequential) -> nn.Sequential:
    """A tie of parameters again: what goes by way of the meta device comes back untied."""
    for place in (4, 6):
        net[place] = nn.Linear(12, 12)
        net[place].weight, net[place].bias = net[2].weight, net[2].bias
    values = [parameter.detach().clone() for _, parameter in net.named_parameters(remove_duplicate=False)]
    net.to("meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), values, strict=True):
            parameter.copy_(value)
    return net


def halved(net: nn.Sequential) -> nn.Sequential:
    """Only the last use of the shared layer passes a gradient to it."""

    class Detached(nn.Module):
        def __init__(self, layer: nn.Linear) -> None:
            super().__init__()
            self.weight, self.bias = layer.weight, layer.bias

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, self.weight.detach(), self.bias.detach())

    return nn.Sequential(*(Detached(layer) if place in (2, 4) else layer for place, layer in enumerate(net)))


def dead(net: nn.Sequential) -> nn.Sequential:
    """Saturated units: the shared layer's gradient is zero throughout."""
    nn.init.constant_(net[0].bias, 1e9)
    nn.init.constant_(net[2].bias, 1e9)
    return net


def rough(net: nn.Sequential) -> nn.Sequential:
    """Products of half the precision."""

    class Rough(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16()).float()

    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.__class__ = Rough
    return net


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (copied, f"{UNTIED} parameters, where {TIED} are due"),
        (moved, f"{UNTIED} parameters, where {TIED} are due"),
        (loaded, "gradients: a normwise"),
        (halved, "gradients: a normwise"),
        (dead, "gradients are zero"),
        (rough, "gradients: a normwise"),
    ],
)
def test_what_is_published_wrong_is_wrong(spoil: Callable[[nn.Sequential], nn.Sequential], said: str) -> None:
    assert said in verdict(planted(spoil))


def test_a_tie_that_is_lost_at_the_end_is_seen() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    uses = workload.step()
    apart = [nn.Parameter(use.detach().clone()) for use in uses]  # equal values, but each on its own
    with pytest.raises(AssertionError, match=f"{UNTIED} parameters, where {TIED} are due"):
        contract.check(workload, apart, 1)


def test_a_parameter_that_steps_twice_is_wrong() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    training = workload.step.__self__
    with warnings.catch_warnings(record=True) as told:  # all that a parameter given twice gets is a warning
        warnings.simplefilter("always")
        training.optimizer = torch.optim.SGD(training.uses, lr=0.1 / 12, momentum=0.9)
    assert "duplicate parameters" in str(told[0].message)
    assert "normwise" in verdict(workload)


@pytest.mark.parametrize("momentum", [1e-9, 0.8, 0.99])
def test_another_momentum_is_wrong_even_where_a_sample_is_one_step(momentum: float) -> None:
    workload = Tying(**SMALL).prepare(gang(0, 1))
    workload.step.__self__.optimizer.param_groups[0]["momentum"] = momentum
    assert "gradients: a normwise" in verdict(workload)


def test_a_step_of_another_length_is_wrong() -> None:
    workload = Tying(**SMALL, hidden="tied").prepare(gang(0, 1))
    workload.step.__self__.optimizer.param_groups[0]["lr"] *= 1.05
    assert "normwise" in verdict(workload)


# Nested


@pytest.mark.parametrize("halve", ["loop", "exponent"])
def test_every_parameter_of_the_nested_model_is_found(halve: str) -> None:
    workload = Nested(batch=64, halve=halve).prepare(gang(0, 1))
    found = checked(workload)
    assert (found["parameters"], found["tensors"]) == (4712, 10)
    assert found["halvings"] > 3
    assert count(workload.step).host_reads == (found["halvings"] + 1 if halve == "loop" else 0)
    assert (found["restored"], found["restored_without"]) == (64, 0)  # a twin's samples, by a buffer and without one


def test_both_ways_of_halving_give_the_same_bits() -> None:
    one, other = (Nested(batch=64, halve=halve).prepare(gang(0, 1)).step() for halve in ("loop", "exponent"))
    assert torch.equal(one, other)


@given(st.integers(0, 2**32), st.floats(1e-3, 1e15))
def test_halving_by_the_exponent_is_the_loop(seed: int, scale: float) -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)) * scale
    halved = by_exponent(x.clone(), gang(0, 1))
    assert torch.equal(halved, by_loop(x.clone(), gang(0, 1)))
    left = halved.double().abs().sum().item()
    assert left <= 1 + 1e-6 and (left > 0.5 - 1e-6 or torch.equal(halved, x))


@given(st.integers(-20, 100))
def test_powers_of_two_are_halved_to_one(power: int) -> None:
    x = torch.tensor([2.0**power])
    assert by_exponent(x.clone(), gang(0, 1)).item() == by_loop(x.clone(), gang(0, 1)).item() == min(2.0**power, 1)


class Patient(Gang):
    """Loses patience after a thousand reductions."""

    reductions = 0

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        Patient.reductions += 1
        if Patient.reductions > 1000:
            raise TimeoutError
        return tensor


def test_an_infinite_activation_keeps_the_loop_for_ever_and_the_exponent_not() -> None:
    x = torch.tensor([math.inf, 1.0])
    by_exponent(x.clone(), gang(0, 1))
    with pytest.raises(TimeoutError):
        by_loop(x.clone(), of_kind(Patient, gang(0, 1)))


def nest(mine: Gang, halve: str) -> tuple[str, int, int]:
    workload = Nested(batch=33, halve=halve).prepare(mine)
    halvings = checked(workload)["halvings"]
    return verdict(workload), count(workload.step).traffic_bytes, halvings


def test_two_ranks_halve_alike_with_a_message_for_each_time_or_one(two_ranks: Ranks) -> None:
    loop, again = two_ranks.do(nest, "loop")
    assert loop == again == ("", 4 * (loop[2] + 1), loop[2])
    assert two_ranks.do(nest, "exponent") == [("", 4, loop[2])] * 2


@pytest.mark.parametrize("halve", ["loop", "exponent"])
def test_halving_by_the_own_rows_alone_is_wrong(halve: str) -> None:
    assert "add up to" in verdict(Nested(batch=64, halve=halve).prepare(unlinked(3)[0]))


@pytest.mark.parametrize(
    ("times", "said"),
    [(math.nan, "normwise"), (0.0, "normwise"), (2.0, "still add up"), (0.5, "halved"), (0.75, "normwise")],
)
def test_halving_once_too_little_or_too_often_is_wrong(times: float, said: str) -> None:
    workload = Nested(batch=64).prepare(gang(0, 1))
    with pytest.raises(AssertionError, match=said):
        workload.check(workload.step() * times)


def model() -> nn.Sequential:
    return blocks.chimera(lambda x: x)


def test_every_parameter_has_a_gradient_once_there_was_a_backward_pass() -> None:
    nest = model()
    nest[2].rand_weight.normal_()
    found = blocks.access(nest)
    assert all(parameter.grad is None for parameter in found.values())
    nest(torch.randn(50, 20)).sum().backward()
    for name, parameter in blocks.access(nest).items():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any(), name


def test_a_value_that_is_set_in_one_way_is_seen_in_every_other() -> None:
    nest = model()
    with torch.no_grad():
        nest[0].net[2].weight.fill_(7)
    for seen in (nest.get_parameter("0.net.2.weight"), nest.state_dict()["0.net.2.weight"]):
        assert (seen == 7).all()


def test_a_plain_attribute_is_lost_when_a_twin_loads_the_state() -> None:
    one, twin = model(), model()
    for each in (one, twin):
        constant = torch.randn(20, 20)
        del each[2].rand_weight
        each[2].rand_weight = constant
    assert str(twin.load_state_dict(one.state_dict())) == "<All keys matched successfully>"
    x = torch.randn(4, 20)
    assert not torch.allclose(twin(x), one(x))
    with pytest.raises(RuntimeError, match="dtype"):
        one.double()(x.double())
    with pytest.raises(AssertionError, match="the state has"):
        blocks.access(twin)


def test_a_traced_loop_halves_as_often_as_it_did_once() -> None:
    small, large = torch.full((4,), 1.0), torch.full((4,), 1e6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of the loop, and of itself
        traced = torch.jit.trace(lambda x: by_loop(x.clone(), gang(0, 1)), small)
        assert torch.equal(traced(small), by_loop(small.clone(), gang(0, 1)))
        assert traced(large).sum() > 1e5


def test_access_finds_constants_that_are_a_plain_attribute() -> None:
    stray = model()
    constant = stray[2].rand_weight
    del stray[2].rand_weight
    stray[2].rand_weight = constant
    with pytest.raises(AssertionError, match="the state has"):
        blocks.access(stray)
    extra = model()
    extra[0].scale = torch.ones(3)
    with pytest.raises(AssertionError, match=r"neither saved nor moved: \['0.scale'\]"):
        blocks.access(extra)


@pytest.mark.parametrize("hide", [lambda x: [x], lambda x: (1, {"scale": x}), lambda _: [nn.Linear(2, 2)]])
def test_access_finds_what_is_hidden_in_a_list_attribute(hide: Callable[[torch.Tensor], object]) -> None:
    hidden = model()
    hidden[0].kept = hide(torch.ones(3))
    with pytest.raises(AssertionError, match=r"neither saved nor moved: \['0.kept'\]"):
        blocks.access(hidden)


class Pocket:
    """An object that no search looks into."""

    def __init__(self) -> None:
        self.constant = torch.randn(20)


class Hiding(blocks.FixedHiddenMLP):
    """Adds a constant that is neither parameter nor buffer, where nobody finds it."""

    def __init__(self, halve: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(halve)
        self.pocket = Pocket()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.pocket.constant


def test_what_no_search_finds_is_seen_by_a_twins_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "FixedHiddenMLP", Hiding)
    one, twin = model(), model()
    with torch.no_grad():
        for each in (one, twin):
            each[2].rand_weight.normal_()
    assert blocks.access(one)
    assert blocks.restored(one, twin, torch.randn(4, 20)) == 0


def test_access_finds_layers_that_are_held_in_a_list() -> None:
    hidden = model()
    hidden[0].layers = [hidden[0].linear]
    del hidden[0].linear
    with pytest.raises(AssertionError):
        blocks.access(hidden)


def test_activations_in_half_the_precision_are_wrong() -> None:
    workload = Nested(batch=64).prepare(gang(0, 1))
    with pytest.raises(AssertionError, match="normwise"):
        workload.check(workload.step().bfloat16().float())


def test_the_halving_of_a_variant_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nested.HALVE, "exponent", lambda x, gang: x)
    assert verdict(Nested(batch=64, halve="loop").prepare(gang(0, 1))) == ""
    assert "still add up" in verdict(Nested(batch=64, halve="exponent").prepare(gang(0, 1)))


# Symmetry


def test_sharing_helps_where_the_task_is_symmetric_and_harms_where_not() -> None:
    """In every one of several draws, and not only in one or on average."""
    found = {}
    for filters in ("untied", "tied"):
        workload = Symmetry(samples=32, length=256, filters=filters).prepare(gang(0, 1))
        found[filters] = checked(workload)
    tied, untied = found["tied"], found["untied"]
    assert (tied["parameters"], untied["parameters"]) == (TAPS, 256 * TAPS)
    assert tied["draws"] == untied["draws"] >= 5
    assert tied["error_alike_most"] < untied["error_alike_least"] / 20
    assert tied["error_apart_least"] > untied["error_apart_most"] * 3
    for each in (tied, untied):
        for kind in ("alike", "apart"):
            assert each[f"error_{kind}_least"] < each[f"error_{kind}"] < each[f"error_{kind}_most"]
    due = NOISE**2 * TAPS / (32 - TAPS - 1)  # of least squares with white inputs
    assert untied["error_alike"] == pytest.approx(due, rel=0.2)
    assert untied["error_apart"] == pytest.approx(due, rel=0.2)
    assert tied["error_apart"] == pytest.approx(1, rel=0.05)  # the mean of all filters is next to none


def fit(mine: Gang, filters: str) -> tuple[str, int]:
    workload = Symmetry(samples=33, length=10, filters=filters).prepare(mine)
    return verdict(workload), count(workload.step).traffic_bytes


@pytest.mark.parametrize(("filters", "fitted"), [("untied", 10), ("tied", 1)])
def test_two_ranks_fit_to_the_samples_of_both(two_ranks: Ranks, filters: str, fitted: int) -> None:
    assert two_ranks.do(fit, filters) == [("", fitted * (TAPS + 2) ** 2 * 4)] * 2


@pytest.mark.parametrize("filters", ["untied", "tied"])
def test_filters_of_the_own_samples_alone_are_wrong(filters: str) -> None:
    assert "normwise" in verdict(Symmetry(length=10, filters=filters).prepare(unlinked(2)[0]))


def test_filters_of_another_variant_or_of_less_precision_are_wrong() -> None:
    tied, untied = (Symmetry(length=10, filters=filters).prepare(gang(0, 1)) for filters in ("tied", "untied"))
    for workload, wrong in ((tied, untied.step()), (untied, tied.step()), (untied, untied.step().bfloat16().float())):
        with pytest.raises(AssertionError, match="filters"):
            workload.check(wrong)
