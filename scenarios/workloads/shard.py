"""Training a small GPT with parameters on every rank, or spread over the ranks by FSDP2."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from harness.scenario import Facts, Gang, Scaling, Skip, Work, Workload, axis, variant
from scenarios.workloads import gradients
from scenarios.workloads.gpt import GPT, Shape, seed_of, sequences

MESSAGES = {"replicated": 2, "zero2": 2, "zero3": 3}
"""Messages of the size of all parameters in a step: all-gathers and reduce-scatters; an all-reduce is one of each."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Gradients of a small GPT whose parameters are on every rank, sharded after the step, in it too, or in groups."""

    scaling: ClassVar[Scaling] = "weak"

    width: int = axis(128, full=(256, 1024))
    layers: int = axis(2, full=(12,))
    context: int = axis(32, full=(256,))
    batch: int = axis(8, full=(16,))
    wrap: Literal["block", "model"] = axis("block", full=("block", "model"))
    how: Literal["replicated", "zero2", "zero3", "hybrid"] = variant(baseline="replicated")

    @property
    def shape(self) -> Shape:
        """The model's size."""
        return Shape(self.width, self.layers, self.context)

    def prepare(self, gang: Gang) -> Workload:
        """Give the ranks one model between them, and sequences of their own."""
        seed = seed_of(gang)
        tokens = sequences(gang, self.batch, self.shape)
        model = self.parallel(gang, GPT(self.shape, seed, gang.device))
        weights = list(model.parameters())

        def step() -> list[torch.Tensor | None]:
            model.zero_grad(set_to_none=True)
            model(tokens).backward()
            return [weight.grad for weight in weights]

        def check(found: list[torch.Tensor | None]) -> Facts:
            whole = [full(each) for each in found if each is not None]
            error = gradients.compare(gang, whole, GPT(self.shape, seed, gang.device), tokens)
            held = sum(local(weight).nbytes for weight in weights)
            groups = {"replicated": 1, "hybrid": 2}.get(self.how, gang.size)
            most = 4 * self.shape.parameters / groups + 4 * gang.size * self.width * len(weights)  # rows are padded
            assert held <= most, f"a rank holds {held} bytes of parameters where {most:.0f} are its part"
            return {"error": error, "parameter_bytes": held}

        trained = self.batch * self.context
        work = Work(flops=self.shape.flops(trained), items=trained, unit="token", wire=self.wire(gang))
        return Workload(step, check=check, work=work)

    def wire(self, gang: Gang) -> float:
        """Bytes that a rank must send in a step."""
        if self.how == "hybrid":  # three messages within each pair, then half of an all-reduce across the pairs
            return 4 * self.shape.parameters * (3 / 2 + (gang.size / 2 - 1) / (gang.size / 2))
        return gradients.declared_wire(gang, self.shape, messages=MESSAGES[self.how])

    def parallel(self, gang: Gang, plain: GPT) -> nn.Module:
        """The model as its ranks hold it."""
        if self.how == "replicated":
            return DistributedDataParallel(plain, process_group=gang.group)
        if self.how == "hybrid" and (gang.size < 4 or gang.size % 2):
            raise Skip(f"hybrid shards over pairs of an even number of ranks from four on, and there are {gang.size}")
        options: dict[str, Any] = {
            "mesh": gang.split(2) if self.how == "hybrid" else gang.mesh,
            "reshard_after_forward": self.how != "zero2",
        }
        for block in plain.blocks if self.wrap == "block" else ():
            fully_shard(block, **options)
        fully_shard(plain, **options)
        return plain


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this rank has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor; every rank calls it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
