"""Workloads: what people get wrong in them is planted, and their checks call it wrong on a rank at least."""

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from harness.gang import Gang
from harness.scenario import Skip
from harness.work import contract
from harness.work.counting import count
from scenarios.workloads import (
    checkpoint_async,
    collectives,
    context,
    data_parallel,
    experts,
    loader,
    optimizer,
    pipeline,
    rings,
    samples,
    shard,
    tensor_parallel,
)
from scenarios.workloads.checkpoint_async import CheckpointAsync
from scenarios.workloads.collectives import Collectives
from scenarios.workloads.compile import Compile
from scenarios.workloads.context import Context
from scenarios.workloads.data_parallel import DataParallel
from scenarios.workloads.experts import Experts
from scenarios.workloads.gpt import GPT, Shape
from scenarios.workloads.links import Links
from scenarios.workloads.loader import Loader
from scenarios.workloads.optimizer import Optimizer
from scenarios.workloads.overlap import Overlap
from scenarios.workloads.pipeline import Pipeline
from scenarios.workloads.shard import Shard
from scenarios.workloads.tensor_parallel import TensorParallel
from tests.limits import LIMIT_S
from tests.ranks import Ranks, gang

SMALL = {"width": 64, "context": 16, "batch": 2}
OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast")
HOW = ("library", "two_phase", "chunked", "by_hand")


def judged(mine: Gang, workload: Any) -> str:
    """What the check says of one step; nothing where it is content."""
    try:
        workload.reset()
        output = workload.step()
        mine.barrier()
        contract.check(workload, output, 1)
    except AssertionError as error:
        return str(error) or "wrong"
    finally:
        workload.close()
    return ""


def planted(mine: Gang, plant: Callable[[Gang, pytest.MonkeyPatch], Any]) -> str:
    """What the check says of a scenario in which something was planted."""
    with pytest.MonkeyPatch.context() as patch:
        return judged(mine, plant(mine, patch).prepare(mine))


def every_collective(mine: Gang) -> list[tuple[str, str, str]]:
    said = []
    for op in OPERATIONS:
        for how in HOW:
            for dtype in ("float32", "bfloat16"):
                try:
                    wrong = judged(mine, Collectives(op=op, how=how, dtype=dtype, size=2048).prepare(mine))
                except Skip:
                    wrong = "skipped"
                said.append((op, how, wrong))
    return said


def test_every_collective_is_right_in_every_way_and_type(two_ranks: Ranks) -> None:
    for said in [*two_ranks.do(every_collective), every_collective(gang(0, 1))]:
        for op, how, wrong in said:
            one_phase = how == "two_phase" and op not in ("all_reduce", "broadcast")
            assert wrong == ("skipped" if one_phase else ""), (op, how)


def part_dropped(mine: Gang, patch: pytest.MonkeyPatch) -> Collectives:
    """Rank 1 sends zeros."""
    send = dist.all_reduce
    patch.setattr(dist, "all_reduce", lambda tensor, **rest: send(tensor.mul_(mine.rank == 0), **rest))
    return Collectives(size=2048)


def piece_not_waited_for(mine: Gang, patch: pytest.MonkeyPatch) -> Collectives:
    """One of the pieces never arrives, as for whoever does not wait."""
    send = dist.all_reduce
    pieces = iter(range(4))

    def lazy(tensor: torch.Tensor, **rest: Any) -> Any:
        return send(tensor.clone() if next(pieces) == 2 else tensor, **rest)

    patch.setattr(dist, "all_reduce", lazy)
    return Collectives(size=2048, how="chunked")


def averaged(mine: Gang, patch: pytest.MonkeyPatch) -> Collectives:
    """A sum that is a mean."""
    send = rings.all_reduce
    patch.setattr(rings, "all_reduce", lambda mine, blocks: send(mine, blocks).div_(mine.size))
    return Collectives(size=2048, how="by_hand")


def order_lost(mine: Gang, patch: pytest.MonkeyPatch) -> Collectives:
    """Parts in another order than that of the ranks."""
    gather = collectives.all_gather

    def turned(out: torch.Tensor, part: torch.Tensor, **rest: Any) -> None:
        gather(out, part, **rest)
        out.copy_(out.roll(len(part)))

    patch.setattr(collectives, "all_gather", turned)
    return Collectives(op="all_gather", size=2048)


