"""What a step of everything that people train with sends and multiplies, against closed forms, on two real ranks."""

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from harness.gang import Gang
from harness.work.counting import Count, count
from tests.ranks import Ranks

WIDTH, ROWS, LAYERS = 16, 4, 2
LAYER, ACTIVATIONS, MESSAGE = WIDTH * WIDTH * 4, ROWS * WIDTH * 4, 32
"""Bytes of one layer's weights, of what flows between two layers, and of the messages sent by hand."""
PRODUCT = 2 * ROWS * WIDTH * WIDTH


def layers() -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))


def whole_step(gang: Gang, size: int) -> Count:
    """A step by DDP, FSDP2, DTensor and by hand, of a group of one rank or of two."""
    group = gang.group if size > 1 else dist.new_group([gang.rank], use_local_synchronization=True)
    mesh = DeviceMesh.from_group(group, "cpu")
    sharded = layers()
    for layer in sharded:
        fully_shard(layer, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    parts = parallelize_module(layers(), mesh, {"0": ColwiseParallel(), "1": RowwiseParallel()})
    models = [DistributedDataParallel(layers(), process_group=group), sharded, parts]

    def step() -> None:
        sums = torch.ones(MESSAGE // 4)
        work = dist.all_reduce(sums, group=group, async_op=True)
        for model in models:
            model(torch.randn(ROWS, WIDTH)).sum().backward()
        pieces = functional.all_gather_single(sums[: MESSAGE // 4 // size], 0, group)
        exchanged = torch.empty_like(sums)
        dist.all_to_all_single(exchanged, pieces + 0, group=group)
        dist.broadcast(exchanged, group_src=0, group=group)
        dist.barrier(group=group)
        work.wait()

    for _ in range(2):  # DDP arranges its buckets anew in the second
        step()
    return count(step)


def sums(told: Count) -> dict[str, tuple[int, int, int]]:
    """Count, bytes in and bytes out by kind."""
    return {each.kind: (each.count, each.bytes_in, each.bytes_out) for each in told.messages}


PRODUCTS = 2 * LAYERS + (LAYERS - 1)
"""Of one model: forward, gradients of the weights, and of the inputs but for the first layer's."""


def test_messages_and_products_of_a_whole_step_equal_closed_forms(two_ranks: Ranks) -> None:
    weights = LAYERS * LAYER
    for rank, told in enumerate(two_ranks.do(whole_step, 2)):
        by_hand = {
            # FSDP2 gathers each layer for the forward pass, and again for the backward pass
            "all_gather": (2 * LAYERS + 1, weights + MESSAGE // 2, 2 * weights + MESSAGE),
            # by hand, DDP's one bucket, and the output of the layer that is parallel in its rows
            "all_reduce": (3, MESSAGE + weights + ACTIVATIONS, MESSAGE + weights + ACTIVATIONS),
            "all_to_all": (1, MESSAGE, MESSAGE),
            "barrier": (1, 0, 0),
            "broadcast": (1, MESSAGE, 0) if rank == 0 else (1, 0, MESSAGE),
            "reduce_scatter": (LAYERS, weights, weights // 2),
        }
        assert sums(told) == by_hand
        assert {each.group_size for each in told.messages} == {2}
        assert told.traffic_bytes == 4 * weights + 4 * MESSAGE + ACTIVATIONS
        assert told.flops == PRODUCTS * PRODUCT * 5 / 2  # of the tensor-parallel model each rank does half
        assert not told.uncounted


def test_alone_a_rank_sends_what_its_code_sends_and_multiplies_all(two_ranks: Ranks) -> None:
    """PyTorch leaves out the messages of FSDP2 and DTensor there, and DDP's are made."""
    for told in two_ranks.do(whole_step, 1):
        assert sums(told) == {
            "all_gather": (1, MESSAGE, MESSAGE),
            "all_reduce": (2, MESSAGE + LAYERS * LAYER, MESSAGE + LAYERS * LAYER),
            "all_to_all": (1, MESSAGE, MESSAGE),
            "barrier": (1, 0, 0),
            "broadcast": (1, MESSAGE, 0),
        }
        assert {each.group_size for each in told.messages} == {1}
        assert told.flops == PRODUCTS * PRODUCT * 3
        assert not told.uncounted
