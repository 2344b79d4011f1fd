"""The work ledger: a step that does less than it declares is refused, and unequal variants are not compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from harness.gang import Gang
from harness.journal.measurement_warnings import Kind
from harness.journal.plan import Case, Comparison, Scaling
from harness.journal.records import RankFacts, Traffic
from harness.measure.process_settings import Settings
from harness.work.counting import audit, count, sent_bytes
from tests.ranks import Ranks


def case(variant: str, world_size: int = 1) -> Case:
    return Case(scenario="s", reference="m:S", params={"variant": variant}, variant=variant, world_size=world_size)


def facts(flops: float, counted: float, items: float = 1) -> RankFacts:
    return RankFacts(
        flops=flops, bytes=0, items=items, counted_flops=counted, host_reads=0, first_s=0, cpu_s=1, wall_s=1
    )


def comparison(scaling: Scaling = "strong") -> Comparison:
    return Comparison(
        scenario="s", title="", scaling=scaling, variant_field="variant", baseline="a", params={}, cases=()
    )


def test_products_and_host_reads_are_counted() -> None:
    x = torch.ones(8, 8)

    def step() -> None:
        y = x @ x
        for value in y[0]:
            value.item()
        float(y[0, 0])
        y.tolist()
        y.to("cpu")
        y.sum()

    assert count(step).flops == 2 * 8**3
    assert count(step).host_reads == 8 + 3


def sending(wire: float, **messages: int) -> RankFacts:
    """Facts of a rank of two that declares ``wire``; messages are bytes by kind, of 3 ranks as all_reduce_of_3."""
    carried = tuple(
        Traffic(
            kind=kind.partition("_of_")[0],
            group_size=int(kind.partition("_of_")[2] or 2),
            count=1,
            bytes_in=size,
            bytes_out=size,
            bytes=size,
        )
        for kind, size in messages.items()
    )
    return facts(0, 0).model_copy(update={"wire": wire, "messages": carried})


def test_bytes_sent_are_those_of_nccl_tests_factors() -> None:
    assert sent_bytes(sending(0, all_reduce_of_4=100)) == 150
    assert sent_bytes(sending(0, all_gather_of_4=100, reduce_scatter_of_4=100, all_to_all_of_4=100)) == 225
    assert sent_bytes(sending(0, broadcast_of_4=100, send_of_4=100)) == 200
    assert sent_bytes(sending(0, all_reduce_of_1=100)) == 0


def test_messages_that_send_less_than_the_declared_wire_are_refused_and_more_are_not() -> None:
    cases = {name: case(name, 2) for name in "abcd"}
    told = {
        cases["a"]: [sending(100, all_reduce=100)] * 2,
        cases["b"]: [sending(100, all_reduce=91)] * 2,
        cases["c"]: [sending(100, all_reduce=89)] * 2,
        cases["d"]: [sending(100, all_reduce=400)] * 2,
    }
    refused, warned = audit(comparison("none"), told)
    assert set(refused) == {cases["c"]}
    assert "send 178 bytes, 0.89 times the 200 of Work.wire" in refused[cases["c"]]
    assert not warned


def test_the_declared_wire_is_of_all_ranks_together() -> None:
    root, other = sending(100, broadcast=100), sending(0)
    assert audit(comparison("none"), {case("a", 2): [root, other]}) == ({}, {})
    assert audit(comparison("none"), {case("a", 2): [sending(100), other]})[0]


def test_bytes_that_cannot_be_counted_are_not_held_against_the_declared_wire() -> None:
    unseen = sending(100).model_copy(update={"uncounted": ("another library",)})
    assert not audit(comparison("none"), {case("a", 2): [unseen]})[0]


def test_a_variant_that_skips_work_is_refused() -> None:
    told = {case("a"): [facts(100, 99)], case("b"): [facts(100, 49)], case("c"): [facts(100, 0)]}
    refused, doubted = audit(comparison(), told)
    assert set(refused) == {case("b"), case("c")}
    assert "does 49 FLOP" in refused[case("b")]
    assert not doubted


def test_declaring_more_than_is_done_is_refused_in_the_baseline_too() -> None:
    refused, _ = audit(comparison(), {case("a"): [facts(1000, 100)]})
    assert set(refused) == {case("a")}


def test_honest_variants_pass() -> None:
    told = {case("a"): [facts(102, 100)], case("b"): [facts(102, 100)], case("a", 2): [facts(51, 50)] * 2}
    assert audit(comparison(), told) == ({}, {})


def test_work_that_cannot_be_counted_is_taken_as_declared_and_doubted() -> None:
    refused, doubted = audit(comparison(), {case("a"): [facts(100, 0)], case("b"): [facts(100, 0)]})
    assert not refused
    assert [warning.kind for warnings in doubted.values() for warning in warnings] == [Kind.UNCOUNTED_WORK] * 2


def test_variants_with_other_declared_work_are_doubted() -> None:
    _, doubted = audit(comparison(), {case("a"): [facts(100, 100)], case("b"): [facts(50, 50)]})
    assert [warning.kind for warning in doubted[case("b")]] == [Kind.WORK_DIFFERS]


def test_without_flops_the_items_are_the_work() -> None:
    told = {case("a"): [facts(0, 0, 4)], case("a", 2): [facts(0, 0, 2)] * 2}
    assert audit(comparison("strong"), told) == ({}, {})
    assert audit(comparison("weak"), told)[0]


def test_a_broken_scaling_claim_is_refused() -> None:
    alone, both = {case("a"): [facts(100, 100)]}, {case("a", 2): [facts(100, 100)] * 2}
    assert set(audit(comparison("strong"), alone | both)[0]) == {case("a", 2)}
    assert not audit(comparison("none"), alone | both)[0]
    assert not audit(comparison("weak"), alone | both)[0]
    told = {case("a"): [facts(100, 100)], case("a", 2): [facts(50, 50)] * 2}
    assert "claims weak scaling" in audit(comparison("weak"), told)[0][case("a", 2)]


@pytest.mark.parametrize(
    ("make", "constants"),
    [
        (lambda x: x @ x, 0),
        (lambda x: torch.zeros(8, 8) @ x, 1),
        (lambda x: torch.ones(8, 8) @ torch.full((8, 8), 3.0), 2),
        (lambda x: torch.zeros(1).expand(8, 8) @ x, 1),
        (lambda x: torch.ones(8, 8).T @ x.T, 1),
        (lambda x: torch.bmm(torch.zeros(2, 8, 8), torch.stack([x, x])), 1),
        (lambda x: torch.eye(8) @ x, 0),
        (lambda x: torch.cat([torch.zeros(4, 8), x[:4]]) @ x, 0),  # a padded batch is not constant
        (lambda x: torch.addmm(torch.zeros(8), x, x), 0),  # a bias that starts at zero is usual
        (lambda x: x[:, :1] @ torch.ones(1, 1), 0),
        (lambda x: torch.ones(8, 8) * x, 0),  # not a product that is counted
        (lambda x: torch.conv2d(torch.zeros(1, 1, 8, 8), x[None, None, :3, :3]), 1),
    ],
)
def test_operands_whose_elements_are_all_alike_are_counted(
    make: Callable[[torch.Tensor], torch.Tensor], constants: int
) -> None:
    x = torch.randn(8, 8)
    told = count(lambda: make(x))
    assert told.constant_operands == constants
    assert told.host_reads == 0  # looking at operands is not what the step reads


def test_constant_operands_in_a_backward_pass_are_seen_too() -> None:
    x, w = torch.randn(8, 8), torch.randn(8, 8, requires_grad=True)
    assert count(lambda: (x @ w).sum().backward()).constant_operands == 1  # the gradient of a sum: all ones


def test_constant_operands_are_doubted_and_not_refused_packed_copies_and_probes_too() -> None:
    one = facts(100, 100).model_copy(update={"constant_operands": 1})
    packed = case("a", 2).model_copy(update={"packed": True})
    probe = case("a", 2).model_copy(update={"probe": True, "scenario": "gemm"})
    told = {case("a"): [one], case("a", 2): [facts(50, 50)] * 2, packed: [one] * 2, probe: [one]}
    refused, doubted = audit(comparison(), told)
    assert not refused
    assert {key: [warning.kind for warning in warnings] for key, warnings in doubted.items()} == {
        key: [Kind.CONSTANT_OPERANDS] for key in (case("a"), packed, probe)
    }
    assert "multiplies 2 matrices of equal elements" in doubted[packed][0].fact


def test_a_case_may_be_doubted_for_two_reasons_at_once() -> None:
    other = facts(50, 50).model_copy(update={"constant_operands": 3})
    _, doubted = audit(comparison(), {case("a"): [facts(100, 100)], case("b"): [other]})
    assert {warning.kind for warning in doubted[case("b")]} == {Kind.CONSTANT_OPERANDS, Kind.WORK_DIFFERS}


def test_every_doubt_has_a_remedy() -> None:
    assert all(kind.remedy for kind in Kind)


def test_packed_copies_of_a_variant_that_does_less_are_refused_with_it() -> None:
    comparison, facts = planted()
    refused, _ = audit(comparison, facts)
    assert {case.key for case in refused} == {"lies[how=less]@1", "lies[how=less]@1x2"}


def planted() -> tuple[Comparison, dict[Case, list[RankFacts]]]:
    """An honest variant, and one that does a tenth of what it declares, alone and as two copies."""

    def case(how: str, size: int, *, packed: bool) -> Case:
        return Case(
            scenario="lies", reference="x:Lies", params={"how": how}, variant=how, world_size=size, packed=packed
        )

    def fact(counted: float) -> RankFacts:
        return RankFacts(flops=100, bytes=0, items=1, counted_flops=counted, host_reads=0, first_s=0, cpu_s=0, wall_s=0)

    facts = {
        case(how, size, packed=packed): [fact(counted)] * size
        for how, counted in (("honest", 100), ("less", 10))
        for size, packed in ((1, False), (2, True))
    }
    comparison = Comparison(
        scenario="lies",
        title="",
        scaling="strong",
        params={},
        variant_field="how",
        baseline="honest",
        cases=tuple(facts),
    )
    return comparison, facts


@pytest.mark.parametrize(("counted", "refused", "doubted"), [(100, 0, 0), (50, 1, 0), (0, 0, 1)])
def test_without_a_baseline_that_counts_half_is_refused_and_none_is_doubted(
    counted: float, refused: int, doubted: int
) -> None:
    comparison, facts = planted()
    case = comparison.cases[0]
    told = facts[case][0].model_copy(update={"counted_flops": counted})
    refusals, warnings = audit(comparison, {case: [told]})
    assert len(refusals) == refused
    assert [warning.kind for each in warnings.values() for warning in each] == [Kind.UNCOUNTED_WORK] * doubted


def test_the_streams_that_a_step_launches_on_are_seen_but_for_its_own() -> None:
    current = ["main"]

    def step() -> None:
        torch.ones(2) + 1
        current[0] = "side"
        torch.ones(2) * 2
        current[0] = "main"
        torch.ones(2) * 2

    assert count(step, lambda: current[0]).streams == {"side"}
    assert count(step).streams == frozenset()


def test_products_are_counted_where_old_and_new_flags_of_precision_contradict_each_other() -> None:
    with Settings().in_force():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
            torch.get_float32_matmul_precision()
        assert count(lambda: X @ X).products == {"float32"}  # on a CPU


@pytest.mark.parametrize("shared", [True, False])
def test_a_compiled_step_stays_compiled_and_code_that_comes_later_is_compiled_too(shared: bool) -> None:
    """Also where two modules share their code, as all of nn.Sequential do."""
    runs: list[str] = []

    def compiled(name: str) -> Callable[..., object]:
        def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
            return lambda *args: (runs.append(name), graph.forward(*args))[1]

        def function(x: torch.Tensor) -> torch.Tensor:
            return (x @ x).relu()

        net = nn.Sequential(nn.Linear(8, 8), nn.ReLU()) if shared else function
        return torch.compile(net, backend=backend, fullgraph=True)

    x = torch.randn(8, 8)
    first, later = compiled("first"), compiled("later")
    first(x)
    assert count(lambda: first(x)).flops == 2 * 8**3
    runs.clear()
    for _ in range(3):
        first(x)
        later(x)
    assert runs == ["first", "later"] * 3


@torch.library.custom_op("rankbench_test::gemm", mutates_args=())
def gemm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


LINEAR, LSTM, MKLDNN = nn.Linear(8, 8), nn.LSTM(8, 8), torch._C._nn.mkldnn_linear
X = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
HEADS = [torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
PIECES = [X[:3], X[3:]]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they are in beta
    SPARSE = [X.to_sparse_csr(), X.to_sparse_csc(), X.to_sparse(), X.to_sparse_bsr((2, 2))]


def attention() -> torch.Tensor:
    return nn.functional.scaled_dot_product_attention(*HEADS)


def attention_and_its_gradients() -> None:
    heads = [each.clone().requires_grad_() for each in HEADS]
    nn.functional.scaled_dot_product_attention(*heads).sum().backward()


def convolution_and_its_gradients() -> None:
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    nn.functional.conv2d(torch.randn(2, 3, 8, 8, requires_grad=True), weight, padding=1).sum().backward()


def grouped(left: tuple[int, ...], right: tuple[int, ...], ends: list[int] | None = None) -> torch.Tensor:
    a, b = (torch.randn(shape, dtype=torch.bfloat16) for shape in (left, right))
    return nn.functional.grouped_mm(a, b, offs=None if ends is None else torch.tensor(ends, dtype=torch.int32))


def inference() -> torch.Tensor:
    with torch.inference_mode():
        return LINEAR(X)


@pytest.mark.parametrize(
    ("step", "flops", "uncounted"),
    [
        pytest.param(attention, 4 * 2 * 4 * 8 * 8 * 16, set(), id="attention"),
        # forward two products; backward the scores anew, and two for each of them
        pytest.param(attention_and_its_gradients, (2 + 5) * 2 * 2 * 4 * 8 * 8 * 16, set(), id="attention's gradients"),
        pytest.param(convolution_and_its_gradients, 3 * 2 * 2 * 8 * 8 * 4 * 3 * 9, set(), id="convolution"),
        pytest.param(lambda: grouped((24, 16), (2, 16, 8), [8, 24]), 2 * 24 * 16 * 8, set(), id="grouped rows"),
        pytest.param(lambda: grouped((2, 8, 16), (16, 24), [8, 24]), 2 * 8 * 16 * 24, set(), id="grouped columns"),
        pytest.param(lambda: grouped((8, 24), (24, 16), [8, 24]), 2 * 8 * 24 * 16, set(), id="grouped sums"),
        pytest.param(lambda: grouped((2, 8, 16), (2, 16, 24)), 2 * 2 * 8 * 16 * 24, set(), id="batch of products"),
        pytest.param(inference, 2 * 8**3, set(), id="inference"),
        pytest.param(
            lambda: LINEAR(torch.nested.nested_tensor(PIECES, layout=torch.jagged)), 2 * 8**3, set(), id="jagged"
        ),
        pytest.param(lambda: LINEAR(torch.nested.nested_tensor(PIECES)), 0, {"aten.linear"}, id="nested"),
        pytest.param(lambda: SPARSE[0] @ X, 0, {"aten.mm"}, id="csr"),
        pytest.param(lambda: SPARSE[1] @ X, 0, {"aten.mm"}, id="csc"),
        pytest.param(lambda: SPARSE[2] @ X, 0, {"aten.mm"}, id="coo"),
        pytest.param(lambda: SPARSE[3] @ X, 0, {"aten.mm"}, id="bsr"),
        pytest.param(
            lambda: MKLDNN(X.to_mkldnn(), X.to_mkldnn()), 0, {"aten.mkldnn_linear", "aten.to_mkldnn"}, id="mkldnn"
        ),
        pytest.param(lambda: gemm(X, X), 0, {"rankbench_test.gemm"}, id="custom operator"),
        pytest.param(lambda: X.numpy() @ X.numpy(), 0, {"another library"}, id="numpy"),
        pytest.param(lambda: LSTM(X[None]), 0, {"aten.mkldnn_rnn_layer"}, id="lstm"),
        pytest.param(lambda: X @ X[0], 0, {"aten.mv"}, id="matrix times vector"),
        pytest.param(lambda: (X @ X).sin().sum(), 2 * 8**3, set(), id="elementwise"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*nested tensors.*")
def test_each_operation_is_counted_or_named_as_one_that_cannot_be(
    step: Callable[[], object], flops: int, uncounted: set[str]
) -> None:
    step()
    assert (count(step).flops, count(step).uncounted) == (flops, uncounted)


def test_what_operations_allocate_is_counted_once_and_views_and_results_in_place_are_not() -> None:
    x = torch.randn(8, 8)

    def step() -> torch.Tensor:
        y = x.view(64) + 1
        y.add_(1).unsqueeze(0)
        return torch.cat([x, x])

    assert count(step).allocated_bytes == 64 * 4 + 128 * 4


def _tensor_parallel(gang: Gang) -> tuple[int, int, frozenset[str], int]:
    mesh = DeviceMesh.from_group(gang.group, "cpu")
    rows = distribute_tensor(torch.randn(4, 8), mesh, [Shard(0)])
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    parallelize_module(net, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    counted = count(lambda: net(torch.randn(4, 8)))
    gathered = count(lambda: rows.redistribute(mesh, [Replicate()]))
    return counted.flops, counted.traffic_bytes, counted.uncounted, gathered.traffic_bytes


def test_of_a_tensor_parallel_step_each_rank_counts_its_part(two_ranks: Ranks) -> None:
    flops, message_bytes = 2 * (4 * 8 * 16 + 4 * 16 * 8) // 2, 4 * 8 * 4
    assert two_ranks.do(_tensor_parallel) == [(flops, message_bytes, frozenset(), message_bytes)] * 2


def test_a_variant_that_calls_what_cannot_be_counted_is_not_called_wrong() -> None:
    """But it is said, and a variant that hides nothing is refused beside it."""
    opaque = facts(100, 30).model_copy(update={"uncounted": ("mine.gemm", "mine.norm")})
    packed = case("b", 2).model_copy(update={"packed": True})
    told = {case("a"): [facts(100, 100)], case("b"): [opaque], packed: [opaque] * 2, case("c"): [facts(100, 30)]}
    refused, doubted = audit(comparison(), told)
    assert set(refused) == {case("c")}
    (warning,) = doubted[case("b")]
    assert warning.kind == Kind.UNCOUNTED_WORK
    assert warning.fact == (
        "declares 100 FLOP a step, of which 30 were seen: what mine.gemm, mine.norm do cannot be counted"
    )
    whole = facts(100, 100).model_copy(update={"uncounted": ("aten.mv",)})
    assert audit(comparison(), {case("a"): [whole]}) == ({}, {})


def test_a_vector_norm_multiplies_no_matrices_and_is_not_named() -> None:
    """Else every small product with a norm beside it has a warning."""
    matrices = torch.randn(3, 4, 5)
    told = count(lambda: torch.linalg.vector_norm(matrices, dim=(1, 2)))
    assert (told.flops, told.uncounted) == (0, frozenset())