def stale(mine: Gang, patch: pytest.MonkeyPatch) -> Links:
    """Nothing is sent at all."""
    patch.setattr("scenarios.workloads.links.exchange", lambda *_: None)
    return Links(size=2048)


def own_message(mine: Gang, patch: pytest.MonkeyPatch) -> Links:
    """A rank hears itself."""

    def loop(mine: Gang, outgoing: torch.Tensor, to: int, incoming: torch.Tensor, source: int) -> None:
        incoming.copy_(outgoing)

    patch.setattr("scenarios.workloads.links.exchange", loop)
    return Links(size=2048, how="both_ways")


def half_a_message(mine: Gang, patch: pytest.MonkeyPatch) -> Links:
    """The second half is missing."""

    def half(mine: Gang, outgoing: torch.Tensor, to: int, incoming: torch.Tensor, source: int) -> None:
        rings.exchange(mine, outgoing[:256], to, incoming[:256], source)

    patch.setattr("scenarios.workloads.links.exchange", half)
    return Links(size=2048, how="both_ways")


def summed(mine: Gang, patch: pytest.MonkeyPatch) -> DataParallel:
    """Gradients that are summed where they must be averaged."""

    def add(mine: Gang, parts: list[torch.Tensor]) -> None:
        for part in parts:
            dist.all_reduce(part, group=mine.group)

    patch.setattr(data_parallel, "average", add)
    return DataParallel(how="manual", **SMALL)


def unsynchronised(mine: Gang, patch: pytest.MonkeyPatch) -> DataParallel:
    """Accumulation that never reduces."""
    model_of = DataParallel.parallel

    def silent(self: DataParallel, mine: Gang, plain: GPT) -> Any:
        model, reduce = model_of(self, mine, plain)
        model.require_backward_grad_sync = False
        return model, reduce

    patch.setattr(DataParallel, "parallel", silent)
    return DataParallel(**SMALL)


def bucket_lost(mine: Gang, patch: pytest.MonkeyPatch) -> DataParallel:
    """A bucket that is handed back before it is reduced."""

    def at_once(group, bucket):
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    patch.setattr(data_parallel, "halved", at_once)
    return DataParallel(how="bf16", **SMALL)


def not_accumulated(mine: Gang, patch: pytest.MonkeyPatch) -> DataParallel:
    """Each part of the batch replaces what the one before it left."""
    call = DistributedDataParallel.forward

    def forgetful(self: Any, *given: Any) -> Any:
        self.module.zero_grad(set_to_none=True)
        return call(self, *given)

    patch.setattr(DistributedDataParallel, "forward", forgetful)
    return DataParallel(accumulate=2, **SMALL)


def own_weights(mine: Gang, patch: pytest.MonkeyPatch) -> DataParallel:
    """Every rank draws other weights, and averages their gradients all the same."""
    patch.setattr(data_parallel, "seed_of", lambda mine: 7 + mine.rank)
    return DataParallel(how="manual", **SMALL)


def shard_summed(mine: Gang, patch: pytest.MonkeyPatch) -> Shard:
    """Sharded gradients that are summed where they must be averaged."""
    whole = shard.full
    patch.setattr(shard, "full", lambda tensor: whole(tensor) * mine.size)
    return Shard(how="zero3", **SMALL)


def shard_dropped(mine: Gang, patch: pytest.MonkeyPatch) -> Shard:
    """A rank's part of every gradient is lost."""
    whole = shard.full

    def lose(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, DTensor) and mine.rank == 1:
            tensor.to_local().zero_()
        return whole(tensor)

    patch.setattr(shard, "full", lose)
    return Shard(how="zero2", **SMALL)


def not_sharded(mine: Gang, patch: pytest.MonkeyPatch) -> Shard:
    """A model that claims to be sharded and is whole on every rank."""
    patch.setattr(Shard, "parallel", lambda _, mine, plain: DistributedDataParallel(plain, process_group=mine.group))
    return Shard(how="zero3", **SMALL)


def same_samples(mine: Gang, patch: pytest.MonkeyPatch) -> Loader:
    """Every rank reads what rank 0 reads."""
    turns = samples.Turns
    patch.setattr(loader, "Turns", lambda dataset, batch, rank, size: turns(dataset, batch, 0, size))
    return Loader(size=1024, how="inline")


def shuffled_apart(mine: Gang, patch: pytest.MonkeyPatch) -> Loader:
    """Ranks shuffle by seeds of their own: samples are read twice, and others never."""

    class Apart(samples.DistributedSampler[int]):
        def __init__(self, *args: Any, **rest: Any) -> None:
            super().__init__(*args, **rest, seed=rest["rank"])

    patch.setattr(samples, "DistributedSampler", Apart)
    return Loader(size=1024, how="inline")


def garbled(mine: Gang, patch: pytest.MonkeyPatch) -> Loader:
    """One byte of a sample is decoded wrongly."""
    decode = samples.Encoded.__getitem__

    def one_byte(self: samples.Encoded, index: int) -> torch.Tensor:
        data = decode(self, index)
        data[100] += 1
        return data

    patch.setattr(samples.Encoded, "__getitem__", one_byte)
    return Loader(size=1024, how="inline")


LAYER = {"width": 64, "tokens": 32}


def rows_not_summed(mine: Gang, patch: pytest.MonkeyPatch) -> TensorParallel:
    """The second matrix's rows give a part of the output, which is taken for all of it."""
    patch.setattr(tensor_parallel.Leave, "forward", staticmethod(lambda ctx, part, group: part.clone()))
    return TensorParallel(how="by_hand", **LAYER)


def columns_not_summed(mine: Gang, patch: pytest.MonkeyPatch) -> TensorParallel:
    """The gradient of the input is that of a rank's columns."""
    patch.setattr(tensor_parallel.Enter, "backward", staticmethod(lambda ctx, gradient: (gradient, None)))
    return TensorParallel(how="by_hand", **LAYER)


def summed_twice(mine: Gang, patch: pytest.MonkeyPatch) -> TensorParallel:
    """The gradient of a sum over the ranks is summed once more."""

    def forward(ctx: Any, part: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        dist.all_reduce(total := part.clone(), group=group)
        return total

    patch.setattr(tensor_parallel.Leave, "forward", staticmethod(forward))
    patch.setattr(tensor_parallel.Leave, "backward", tensor_parallel.Enter.backward)
    return TensorParallel(how="by_hand", **LAYER)


BESIDE = {"products": 4, "width": 32, "size": 1024}


def never_awaited(mine: Gang, patch: pytest.MonkeyPatch) -> Overlap:
    """The message's last piece is looked at before it has arrived."""
    send = dist.all_reduce
    pieces = iter(range(4))

    def late(tensor: torch.Tensor, **rest: Any) -> Any:
        return send(tensor.clone() if next(pieces) == 3 else tensor, **rest)

    patch.setattr(dist, "all_reduce", late)
    return Overlap(how="chunked", **BESIDE)


def buffer_shared(mine: Gang, patch: pytest.MonkeyPatch) -> Overlap:
    """Products are written where the message still is."""
    run = Overlap.run

    def over(self: Overlap, mine: Gang, message: Any, left: Any, right: Any, out: torch.Tensor) -> None:
        run(self, mine, message, left, right, out)
        message[:32].copy_(out[0, 0])

    patch.setattr(Overlap, "run", over)
    return Overlap(how="async", **BESIDE)


def product_skipped(mine: Gang, patch: pytest.MonkeyPatch) -> Overlap:
    """One of the products is left out."""
    run = Overlap.run

    def fewer(self: Overlap, mine: Gang, message: Any, left: Any, right: Any, out: torch.Tensor) -> None:
        run(self, mine, message, left, right, out)
        out[2] = 0

    patch.setattr(Overlap, "run", fewer)
    return Overlap(how="async", **BESIDE)


def not_shared(mine: Gang, patch: pytest.MonkeyPatch) -> Optimizer:
    """Each rank steps its part of the parameters and never hears of the others'."""
    patch.setattr(optimizer.ZeroRedundancyOptimizer, "_sync_params", lambda _: None)
    return Optimizer(how="zero1", width=64)


def moments_everywhere(mine: Gang, patch: pytest.MonkeyPatch) -> Optimizer:
    """A sharded optimizer that holds all of the moments."""
    plain = torch.optim.AdamW

    def whole(self: Optimizer, mine: Gang, weights: Any) -> Any:
        made = plain(weights, lr=optimizer.RATE, weight_decay=optimizer.DECAY, eps=optimizer.EPSILON)
        return made, made

    patch.setattr(Optimizer, "optimizer", whole)
    return Optimizer(how="zero1", width=64)


def decay_in_gradient(mine: Gang, patch: pytest.MonkeyPatch) -> Optimizer:
    """Adam, whose decay passes through the moments, for AdamW."""
    patch.setattr(torch.optim, "AdamW", torch.optim.Adam)
    return Optimizer(how="foreach", width=64)


COMPILED = {"width": 64, "layers": 1, "context": 16, "batch": 2, "backend": "eager"}


def graph_lacks_reducer(mine: Gang, patch: pytest.MonkeyPatch) -> Compile:
    """The module inside DDP is compiled and called, so that nothing is reduced."""
    patch.setattr(Compile, "parallel", lambda self, mine, plain: torch.compile(plain, backend=self.backend))
    return Compile(how="compiled_ddp", **COMPILED)


def constant_folded(mine: Gang, patch: pytest.MonkeyPatch) -> Compile:
    """A graph that has kept the first call's tokens for a constant."""
    model_of = Compile.parallel

    def stale(self: Compile, mine: Gang, plain: GPT) -> Any:
        model = model_of(self, mine, plain)
        return lambda tokens: model(torch.zeros_like(tokens))

    patch.setattr(Compile, "parallel", stale)
    return Compile(how="compiled", **COMPILED)


def seeds_apart(mine: Gang, patch: pytest.MonkeyPatch) -> Compile:
    """DDP is given one model, and its reference is of another."""
    seeds = iter((1, 2))
    patch.setattr("scenarios.workloads.compile.GPT", lambda shape, _, device: GPT(shape, next(seeds), device))
    return Compile(how="eager", **COMPILED)


def block_dropped(mine: Gang, patch: pytest.MonkeyPatch) -> Context:
    """The ring ends one turn early: nobody sees a neighbour's keys."""
    patch.setattr(context, "ring", lambda mine, block: iter([(mine.rank, block)]))
    return Context(how="ring", length=128)


def block_misplaced(mine: Gang, patch: pytest.MonkeyPatch) -> Context:
    """A neighbour's keys are taken for those of the rank itself."""
    ring = context.ring
    patch.setattr(context, "ring", lambda mine, block: ((mine.rank, each) for _, each in ring(mine, block)))
    return Context(how="zigzag", length=128)


def heads_swapped(mine: Gang, patch: pytest.MonkeyPatch) -> Context:
    """Heads come back in another order than they left in."""
    exchange = context.ulysses
    patch.setattr(context, "ulysses", lambda *given: exchange(*given).roll(2, 0))
    return Context(how="ulysses", length=128)


TOKENS = {"tokens": 64, "width": 32, "skew": 1.0}


def tokens_lost(mine: Gang, patch: pytest.MonkeyPatch) -> Experts:
    """An expert takes no more than an even share of a rank's tokens."""
    mixed = experts.mixed

    def limited(x: torch.Tensor, chosen: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        out = mixed(x, chosen, up, down)
        return out.index_fill_(0, (chosen == 0).nonzero()[8:, 0], 0) if x.dtype == torch.float32 else out

    patch.setattr(experts, "mixed", limited)
    return Experts(how="exact", **TOKENS)


def order_not_restored(mine: Gang, patch: pytest.MonkeyPatch) -> Experts:
    """Tokens stay in the order of their experts."""
    exchanged = experts.exchanged

    def sorted_still(mine: Gang, x: torch.Tensor, chosen: torch.Tensor, *rest: Any) -> torch.Tensor:
        return exchanged(mine, x, chosen, *rest)[chosen.argsort(stable=True)]

    patch.setattr(experts, "exchanged", sorted_still)
    return Experts(how="exact", **TOKENS)


def local_numbers(mine: Gang, patch: pytest.MonkeyPatch) -> Experts:
    """Experts are looked up by their number among all, where a rank has a part of them."""
    gather = experts.gathered
    patch.setattr(
        experts, "gathered", lambda mine, x, chosen, _, weights: gather(mine, x, chosen, slice(0, 4), weights)
    )
    return Experts(how="gathered", **TOKENS)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_zigzag_gives_every_rank_as_many_pairs_of_chunks_and_a_ring_does_not(size: int) -> None:
    load = {
        how: [layout.pairs(layout.places(rank, size), gang(rank, size)) for rank in range(size)]
        for how in ("ring", "zigzag", "ulysses")
        for layout in [Context(how=how)]
    }
    assert [sum(each) for each in load.values()] == [36] * 3
    assert load["zigzag"] == load["ulysses"] == [36 / size] * size
    assert max(load["ring"]) == {1: 36, 2: 26, 4: 15}[size]


@pytest.mark.parametrize(("skew", "most"), [(0.0, 8), (1.0, 24)])
def test_a_router_favours_the_first_experts_by_as_much_as_its_skew_says(skew: float, most: int) -> None:
    loads = torch.bincount(Experts(tokens=64, skew=skew).route(gang(0, 1)), minlength=8)
    assert loads.sum() == 64
    assert loads.max() == loads[0] == most


def microbatches_summed(mine: Gang, patch: pytest.MonkeyPatch) -> Pipeline:
    """Gradients of microbatches are summed where they must be averaged."""

    class Summed(pipeline.ScheduleGPipe):
        def __init__(self, *given: Any, **rest: Any) -> None:
            super().__init__(*given, **rest, scale_grads=False)

    patch.setattr(pipeline, "ScheduleGPipe", Summed)
    return Pipeline(how="gpipe", width=32)


def loss_of_the_sum(mine: Gang, patch: pytest.MonkeyPatch) -> Pipeline:
    """Each microbatch's loss is a sum over its samples."""
    loss = torch.nn.functional.mse_loss

    def summed(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return loss(output, target) * (len(output) if output.dtype == torch.float32 else 1)

    patch.setattr(pipeline.functional, "mse_loss", summed)
    return Pipeline(how="1f1b", width=32)


def stage_of_other_layers(mine: Gang, patch: pytest.MonkeyPatch) -> Pipeline:
    """Every rank runs the first layers, whichever it is."""
    stage = pipeline.PipelineStage
    network = Pipeline(how="gpipe", width=32).network(mine)[:4]
    patch.setattr(pipeline, "PipelineStage", lambda layers, *given, **rest: stage(network, *given, **rest))
    return Pipeline(how="gpipe", width=32)


FILE = {"size": 4096, "width": 32}


def saved_by_reference(mine: Gang, patch: pytest.MonkeyPatch) -> CheckpointAsync:
    """The thread writes the state itself, which the step has changed when it comes to that."""
    save, finish = checkpoint_async.save, checkpoint_async.Saver.finish
    due = Event()

    def late(state: Any, path: Any) -> None:
        due.wait(LIMIT_S)
        save(state, path)

    def hasten(self: checkpoint_async.Saver) -> None:
        if self.pending is not None:
            due.set()
        finish(self)

    patch.setattr(checkpoint_async, "copied", dict)
    patch.setattr(checkpoint_async, "save", late)
    patch.setattr(checkpoint_async.Saver, "finish", hasten)
    return CheckpointAsync(how="thread", **FILE)


def saved_after(mine: Gang, patch: pytest.MonkeyPatch) -> CheckpointAsync:
    """The file holds the state of one step later."""
    save = checkpoint_async.save
    patch.setattr(checkpoint_async, "save", lambda state, path: save({n: t + 1 for n, t in state.items()}, path))
    return CheckpointAsync(how="sync", **FILE)


def tensor_not_saved(mine: Gang, patch: pytest.MonkeyPatch) -> CheckpointAsync:
    """A tensor of the state is not in the file."""
    save = checkpoint_async.save
    patch.setattr(checkpoint_async, "save", lambda state, path: save(dict(list(state.items())[1:]), path))
    return CheckpointAsync(how="thread", **FILE)


def sent(mine: Gang, scenario: Any) -> tuple[str, float, float, float, float]:
    """What the check says; FLOPs and bytes to other ranks, declared and counted."""
    workload = scenario.prepare(mine)
    workload.step()  # a pipeline's first tells the next stage shapes
    counted = count(workload.step)
    part = (mine.size - 1) / mine.size
    factors = {"all_reduce": 2 * part, "all_gather": part, "reduce_scatter": part, "all_to_all": part}
    wire = sum(each.bytes_in if each.kind == "send" else factors[each.kind] * each.bytes
               for each in counted.messages if each.kind != "recv")  # fmt: skip
    return judged(mine, workload), workload.work.flops, counted.flops, workload.work.wire, wire


DECLARED = [
    *(TensorParallel(how=how, dtype=dtype, width=64, tokens=32)
      for how in ("replicated", "by_hand", "dtensor", "sequence") for dtype in ("float32", "bfloat16")),
    *(Overlap(how=how, products=4, width=32, size=1024) for how in ("sequential", "async", "chunked")),
    *(Context(how=how, length=128) for how in ("gathered", "ring", "zigzag", "ulysses")),
    *(Pipeline(how=how, width=32) for how in ("one_batch", "gpipe", "1f1b")),
    Experts(how="replicated", tokens=64, width=32, skew=1.0),
]  # fmt: skip


@pytest.mark.parametrize("scenario", DECLARED, ids=str)
def test_declared_flops_and_wire_are_the_counted_ones(two_ranks: Ranks, scenario: Any) -> None:
    for said, flops, counted, wire, bytes_sent in two_ranks.do(sent, scenario):
        assert said == ""
        assert counted == flops
        assert bytes_sent == wire


PLANTED = [
    (part_dropped, "numbers are not what all_reduce gives"),
    (piece_not_waited_for, "numbers are not what all_reduce gives"),
    (averaged, "numbers are not what all_reduce gives"),
    (order_lost, "numbers are not what all_gather gives"),
    (stale, "numbers are not what rank 0 sent"),
    (own_message, "numbers are not what rank"),
    (half_a_message, "numbers are not what rank"),
    (summed, "a normwise error of"),
    (unsynchronised, "gradients differ between ranks"),
    (bucket_lost, "gradients"),
    (not_accumulated, "a normwise error of"),
    (own_weights, "a normwise error of"),
    (shard_summed, "a normwise error of"),
    (shard_dropped, "a normwise error of"),
    (not_sharded, "a rank holds"),
    (same_samples, "are in no rank's epoch"),
    (shuffled_apart, "are in no rank's epoch"),
    (rows_not_summed, "output: a normwise error of"),
    (columns_not_summed, "gradient of the input: a normwise error of"),
    (summed_twice, "a normwise error of"),
    (never_awaited, "are not the sum over the ranks"),
    (buffer_shared, "are not the sum over the ranks"),
    (product_skipped, "a product is wrong by"),
    (not_shared, "parameters differ between ranks"),
    (moments_everywhere, "ranks hold"),
    (decay_in_gradient, "the update: a normwise error of"),
    (graph_lacks_reducer, "gradients differ between ranks"),
    (constant_folded, "a normwise error of"),
    (seeds_apart, "a normwise error of"),
    (block_dropped, "attention: a normwise error of"),
    (block_misplaced, "attention: a normwise error of"),
    (heads_swapped, "attention: a normwise error of"),
    (tokens_lost, "tokens are lost"),
    (order_not_restored, "the tokens: a normwise error of"),
    (local_numbers, "tokens are lost"),
    (microbatches_summed, "a layer's gradient: a normwise error of"),
    (loss_of_the_sum, "a layer's gradient: a normwise error of"),
    (stage_of_other_layers, "of its layers have gradients"),
    (saved_by_reference, "are not those of when it was saved"),
    (saved_after, "are not those of when it was saved"),
    (tensor_not_saved, "the file holds"),
    (garbled, "a sample's bytes are not what was encoded"),
]


@pytest.mark.parametrize(("plant", "words"), PLANTED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_people_get_wrong_is_wrong(two_ranks: Ranks, plant: Any, words: str) -> None:
    said = two_ranks.do(planted, plant)
    assert any(words in each for each in said), said


@pytest.mark.parametrize(("width", "layers", "context"), [(64, 2, 16), (128, 2, 32), (192, 3, 64)])
def test_a_models_declared_flops_and_parameters_are_the_counted_ones(width: int, layers: int, context: int) -> None:
    shape = Shape(width, layers, context)
    model = GPT(shape, 1, torch.device("cpu"))
    tokens = torch.randint(shape.vocabulary, (2, context + 1))
    assert sum(weight.numel() for weight in model.parameters()) == shape.parameters
    assert count(lambda: model(tokens).backward()).flops == pytest.approx(shape.flops(2 * context), rel=0.01)


def loaded(mine: Gang) -> int:
    workload = Loader(size=1024, how="workers").prepare(mine)
    workload.step()
    workload.close()
    return len(torch.multiprocessing.active_children())


def test_a_loaders_workers_end_with_it(two_ranks: Ranks) -> None:
    assert two_ranks.do(loaded) == [0, 0]
